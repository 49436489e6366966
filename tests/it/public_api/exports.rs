//! What can be reached from outside of a crate, and by which path.

use std::collections::{BTreeMap, BTreeSet};

use syn::{Ident, Item, UseTree, Visibility};

use super::source::Crate;
use super::text::parts;

/// A module, or an item by its module and its place there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Found {
    Module(usize),
    Item(usize, usize),
}

/// What a path leads to outside of a crate.
pub(super) enum Export {
    Item(usize, usize),
    /// Something of another crate, by its path there.
    Foreign(String),
}

/// One name that a `use` brings in, or all of a module.
struct Import {
    is_public: bool,
    path: Vec<String>,
    /// None for `*`.
    name: Option<String>,
}

/// How many `use` may lead from one to the next.
pub(super) const STEPS_MAX: usize = 16;

impl Crate {
    /// Everything that can be reached, by its path.
    pub(super) fn exports(&self, name: &str) -> BTreeMap<String, Vec<Export>> {
        let mut exports = BTreeMap::new();
        self.export(0, name, &mut BTreeSet::new(), &mut exports);
        exports
    }

    fn export(
        &self,
        module: usize,
        path: &str,
        seen: &mut BTreeSet<(usize, String)>,
        exports: &mut BTreeMap<String, Vec<Export>>,
    ) {
        if !seen.insert((module, path.to_owned())) {
            return;
        }
        for (name, child) in &self.modules[module].children {
            if self.modules[*child].is_public {
                self.export(*child, &format!("{path}::{name}"), seen, exports);
            }
        }
        for (index, item) in self.modules[module].items.iter().enumerate() {
            if let Some((_, Visibility::Public(_), name)) = parts(item) {
                exports.entry(format!("{path}::{name}")).or_default().push(Export::Item(module, index));
            }
        }
        for import in self.imports(module).into_iter().filter(|import| import.is_public) {
            let found = self.find(module, &import.path, STEPS_MAX);
            let path = import.name.as_ref().map_or_else(|| path.to_owned(), |name| format!("{path}::{name}"));
            if found.is_empty() {
                let foreign = import.path.join("::") + if import.name.is_none() { "::*" } else { "" };
                exports.entry(path.clone()).or_default().push(Export::Foreign(foreign));
            }
            for found in found {
                match found {
                    Found::Module(module) if import.name.is_none() || self.modules[module].is_public => {
                        self.export(module, &path, seen, exports);
                    }
                    Found::Item(module, index) if self.is_public(module, index) => {
                        exports.entry(path.clone()).or_default().push(Export::Item(module, index));
                    }
                    // A private thing of the same name is not meant.
                    _ => {}
                }
            }
        }
    }

    /// What a path means in a module; nothing for what other crates have.
    pub(super) fn find(&self, module: usize, path: &[String], steps: usize) -> Vec<Found> {
        let mut found = vec![Found::Module(module)];
        for name in path {
            let next = |found: Found| match (found, name.as_str()) {
                (Found::Module(_), "crate") => vec![Found::Module(0)],
                (Found::Module(module), "self") => vec![Found::Module(module)],
                (Found::Module(module), "super") => vec![Found::Module(self.modules[module].parent)],
                (Found::Module(module), name) if steps > 0 => self.members(module, name, steps - 1),
                _ => Vec::new(),
            };
            found = found.into_iter().flat_map(next).collect();
        }
        found
    }

    /// What a module calls `name`: its own, or what it imports.
    fn members(&self, module: usize, name: &str, steps: usize) -> Vec<Found> {
        let own = &self.modules[module];
        let mut found: BTreeSet<Found> =
            own.children.get(name).map(|child| Found::Module(*child)).into_iter().collect();
        let items =
            own.items.iter().enumerate().filter(|(_, item)| parts(item).is_some_and(|(.., ident)| ident == name));
        found.extend(items.map(|(index, _)| Found::Item(module, index)));
        for mut import in self.imports(module) {
            if import.name.is_none() {
                import.path.push(name.to_owned());
            }
            if import.name.is_none_or(|imported| imported == name) {
                found.extend(self.find(module, &import.path, steps));
            }
        }
        found.into_iter().collect()
    }

    fn is_public(&self, module: usize, index: usize) -> bool {
        matches!(parts(&self.modules[module].items[index]), Some((_, Visibility::Public(_), _)))
    }

    fn imports(&self, module: usize) -> Vec<Import> {
        let mut imports = Vec::new();
        for item in &self.modules[module].items {
            if let Item::Use(item) = item {
                flatten(&item.tree, &[], matches!(item.vis, Visibility::Public(_)), &mut imports);
            }
        }
        imports
    }
}

fn flatten(tree: &UseTree, before: &[String], is_public: bool, imports: &mut Vec<Import>) {
    let with = |ident: &Ident| before.iter().cloned().chain([ident.to_string()]).collect::<Vec<_>>();
    match tree {
        UseTree::Path(path) => flatten(&path.tree, &with(&path.ident), is_public, imports),
        UseTree::Name(name) if name.ident == "self" => {
            imports.push(Import { is_public, path: before.to_vec(), name: before.last().cloned() });
        }
        UseTree::Name(name) => {
            imports.push(Import { is_public, path: with(&name.ident), name: Some(name.ident.to_string()) });
        }
        UseTree::Rename(name) => {
            imports.push(Import { is_public, path: with(&name.ident), name: Some(name.rename.to_string()) });
        }
        UseTree::Glob(_) => imports.push(Import { is_public, path: before.to_vec(), name: None }),
        UseTree::Group(group) => group.items.iter().for_each(|tree| flatten(tree, before, is_public, imports)),
    }
}
