//! The modules of a crate, as its files have them.

use std::collections::BTreeMap;

use syn::{Attribute, Item, Visibility};

/// A crate; its root is the first module.
pub(super) struct Crate {
    pub(super) modules: Vec<Module>,
}

pub(super) struct Module {
    pub(super) is_public: bool,
    pub(super) parent: usize,
    pub(super) children: BTreeMap<String, usize>,
    /// All but modules and tests.
    pub(super) items: Vec<Item>,
}

impl Crate {
    /// Reads the root and every module that it names; `read` gives the text of a file beside the root.
    pub(super) fn load(read: &dyn Fn(&str) -> Option<String>) -> Self {
        let mut new = Self { modules: Vec::new() };
        let root = Module { is_public: true, parent: 0, children: BTreeMap::new(), items: Vec::new() };
        new.add(root, "", parse("lib.rs", read), read);
        new
    }

    /// Adds a module whose own modules are in `folder`, and says its number.
    fn add(&mut self, module: Module, folder: &str, items: Vec<Item>, read: &dyn Fn(&str) -> Option<String>) -> usize {
        let parent = self.modules.len();
        self.modules.push(module);
        for item in items {
            match item {
                Item::Mod(child) if is_test(&child.attrs) => {}
                Item::Mod(child) => {
                    let path = format!("{folder}{}", child.ident);
                    let items = child.content.map_or_else(|| parse(&format!("{path}.rs"), read), |(_, items)| items);
                    let is_public = matches!(child.vis, Visibility::Public(_));
                    let module = Module { is_public, parent, children: BTreeMap::new(), items: Vec::new() };
                    let number = self.add(module, &format!("{path}/"), items, read);
                    self.modules[parent].children.insert(child.ident.to_string(), number);
                }
                item => self.modules[parent].items.push(item),
            }
        }
        parent
    }
}

fn parse(path: &str, read: &dyn Fn(&str) -> Option<String>) -> Vec<Item> {
    let text = read(path).unwrap_or_else(|| panic!("{path} is missing"));
    syn::parse_file(&text).unwrap_or_else(|error| panic!("{path}: {error}")).items
}

/// Whether something is there for tests only.
pub(super) fn is_test(attributes: &[Attribute]) -> bool {
    let is_test = |attribute: &Attribute| {
        attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Ident>().is_ok_and(|name| name == "test")
    };
    attributes.iter().any(is_test)
}
