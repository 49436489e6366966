//! `#[derive(Message)]`: names a message type and its version, so that stored bytes find their handler again.
//!
//! This crate only writes `impl` blocks; what they mean is documented at `everpost::Message`.

use proc_macro::TokenStream;
use quote::quote;
use syn::parse::Parse;
use syn::{DeriveInput, Expr, Ident, LitInt, LitStr, Path, Token, Type, parse_macro_input};

/// Implements `everpost::Message`.
///
/// Options, all in `#[message(..)]`:
///
/// | option | meaning | default |
/// | --- | --- | --- |
/// | `name = "deposit"` | the name that is stored with every message; never change it | the type's name in `snake_case` |
/// | `version = 2` | the version of the fields; raise it when they change | 1 |
/// | `reply = i64` | what the handler answers | `()` |
/// | `upgrade = path` | `fn(u16, &[u8]) -> Result<Self, everpost::UpgradeError>`: reads older versions | older versions are dead letters |
#[proc_macro_derive(Message, attributes(message))]
pub fn derive_message(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}

#[derive(Default)]
struct Options {
    name: Option<LitStr>,
    version: Option<LitInt>,
    reply: Option<Type>,
    upgrade: Option<Path>,
}

fn expand(input: &DeriveInput) -> syn::Result<proc_macro2::TokenStream> {
    let options = parse_options(input)?;
    let ident = &input.ident;
    let name = match &options.name {
        Some(name) => check_name(name)?,
        None => snake_case(ident),
    };
    let version = match &options.version {
        Some(version) => version.base10_parse::<u16>()?,
        None => 1,
    };
    let reply: Type = options.reply.unwrap_or_else(|| syn::parse_quote!(()));
    let upgrade = options.upgrade.map(|path| {
        quote! {
            fn upgrade_from(version: u16, bytes: &[u8]) -> ::core::result::Result<Self, ::everpost::UpgradeError> {
                #path(version, bytes)
            }
        }
    });
    let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();
    Ok(quote! {
        impl #impl_generics ::everpost::Message for #ident #type_generics #where_clause {
            const NAME: &'static str = #name;
            const VERSION: u16 = #version;
            type Reply = #reply;
            #upgrade
        }
    })
}

fn parse_options(input: &DeriveInput) -> syn::Result<Options> {
    let mut options = Options::default();
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("message")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("name") {
                set_once(&mut options.name, &meta)
            } else if meta.path.is_ident("version") {
                set_once(&mut options.version, &meta)
            } else if meta.path.is_ident("reply") {
                set_once(&mut options.reply, &meta)
            } else if meta.path.is_ident("upgrade") {
                set_once(&mut options.upgrade, &meta)
            } else {
                Err(meta.error("unknown option: expected `name`, `version`, `reply` or `upgrade`"))
            }
        })?;
    }
    Ok(options)
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

/// Names are stored with every message and shown in logs: short, and of plain characters.
fn check_name(name: &LitStr) -> syn::Result<String> {
    let text = name.value();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-' | '.');
    if text.is_empty() || text.len() > 64 || !text.chars().all(plain) {
        return Err(syn::Error::new(
            name.span(),
            "a message name has 1 to 64 characters of a-z, 0-9, `_`, `-` and `.`",
        ));
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
