//! What a reader of the sources may count on: lines that fit, and functions that fit a screen.

use std::fs;
use std::path::Path;

use everpost_tests::sources::{root, sources};

/// What `rustfmt.toml` has for code, which says nothing of comments, strings and the inside of macros.
const COLUMNS: usize = 120;

/// No function has as many lines.
const LINES: usize = 60;

/// Calls `each` with every Rust file of the workspace: where it is, and its text.
fn read(mut each: impl FnMut(&Path, &str)) {
    let root = root();
    let mut read = 0;
    for path in sources(&root) {
        each(path.strip_prefix(&root).unwrap(), &fs::read_to_string(&path).unwrap());
        read += 1;
    }
    assert!(read > 300, "only {read} files were found");
}

#[test]
fn no_line_is_wider_than_code_may_be() {
    let mut wide = Vec::new();
    read(|path, text| {
        let lines = text.lines().enumerate().filter(|(_, line)| line.chars().count() > COLUMNS);
        wide.extend(lines.map(|(index, _)| format!("{}:{}", path.display(), index + 1)));
    });
    assert_eq!(wide, [""; 0]);
}

#[test]
fn no_function_is_longer_than_a_screen() {
    let mut long = Vec::new();
    read(|path, text| {
        let functions = functions(text).into_iter().filter(|(_, lines)| *lines >= LINES);
        long.extend(functions.map(|(name, lines)| format!("{}: {name} has {lines} lines", path.display())));
    });
    assert_eq!(long, [""; 0]);
}

/// The functions of a formatted file, and how many lines each has. Its last line is the first one that is a closing
/// brace at the depth at which it begins, since that is where `rustfmt` puts it.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (begin, line) in lines.iter().enumerate() {
        let Some(name) = function(line) else { continue };
        let depth = line.len() - line.trim_start().len();
        let is_end = |line: &&str| {
            let at_depth = line.get(depth..).filter(|_| line.len() - line.trim_start().len() == depth);
            at_depth.is_some_and(|rest| rest == "}" || (rest.starts_with(')') && rest.ends_with(';')))
        };
        // A function on one line, or one without a body, ends there, and what follows is another's.
        let is_short = line.ends_with('}') || line.ends_with(';');
        let more = if is_short { 0 } else { lines[begin + 1..].iter().position(is_end).map_or(0, |end| end + 1) };
        found.push((name.to_owned(), more + 1));
    }
    found
}

/// The name of the function that begins on this line, if one does.
fn function(line: &str) -> Option<&str> {
    let before_name = |word: &&str| {
        word.starts_with("pub")
            || ["crate)", "super)", "const", "async", "unsafe", "extern", "\"C\"", "in"].contains(word)
    };
    let (before, after) = line.trim_start().split_once("fn ")?;
    let is_function = before.split_whitespace().all(|word| before_name(&word));
    is_function.then(|| after.split(['(', '<']).next().unwrap_or_default())
}

#[test]
fn a_function_is_counted_from_its_first_line_to_its_brace() {
    let text = "\
fn short() {}

impl A {
    pub(crate) async fn long<T>(
        &self,
    ) -> T {
        if true {
        }
    }

    fn declared(&self);
    fn declared_long(
        &self,
    );
}
// a sentence with fn in it(
";
    let expected = [("short", 1), ("long", 6), ("declared", 1), ("declared_long", 3)]
        .map(|(name, lines)| (name.to_owned(), lines));
    assert_eq!(functions(text), expected);
}
