//! Imports go one way: among the modules of the crate, and among those of each folder, nothing leads back.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A module by its path from the root of the crate, which is the empty one.
type Module = Vec<String>;
/// In one folder: who uses whom. A folder's own file is [`OWN`].
type Edges = BTreeMap<String, BTreeSet<String>>;

const OWN: &str = "(its own file)";

#[test]
fn no_import_leads_back() {
    let modules = modules();
    assert!(modules.len() > 30, "only {} modules", modules.len());
    let mut folders: BTreeMap<Module, Edges> = BTreeMap::new();
    for (module, code) in &modules {
        for path in paths(code) {
            let Some(used) = resolve(module, &path, &modules) else { continue };
            if let Some((folder, from, to)) = edge(module, &used) {
                folders.entry(folder).or_default().entry(from).or_default().insert(to);
            }
        }
    }
    for (folder, edges) in &folders {
        assert_eq!(circle(edges), None, "in `{}`", folder.join("::"));
    }
}

/// Which folder an import belongs to, and who uses whom in it: the child of the folder that has the import, and the
/// one that has what is imported.
fn edge(module: &Module, used: &Module) -> Option<(Module, String, String)> {
    if module == used {
        return None;
    }
    let shared = module.iter().zip(used).take_while(|(one, other)| one == other).count();
    let child = |path: &Module| path.get(shared).map_or_else(|| OWN.to_owned(), Clone::clone);
    Some((module[..shared].to_vec(), child(module), child(used)))
}

/// A way from somebody back to itself.
fn circle(edges: &Edges) -> Option<Vec<&str>> {
    fn search<'e>(edges: &'e Edges, at: &'e str, way: &mut Vec<&'e str>, done: &mut BTreeSet<&'e str>) -> bool {
        if let Some(from) = way.iter().position(|passed| *passed == at) {
            way.drain(..from);
            way.push(at);
            return true;
        }
        if !done.insert(at) {
            return false;
        }
        way.push(at);
        let found = edges.get(at).is_some_and(|used| used.iter().any(|next| search(edges, next, way, done)));
        if !found {
            way.pop();
        }
        found
    }
    let (mut way, mut done) = (Vec::new(), BTreeSet::new());
    edges.keys().any(|from| search(edges, from, &mut way, &mut done)).then_some(way)
}

/// Every module that is no test, with its code.
fn modules() -> BTreeMap<Module, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = BTreeMap::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let module = module_of(path.strip_prefix(&root).unwrap());
            if !module.iter().any(|part| part == "tests") {
                found.insert(module, code(&fs::read_to_string(path).unwrap()));
            }
        }
    }
    found
}

fn module_of(file: &Path) -> Module {
    let path: PathBuf = file.with_extension("");
    let parts = path.components().map(|part| part.as_os_str().to_str().unwrap().to_owned());
    parts.filter(|part| part != "lib").collect()
}

/// The code of a file without comments and without its tests, which end it.
fn code(text: &str) -> String {
    let begins = ["#[cfg(test)]\nmod tests", "#[cfg(test)]\npub(crate) mod tests"];
    let end = begins.iter().filter_map(|begin| text.find(begin)).min();
    let without_tests = &text[..end.unwrap_or(text.len())];
    without_tests.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// All paths of the code that begin with `crate`, `self` or `super`, those in braces each by itself.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for begin in ["crate::", "self::", "super::"] {
        for (at, _) in code.match_indices(begin) {
            let before = code[..at].chars().next_back();
            if !before.is_some_and(|letter| letter.is_alphanumeric() || matches!(letter, '_' | ':' | '$')) {
                expand(&mut code[at..].chars().peekable(), &mut Vec::new(), &mut paths);
            }
        }
    }
    paths
}

/// Reads one path, or those in braces, from the front.
fn expand(rest: &mut std::iter::Peekable<std::str::Chars<'_>>, before: &mut Vec<String>, paths: &mut Vec<Vec<String>>) {
    let depth = before.len();
    loop {
        while rest.next_if(|letter| letter.is_whitespace()).is_some() {}
        if rest.next_if_eq(&'{').is_some() {
            loop {
                expand(rest, before, paths);
                while rest.next_if(|letter| letter.is_whitespace() || *letter == ',').is_some() {}
                if rest.next_if_eq(&'}').is_some() || rest.peek().is_none() {
                    before.truncate(depth);
                    return;
                }
            }
        }
        let mut word = String::new();
        while let Some(letter) = rest.next_if(|letter| letter.is_alphanumeric() || *letter == '_') {
            word.push(letter);
        }
        if word.is_empty() {
            break;
        }
        before.push(word);
        if rest.next_if_eq(&':').is_none() || rest.next_if_eq(&':').is_none() {
            break;
        }
    }
    if before.len() > depth {
        paths.push(before.clone());
    }
    before.truncate(depth);
}

/// The module that a path leads into: as far as modules go.
fn resolve(module: &Module, path: &[String], modules: &BTreeMap<Module, String>) -> Option<Module> {
    let mut at: Module = match path.first()?.as_str() {
        "crate" => Vec::new(),
        _ => module.clone(),
    };
    for part in path {
        match part.as_str() {
            "crate" | "self" => {}
            "super" => drop(at.pop()?),
            name => {
                at.push(name.to_owned());
                if !modules.contains_key(&at) {
                    at.pop();
                    break;
                }
            }
        }
    }
    Some(at)
}

#[test]
fn a_circle_is_found_whether_it_goes_over_a_neighbour_or_the_folder() {
    let edges = |pairs: &[(&str, &str)]| {
        let mut edges = Edges::new();
        for (from, to) in pairs {
            edges.entry((*from).to_owned()).or_default().insert((*to).to_owned());
        }
        edges
    };
    assert_eq!(circle(&edges(&[("a", "b"), ("b", "c"), ("a", "c")])), None);
    let found = edges(&[("a", "b"), ("b", "c"), ("c", "b")]);
    assert_eq!(circle(&found), Some(vec!["b", "c", "b"]));
    let path = |text: &str| text.split("::").map(str::to_owned).collect::<Module>();
    assert_eq!(edge(&path("a::b"), &path("a")), Some((path("a"), "b".to_owned(), OWN.to_owned())));
    assert_eq!(edge(&path("a"), &path("a::b")), Some((path("a"), OWN.to_owned(), "b".to_owned())));
    assert_eq!(edge(&path("a::b::c"), &path("d::e")), Some((Vec::new(), "a".to_owned(), "d".to_owned())));
    let found = paths("use crate::{a::{self, B}, c::D};\nuse super::e::F; fn f() -> self::g::H {}");
    let found: BTreeSet<String> = found.iter().map(|path| path.join("::")).collect();
    let expected = ["crate::a::self", "crate::a::B", "crate::c::D", "super::e::F", "self::g::H"];
    assert_eq!(found, expected.map(str::to_owned).into_iter().collect());
}
