//! `#[derive(Message)]` and `#[derive(State)]`: name what is stored and its version, so that stored bytes find their
//! reader again.
//!
//! This crate only writes `impl` blocks; what they mean is documented at `everpost::Message` and `everpost::State`.

mod options;
mod same_by;

use proc_macro::TokenStream;
use quote::quote;
use syn::{DeriveInput, parse_macro_input};

use crate::options::Options;

/// Implements `everpost::Message`.
///
/// Options, all in `#[message(..)]`:
///
/// - `name = "deposit"`: the name that is stored with every message; never change it. By default the type's name in
///   `snake_case`.
/// - `version = 2`: the version of the fields; raise it when they change. By default 1.
/// - `reply = i64`: what the handler answers. By default `()`.
/// - `upgrade = path`: a `fn(u16, &[u8]) -> Result<Self, everpost::UpgradeError>` that reads older versions. Without it
///   messages of older versions become dead letters.
/// - `same_by = "id, amount"`: the fields that make two messages under one idempotency key the same; `"all"` or
///   `"name"` for all of them or none. By default `"all"`.
///
/// On a field, `#[message(unordered)]` says that the order of its elements means nothing: for a `HashSet`.
#[proc_macro_derive(Message, attributes(message))]
pub fn derive_message(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand_message(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}

/// Implements `everpost::State`.
///
/// Options, all in `#[state(..)]`:
///
/// - `name = "balance"`: the name that is stored with every state; never change it. By default the type's name in
///   `snake_case`.
/// - `version = 2`: the version of the fields; raise it when they change. By default 1.
/// - `upgrade = path`: a `fn(u16, &[u8]) -> Result<Self, everpost::UpgradeError>` that reads older versions. Without it
///   actors with an older state wait for a build that reads it.
#[proc_macro_derive(State, attributes(state))]
pub fn derive_state(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand_state(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}

fn expand_message(input: &DeriveInput) -> syn::Result<proc_macro2::TokenStream> {
    let options = Options::parse(input, "message", &["name", "version", "reply", "upgrade", "same_by"])?;
    let reply = &options.reply;
    let fingerprint = same_by::expand(input, options.same_by.as_ref())?;
    Ok(expand(input, &options, &quote!(::everpost::Message), &quote!(type Reply = #reply; #fingerprint)))
}

fn expand_state(input: &DeriveInput) -> syn::Result<proc_macro2::TokenStream> {
    let options = Options::parse(input, "state", &["name", "version", "upgrade"])?;
    Ok(expand(input, &options, &quote!(::everpost::State), &quote!()))
}

/// Implements `implemented`; `more` is what it has besides a name, a version and an upgrade.
fn expand(
    input: &DeriveInput,
    options: &Options,
    implemented: &proc_macro2::TokenStream,
    more: &proc_macro2::TokenStream,
) -> proc_macro2::TokenStream {
    let Options { name, version, upgrade, .. } = options;
    let upgrade = upgrade.as_ref().map(|path| {
        quote! {
            fn upgrade_from(version: u16, bytes: &[u8]) -> ::core::result::Result<Self, ::everpost::UpgradeError> {
                #path(version, bytes)
            }
        }
    });
    let ident = &input.ident;
    let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();
    quote! {
        impl #impl_generics #implemented for #ident #type_generics #where_clause {
            const NAME: &'static str = #name;
            const VERSION: u16 = #version;
            #more
            #upgrade
        }
    }
}
