//! The public surface of a crate as text: each path with what stands behind it, in the order of the paths.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use proc_macro2::{TokenStream, TokenTree};
use syn::{Item, Type};

use super::exports::{Export, Found, STEPS_MAX};
use super::source::{Crate, is_test};
use super::text::{attributes, head, named, of_implementation, of_trait, parts, unnamed};

/// Items by module and place there, with what implements something for each: its head, and its members by their text.
type Implementations = BTreeMap<(usize, usize), BTreeMap<String, BTreeMap<String, Vec<String>>>>;

/// Lists everything of the crate `name` that can be reached from outside.
pub(super) fn listing(name: &str, of: &Crate) -> String {
    let exports = of.exports(name);
    let exported = exports.values().flatten().filter_map(|export| match export {
        Export::Item(module, index) => Some((*module, *index)),
        Export::Foreign(_) => None,
    });
    let exported = exported.collect();
    let implementations = implementations(of, &exported);
    let mut listed = BTreeMap::new();
    let mut blocks = Vec::new();
    for (path, exports) in &exports {
        let mut block = format!("{path}\n");
        for export in exports {
            match export {
                Export::Foreign(foreign) => push(&mut block, 1, &format!("pub use {foreign}")),
                Export::Item(module, index) => match listed.insert((*module, *index), path) {
                    Some(first) if first != path => push(&mut block, 1, &format!("pub use {first}")),
                    Some(_) => {}
                    None => {
                        list(&mut block, &of.modules[*module].items[*index]);
                        for (head, members) in implementations.get(&(*module, *index)).into_iter().flatten() {
                            push(&mut block, 1, head);
                            for (member, noticed) in members {
                                noticed.iter().chain([member]).for_each(|line| push(&mut block, 2, line));
                            }
                        }
                    }
                },
            }
        }
        blocks.push(block);
    }
    blocks.extend(macros(of, &exported));
    blocks.join("\n")
}

fn push(text: &mut String, depth: usize, line: &str) {
    writeln!(text, "{:width$}{line}", "", width = depth * 4).expect("a text takes everything");
}

/// An item with its fields, variants or members.
fn list(block: &mut String, item: &Item) {
    let noticed = parts(item).map(|(noticed, ..)| attributes(noticed)).unwrap_or_default();
    noticed.iter().for_each(|line| push(block, 1, line));
    let head = head(item);
    match item {
        Item::Struct(item) => {
            push(block, 1, &(head + &unnamed(&item.fields, false)));
            named(&item.fields, false).iter().for_each(|line| push(block, 2, line));
        }
        Item::Enum(item) => {
            push(block, 1, &head);
            for variant in &item.variants {
                attributes(&variant.attrs).iter().for_each(|line| push(block, 2, line));
                push(block, 2, &(variant.ident.to_string() + &unnamed(&variant.fields, true)));
                named(&variant.fields, true).iter().for_each(|line| push(block, 3, line));
            }
        }
        Item::Trait(item) => {
            push(block, 1, &head);
            item.items.iter().flat_map(of_trait).for_each(|line| push(block, 2, &line));
        }
        _ => push(block, 1, &head),
    }
}

/// What is implemented for public types, and public traits for types of others.
fn implementations(of: &Crate, exported: &BTreeSet<(usize, usize)>) -> Implementations {
    let mut implementations = Implementations::new();
    for (module, item) in items(of) {
        let Item::Impl(implementation) = item else { continue };
        let of_type = match peeled(&implementation.self_ty) {
            Type::Path(path) => find(of, module, &names(&path.path)),
            _ => Vec::new(),
        };
        let of_trait = implementation.trait_.as_ref().map(|(path, _)| find(of, module, &names(path)));
        let is_hidden = |found: &Vec<_>| !found.is_empty() && !found.iter().any(|item| exported.contains(item));
        // A trait of this crate that cannot be reached is nobody's business outside of it.
        if is_test(&implementation.attrs) || of_trait.as_ref().is_some_and(is_hidden) {
            continue;
        }
        let mut places = of_type.iter().chain(of_trait.iter().flatten());
        let Some(place) = places.find(|item| exported.contains(*item)) else { continue };
        let members: Vec<_> = implementation.items.iter().filter_map(of_implementation).collect();
        if of_trait.is_some() || !members.is_empty() {
            let head = attributes(&implementation.attrs).into_iter().chain([head(item)]).collect::<Vec<_>>().join(" ");
            implementations.entry(*place).or_default().entry(head).or_default().extend(members);
        }
    }
    implementations
}

pub(super) fn names(path: &syn::Path) -> Vec<String> {
    path.segments.iter().map(|segment| segment.ident.to_string()).collect()
}

/// The type behind references.
pub(super) fn peeled(of: &Type) -> &Type {
    match of {
        Type::Reference(reference) => peeled(&reference.elem),
        other => other,
    }
}

pub(super) fn find(of: &Crate, module: usize, path: &[String]) -> Vec<(usize, usize)> {
    let found = of.find(module, path, STEPS_MAX).into_iter().filter_map(|found| match found {
        Found::Item(module, index) => Some((module, index)),
        Found::Module(_) => None,
    });
    found.collect()
}

/// The calls of the crate's own macros that may implement what is not seen otherwise: those that are given something
/// public, and those of macros that name a public trait.
fn macros(of: &Crate, exported: &BTreeSet<(usize, usize)>) -> Option<String> {
    let is_public = |module, names: &[String], is_trait: bool| {
        let found = names.iter().flat_map(|name| find(of, module, std::slice::from_ref(name)));
        let is_meant = |item: &Item| !is_trait || matches!(item, Item::Trait(_));
        found.into_iter().any(|(at, index)| exported.contains(&(at, index)) && is_meant(&of.modules[at].items[index]))
    };
    let own: BTreeMap<String, bool> = items(of)
        .filter_map(|(module, item)| match item {
            Item::Macro(item) => {
                Some((item.ident.as_ref()?.to_string(), is_public(module, &idents(&item.mac.tokens), true)))
            }
            _ => None,
        })
        .collect();
    let calls: BTreeSet<String> = items(of)
        .filter_map(|(module, item)| match item {
            Item::Macro(item) => {
                let name = item.mac.path.segments.last()?.ident.to_string();
                let adds = *own.get(&name)? || is_public(module, &idents(&item.mac.tokens), false);
                let words = item.mac.tokens.to_string().replace(" ,", ",").replace('\n', " ");
                adds.then(|| format!("{name}!({words})"))
            }
            _ => None,
        })
        .collect();
    let mut block = "macros that add to it\n".to_owned();
    calls.iter().for_each(|call| push(&mut block, 1, call));
    (!calls.is_empty()).then_some(block)
}

/// All items of a crate with the number of their module.
pub(super) fn items(of: &Crate) -> impl Iterator<Item = (usize, &Item)> {
    let numbered = of.modules.iter().enumerate();
    numbered.flat_map(|(number, module)| module.items.iter().map(move |item| (number, item)))
}

fn idents(tokens: &TokenStream) -> Vec<String> {
    let names = tokens.clone().into_iter().flat_map(|token| match token {
        TokenTree::Ident(ident) => vec![ident.to_string()],
        TokenTree::Group(group) => idents(&group.stream()),
        _ => Vec::new(),
    });
    names.collect()
}
