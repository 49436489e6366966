//! Parts of sources as one line of text each, without bodies, values and comments.

use proc_macro2::TokenStream;
use syn::{Attribute, Field, Fields, File, Ident, ImplItem, Item, Signature, TraitItem, Type, Visibility, parse_quote};

/// Attributes that users of a type notice.
const NOTICED: [&str; 8] =
    ["cfg", "deprecated", "derive", "must_use", "non_exhaustive", "proc_macro_attribute", "proc_macro_derive", "repr"];

/// An item on one line, and without the end that an empty body has.
fn line(item: Item) -> String {
    let text = prettyplease::unparse(&File { shebang: None, frontmatter: None, attrs: Vec::new(), items: vec![item] });
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    // What was broken into lines has spaces and commas that it has not on one line.
    let text = [("( ", "("), (", )", ")"), (" )", ")"), ("< ", "<"), (", >", ">")]
        .iter()
        .fold(text, |text, (broken, whole)| text.replace(broken, whole));
    text.trim_end_matches([' ', '{', '}', ';', ',']).to_owned()
}

/// The attributes that matter, one a line.
pub(super) fn attributes(attributes: &[Attribute]) -> Vec<String> {
    let is_hidden = |attribute: &&Attribute| {
        attribute.path().is_ident("doc") && attribute.parse_args::<Ident>().is_ok_and(|name| name == "hidden")
    };
    let is_noticed = |attribute: &&Attribute| NOTICED.iter().any(|name| attribute.path().is_ident(name));
    let noticed = attributes.iter().filter(|attribute| is_noticed(attribute) || is_hidden(attribute));
    let mut lines: Vec<String> = noticed.map(attribute).collect();
    lines.sort();
    lines
}

fn attribute(attribute: &Attribute) -> String {
    let text = line(parse_quote!(#attribute struct X;)).trim_end_matches(" struct X").to_owned();
    let Some(derived) = text.strip_prefix("#[derive(").and_then(|rest| rest.strip_suffix(")]")) else { return text };
    let mut derived: Vec<&str> = derived.split(", ").collect();
    derived.sort_unstable();
    format!("#[derive({})]", derived.join(", "))
}

pub(super) fn function(visibility: &Visibility, signature: &Signature) -> String {
    line(parse_quote!(#visibility #signature {}))
}

pub(super) fn a_type(of: &Type) -> String {
    line(parse_quote!(type X = #of;)).trim_start_matches("type X = ").to_owned()
}

/// A name and a type, after `before`.
pub(super) fn typed(visibility: &Visibility, before: &str, name: &Ident, of: &Type) -> String {
    format!("{}{before}{name}: {}", shown(visibility), a_type(of))
}

fn shown(visibility: &Visibility) -> &'static str {
    if matches!(visibility, Visibility::Public(_)) { "pub " } else { "" }
}

/// What an item of a kind that has a path says of itself: attributes, visibility and name.
pub(super) fn parts(item: &Item) -> Option<(&[Attribute], &Visibility, &Ident)> {
    match item {
        Item::Const(item) => Some((&item.attrs, &item.vis, &item.ident)),
        Item::Enum(item) => Some((&item.attrs, &item.vis, &item.ident)),
        Item::Fn(item) => Some((&item.attrs, &item.vis, &item.sig.ident)),
        Item::Static(item) => Some((&item.attrs, &item.vis, &item.ident)),
        Item::Struct(item) => Some((&item.attrs, &item.vis, &item.ident)),
        Item::Trait(item) => Some((&item.attrs, &item.vis, &item.ident)),
        Item::Type(item) => Some((&item.attrs, &item.vis, &item.ident)),
        _ => None,
    }
}

/// What stands before the body of an item.
pub(super) fn head(item: &Item) -> String {
    let mut item = item.clone();
    match &mut item {
        Item::Struct(item) => (item.attrs, item.fields) = (Vec::new(), Fields::Unit),
        Item::Enum(item) => (item.attrs, item.variants) = (Vec::new(), Default::default()),
        Item::Trait(item) => (item.attrs, item.items) = (Vec::new(), Vec::new()),
        Item::Impl(item) => (item.attrs, item.items) = (Vec::new(), Vec::new()),
        Item::Type(item) => item.attrs.clear(),
        Item::Fn(item) => return function(&item.vis, &item.sig),
        Item::Const(item) => return typed(&item.vis, "const ", &item.ident, &item.ty),
        Item::Static(item) => return typed(&item.vis, "static ", &item.ident, &item.ty),
        _ => return String::new(),
    }
    line(item)
}

/// The fields behind a name without names of their own, as they stand there; nothing for others.
pub(super) fn unnamed(fields: &Fields, is_variant: bool) -> String {
    let Fields::Unnamed(fields) = fields else { return String::new() };
    let text = |field: &Field| match &field.vis {
        visibility @ Visibility::Public(_) => format!("{}{}", shown(visibility), a_type(&field.ty)),
        _ if is_variant => a_type(&field.ty),
        _ => "..".to_owned(),
    };
    format!("({})", fields.unnamed.iter().map(text).collect::<Vec<_>>().join(", "))
}

/// The fields with names, one a line; `..` for those that are private.
pub(super) fn named(fields: &Fields, is_variant: bool) -> Vec<String> {
    let Fields::Named(fields) = fields else { return Vec::new() };
    let is_seen = |field: &&Field| is_variant || matches!(field.vis, Visibility::Public(_));
    let seen = fields.named.iter().filter(is_seen);
    let mut lines: Vec<String> = seen
        .flat_map(|field| {
            let name = field.ident.as_ref().expect("a field with a name");
            attributes(&field.attrs).into_iter().chain([typed(&field.vis, "", name, &field.ty)])
        })
        .collect();
    if fields.named.iter().any(|field| !is_seen(&field)) {
        lines.push("..".to_owned());
    }
    lines
}

/// What a trait asks for, or offers.
pub(super) fn of_trait(item: &TraitItem) -> Vec<String> {
    let (noticed, text) = match item {
        TraitItem::Fn(item) => {
            let body = if item.default.is_some() { " { .. }" } else { "" };
            (&item.attrs, function(&Visibility::Inherited, &item.sig) + body)
        }
        TraitItem::Const(item) => {
            let default = if item.default.is_some() { " = .." } else { "" };
            (&item.attrs, typed(&Visibility::Inherited, "const ", &item.ident, &item.ty) + default)
        }
        TraitItem::Type(item) => {
            let bounds = &item.bounds;
            let bounds = if bounds.is_empty() { TokenStream::new() } else { quote::quote!(: #bounds) };
            let (name, generics) = (&item.ident, &item.generics);
            let text = line(parse_quote!(trait #name #generics #bounds {}));
            (&item.attrs, text.replacen("trait", "type", 1))
        }
        _ => return Vec::new(),
    };
    attributes(noticed).into_iter().chain([text]).collect()
}

/// What users see of an implementation: types that belong to it, and what is public; with the attributes of each.
pub(super) fn of_implementation(item: &ImplItem) -> Option<(String, Vec<String>)> {
    let (noticed, text) = match item {
        ImplItem::Fn(item) if matches!(item.vis, Visibility::Public(_)) => {
            (&item.attrs, function(&item.vis, &item.sig))
        }
        ImplItem::Const(item) if matches!(item.vis, Visibility::Public(_)) => {
            (&item.attrs, typed(&item.vis, "const ", &item.ident, &item.ty))
        }
        ImplItem::Type(item) => (&item.attrs, format!("type {} = {}", item.ident, a_type(&item.ty))),
        _ => return None,
    };
    Some((text, attributes(noticed)))
}
