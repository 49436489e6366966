//! What can be reached from outside of a library, with its documentation: what the rules of `super::rules` judge.

use std::collections::BTreeSet;

use syn::{Attribute, Expr, Fields, ImplItem, Item, Lit, Meta, ReturnType, Signature, TraitItem, Type};
use syn::{TypeParamBound, Visibility};

use super::exports::Export;
use super::listing::{find, items, names, peeled};
use super::source::{Crate, is_test};
use super::text::parts;

/// A type or trait that can be reached.
pub(super) struct Named {
    /// Its path from outside, the first one in the order of paths.
    pub(super) path: String,
    pub(super) kind: Kind,
    pub(super) docs: String,
    pub(super) is_hidden: bool,
    pub(super) is_non_exhaustive: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Enum,
    /// A struct of several fields that are all public, so that it can be built by a literal.
    Open,
    /// Any other struct.
    Closed,
    Trait,
}

/// Something that is awaited.
pub(super) struct Awaited {
    /// `Type::function`, or the type if that is awaited itself.
    pub(super) name: String,
    pub(super) docs: String,
}

/// The types and traits of a library that can be reached.
pub(super) fn named(library: &str, of: &Crate) -> Vec<Named> {
    let mut found = Vec::new();
    for (path, item) in reached(library, of) {
        let kind = match item {
            Item::Enum(_) => Kind::Enum,
            Item::Struct(item) if is_open(&item.fields) => Kind::Open,
            Item::Struct(_) => Kind::Closed,
            Item::Trait(_) => Kind::Trait,
            _ => continue,
        };
        let (attributes, ..) = parts(item).expect("a type has a name");
        found.push(Named {
            path,
            kind,
            docs: docs(attributes),
            is_hidden: is_hidden(attributes),
            is_non_exhaustive: attributes.iter().any(|attribute| attribute.path().is_ident("non_exhaustive")),
        });
    }
    found
}

/// What users of a library await: async functions, functions that return a future, and types that become one.
pub(super) fn awaited(library: &str, of: &Crate) -> Vec<Awaited> {
    let mut found = Vec::new();
    for (path, item) in reached(library, of) {
        let name = path.rsplit("::").next().unwrap_or_default();
        match item {
            Item::Fn(item) if is_awaited(&item.sig) => {
                found.push(Awaited { name: name.to_owned(), docs: docs(&item.attrs) });
            }
            Item::Trait(item) => {
                let functions = item.items.iter().filter_map(|member| match member {
                    TraitItem::Fn(function) if is_awaited(&function.sig) => Some(function),
                    _ => None,
                });
                found.extend(functions.map(|function| Awaited {
                    name: format!("{name}::{}", function.sig.ident),
                    docs: docs(&function.attrs),
                }));
            }
            _ => {}
        }
    }
    found.extend(awaited_of_implementations(library, of));
    found
}

fn awaited_of_implementations(library: &str, of: &Crate) -> Vec<Awaited> {
    let reached = places_reached(library, of);
    let mut found = Vec::new();
    for (module, item) in items(of) {
        let Item::Impl(implementation) = item else { continue };
        let Type::Path(path) = peeled(&implementation.self_ty) else { continue };
        let places = find(of, module, &names(&path.path));
        let Some(place) = places.into_iter().find(|place| reached.contains(place)) else { continue };
        let own = &of.modules[place.0].items[place.1];
        let Some((attributes, _, name)) = parts(own).filter(|_| !is_test(&implementation.attrs)) else { continue };
        let of_trait = implementation.trait_.as_ref().and_then(|(path, _)| names(path).pop());
        if of_trait.as_deref() == Some("IntoFuture") {
            found.push(Awaited { name: name.to_string(), docs: docs(attributes) });
        }
        for member in &implementation.items {
            if let ImplItem::Fn(function) = member
                && matches!(function.vis, Visibility::Public(_))
                && is_awaited(&function.sig)
            {
                found.push(Awaited { name: format!("{name}::{}", function.sig.ident), docs: docs(&function.attrs) });
            }
        }
    }
    found
}

/// The items that can be reached, each under its first path.
fn reached<'c>(library: &str, of: &'c Crate) -> Vec<(String, &'c Item)> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for (path, exports) in of.exports(library) {
        for export in exports {
            if let Export::Item(module, index) = export
                && seen.insert((module, index))
            {
                found.push((path.clone(), &of.modules[module].items[index]));
            }
        }
    }
    found
}

fn places_reached(library: &str, of: &Crate) -> BTreeSet<(usize, usize)> {
    let exports = of.exports(library).into_values().flatten();
    let places = exports.filter_map(|export| match export {
        Export::Item(module, index) => Some((module, index)),
        Export::Foreign(_) => None,
    });
    places.collect()
}

fn is_awaited(signature: &Signature) -> bool {
    let is_future = |of: &Type| match of {
        Type::ImplTrait(of) => of.bounds.iter().any(|bound| match bound {
            TypeParamBound::Trait(bound) => names(&bound.path).last().is_some_and(|name| name == "Future"),
            _ => false,
        }),
        _ => false,
    };
    signature.asyncness.is_some() || matches!(&signature.output, ReturnType::Type(_, of) if is_future(of))
}

/// Whether there are fields, more than the one that makes a new type of another, and none that is private.
fn is_open(fields: &Fields) -> bool {
    let is_around_one = matches!(fields, Fields::Unnamed(fields) if fields.unnamed.len() == 1);
    !fields.is_empty() && !is_around_one && fields.iter().all(|field| matches!(field.vis, Visibility::Public(_)))
}

fn is_hidden(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("doc") && attribute.parse_args::<syn::Ident>().is_ok_and(|name| name == "hidden")
    })
}

/// The text of the doc comments of an item.
fn docs(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(meta) if meta.path.is_ident("doc") => match &meta.value {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Str(line) => Some(line.value().trim().to_owned() + "\n"),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    });
    lines.collect()
}
