//! What the libraries offer to their users is kept as text in `docs/api`, so that a change of it shows in a diff.
//!
//! The text is made from the sources: rustdoc's JSON, which other tools compare, needs a nightly compiler. What sources
//! do not say is not in it: auto traits, and what macros of other crates generate beyond a derive's name.

mod exports;
mod listing;
mod rules;
mod source;
mod surface;
mod text;
mod threads;

use std::collections::BTreeSet;
use std::path::Path;
use std::{env, fs};

use self::listing::listing;
use self::source::Crate;

/// Set to write the files anew instead of comparing them.
const RENEW: &str = "EVERPOST_RENEW_API";

/// The libraries, and the folders that have their sources.
const LIBRARIES: [(&str, &str); 4] = [
    ("everpost", "runtime"),
    ("everpost_macros", "runtime/macros"),
    ("everpost_persistence", "persistence"),
    ("everpost_transport", "transport"),
];

#[test]
fn the_public_surface_is_the_one_that_is_written_down() {
    let mut stale = String::new();
    for (name, folder) in LIBRARIES {
        let now = listing(name, &load(folder));
        let path = root().join("docs/api").join(format!("{name}.txt"));
        if env::var_os(RENEW).is_some() {
            fs::write(&path, &now).unwrap();
        }
        let written = fs::read_to_string(&path).unwrap_or_default();
        if written != now {
            stale.push_str(&format!("docs/api/{name}.txt\n{}", difference(&written, &now)));
        }
    }
    assert!(
        stale.is_empty(),
        "the public surface is not the one in docs/api. If that is meant, write it down and look at the difference:\n\
         {RENEW}=1 cargo test -p everpost-tests --test it public_api\n\n{stale}"
    );
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is a folder of the workspace")
}

/// The library whose package is in this folder.
fn load(folder: &str) -> Crate {
    let sources = root().join(folder).join("src");
    Crate::load(&|path| fs::read_to_string(sources.join(path)).ok())
}

/// The lines that only one of two texts has.
fn difference(before: &str, after: &str) -> String {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let (old, new) = (lines(before), lines(after));
    let only = |text: &str, others: &BTreeSet<String>, sign: char| {
        let lines = text.lines().filter(|line| !others.contains(*line));
        lines.map(|line| format!("{sign} {line}\n")).collect::<String>()
    };
    only(before, &new, '-') + &only(after, &old, '+')
}

/// The listing of a crate with these files.
fn listed(files: &[(&str, &str)]) -> String {
    let read = |path: &str| files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned());
    listing("small", &Crate::load(&read))
}

const LIB: &str = "
    mod inner;
    #[cfg(test)]
    mod tests;
    pub use self::inner::{deep::*, Shape as Form, Show};
    pub use elsewhere::Thing;
    fn private() {}
    /// Documented.
    pub async fn wait<T: Send>(first: &mut Vec<T>, mut second: Option<u8>) -> Result<(), Error>
    where
        T: Sync,
    {
        Ok(())
    }
    pub const LIMIT: usize = 1 << 20;
    #[non_exhaustive]
    pub enum Error { First, Second { at: u64 }, Third(String) }
    macro_rules! shown { ($($name:ty),+) => { $(impl core::fmt::Debug for $name {})+ } }
    shown!(Error);
    macro_rules! internal { ($name:ident) => { struct $name; } }
    internal!(Nothing);
    use self::inner::Show;
    macro_rules! show { ($name:ty) => { impl Show for $name {} } }
    show!(u8);
";

const INNER: &str = "
    pub(super) mod deep;
    #[derive(PartialEq, Clone)]
    pub struct Shape<'a> { pub name: &'a str, secret: u8 }
    impl Shape<'_> { pub fn area(&self) -> f64 { 0.0 } fn hidden(&self) {} }
    impl Drop for Shape<'_> { fn drop(&mut self) {} }
    impl Iterator for Shape<'_> { type Item = u8; fn next(&mut self) -> Option<u8> { None } }
    trait Secret {}
    impl Secret for Shape<'_> {}
    pub trait Show: Send { const WIDTH: usize; type Out; fn show(&self) -> Self::Out; fn twice(&self) {} }
    impl<T: Send> Show for Vec<T> { const WIDTH: usize = 1; type Out = T; fn show(&self) -> T { self.pop() } }
";

const DEEP: &str = "pub struct Pair(pub u8, u16); pub(crate) struct NotSeen; pub struct Unit;";

const EXPECTED: &str = "\
small::Error
    #[non_exhaustive]
    pub enum Error
        First
        Second
            at: u64
        Third(String)

small::Form
    #[derive(Clone, PartialEq)]
    pub struct Shape<'a>
        pub name: &'a str
        ..
    impl Drop for Shape<'_>
    impl Iterator for Shape<'_>
        type Item = u8
    impl Shape<'_>
        pub fn area(&self) -> f64

small::LIMIT
    pub const LIMIT: usize

small::Pair
    pub struct Pair(pub u8, ..)

small::Show
    pub trait Show: Send
        const WIDTH: usize
        type Out
        fn show(&self) -> Self::Out
        fn twice(&self) { .. }
    impl<T: Send> Show for Vec<T>
        type Out = T

small::Thing
    pub use elsewhere::Thing

small::Unit
    pub struct Unit

small::wait
    pub async fn wait<T: Send>(first: &mut Vec<T>, mut second: Option<u8>) -> Result<(), Error> where T: Sync

macros that add to it
    show!(u8)
    shown!(Error)
";

#[test]
fn everything_that_can_be_reached_is_listed_and_nothing_else() {
    assert_eq!(listed(&[("lib.rs", LIB), ("inner.rs", INNER), ("inner/deep.rs", DEEP)]), EXPECTED);
}

#[test]
fn each_change_of_the_surface_is_seen_and_no_change_of_what_is_private() {
    let seen = |file: &str, from: &str, to: &str| {
        let files = [("lib.rs", LIB), ("inner.rs", INNER), ("inner/deep.rs", DEEP)].map(|(name, text)| {
            assert!(name != file || text.contains(from), "{file} has no `{from}`");
            (name, if name == file { text.replace(from, to) } else { text.to_owned() })
        });
        listed(&files.each_ref().map(|(name, text)| (*name, text.as_str()))) != EXPECTED
    };
    for (file, from, to) in [
        ("lib.rs", "#[non_exhaustive]", ""),
        ("lib.rs", "T: Send", "T: Send + Clone"),
        ("lib.rs", "at: u64", "at: u32"),
        ("lib.rs", "Shape as Form, ", ""),
        ("lib.rs", "shown!(Error)", "shown!(Error, Form)"),
        ("inner.rs", "PartialEq, ", ""),
        ("inner.rs", "fn hidden", "pub fn hidden"),
        ("inner.rs", "&'a str", "&'static str"),
        ("inner.rs", "fn twice(&self) {}", "fn twice(&self);"),
        ("inner.rs", "impl Drop for Shape<'_> { fn drop(&mut self) {} }", ""),
        ("inner/deep.rs", "pub(crate) struct", "pub struct"),
    ] {
        assert!(seen(file, from, to), "{from} -> {to}");
    }
    for (file, from, to) in [
        ("lib.rs", "/// Documented.", "/// Documented better."),
        ("lib.rs", "fn private() {}", ""),
        ("lib.rs", "1 << 20", "1 << 21"),
        ("inner.rs", "secret: u8", "secret: u16"),
        ("inner.rs", "PartialEq, Clone", "Clone, PartialEq"),
        ("inner.rs", "{ 0.0 }", "{ 1.0 }"),
        ("inner/deep.rs", "NotSeen", "NeverSeen"),
    ] {
        assert!(!seen(file, from, to), "{from} -> {to}");
    }
}
