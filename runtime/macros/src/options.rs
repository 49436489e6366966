//! What stands in `#[message(..)]` and `#[state(..)]`.

use syn::parse::Parse;
use syn::{DeriveInput, Expr, Ident, LitInt, LitStr, Path, Token, Type};

/// The options of a type, as they were given.
#[derive(Default)]
struct Given {
    name: Option<LitStr>,
    version: Option<LitInt>,
    reply: Option<Type>,
    upgrade: Option<Path>,
    same_by: Option<LitStr>,
}

/// The options of a type, with the defaults for what was not given.
pub(crate) struct Options {
    pub(crate) name: String,
    pub(crate) version: u16,
    pub(crate) reply: Type,
    pub(crate) upgrade: Option<Path>,
    pub(crate) same_by: Option<LitStr>,
}

impl Options {
    /// Reads the options in `#[attribute(..)]`, of which only those in `allowed` may be given.
    pub(crate) fn parse(input: &DeriveInput, attribute: &str, allowed: &[&str]) -> syn::Result<Self> {
        let given = parse_given(input, attribute, allowed)?;
        let name = match &given.name {
            Some(name) => check_name(name)?,
            None => snake_case(&input.ident),
        };
        let version = match &given.version {
            Some(version) => version.base10_parse()?,
            None => 1,
        };
        let reply = given.reply.unwrap_or_else(|| syn::parse_quote!(()));
        Ok(Self { name, version, reply, upgrade: given.upgrade, same_by: given.same_by })
    }
}

fn parse_given(input: &DeriveInput, attribute: &str, allowed: &[&str]) -> syn::Result<Given> {
    let mut given = Given::default();
    for attribute in input.attrs.iter().filter(|found| found.path().is_ident(attribute)) {
        attribute.parse_nested_meta(|meta| {
            let option = meta.path.get_ident().map(Ident::to_string).unwrap_or_default();
            match option.as_str() {
                _ if !allowed.contains(&option.as_str()) => Err(meta.error(unknown(allowed))),
                "name" => set_once(&mut given.name, &meta),
                "version" => set_once(&mut given.version, &meta),
                "reply" => set_once(&mut given.reply, &meta),
                "same_by" => set_once(&mut given.same_by, &meta),
                _ => set_once(&mut given.upgrade, &meta),
            }
        })?;
    }
    Ok(given)
}

fn unknown(allowed: &[&str]) -> String {
    let quoted: Vec<String> = allowed.iter().map(|option| format!("`{option}`")).collect();
    let (last, others) = quoted.split_last().expect("each derive has options");
    format!("unknown option: expected {} or {last}", others.join(", "))
}

fn set_once<T: Parse>(option: &mut Option<T>, meta: &syn::meta::ParseNestedMeta<'_>) -> syn::Result<()> {
    if option.is_some() {
        return Err(meta.error("this option is given twice"));
    }
    if !meta.input.peek(Token![=]) {
        // Reads what is there for the sake of a message that points at it.
        let _: Option<Expr> = meta.input.parse().ok();
        return Err(meta.error("expected `option = value`"));
    }
    *option = Some(meta.value()?.parse()?);
    Ok(())
}

/// Names are stored with every message and state and shown in logs: short, and of plain characters.
fn check_name(name: &LitStr) -> syn::Result<String> {
    let text = name.value();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-' | '.');
    if text.is_empty() || text.len() > 64 || !text.chars().all(plain) {
        return Err(syn::Error::new(name.span(), "a name has 1 to 64 characters of a-z, 0-9, `_`, `-` and `.`"));
    }
    Ok(text)
}

fn snake_case(ident: &Ident) -> String {
    let mut name = String::new();
    for (index, character) in ident.to_string().chars().enumerate() {
        if character.is_uppercase() && index > 0 {
            name.push('_');
        }
        name.extend(character.to_lowercase());
    }
    name
}
