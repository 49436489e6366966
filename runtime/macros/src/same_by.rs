//! What makes two messages under one idempotency key the same: the option `same_by`, and fields whose order means
//! nothing.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Data, DeriveInput, Field, Index, LitStr, Member};

/// Writes `fingerprint`; nothing where the default will do.
pub(crate) fn expand(input: &DeriveInput, same_by: Option<&LitStr>) -> syn::Result<TokenStream> {
    let fields = fields(input)?;
    let given = same_by.map(LitStr::value);
    let has_unordered = fields.iter().any(|(_, unordered)| *unordered);
    let counted = match given.as_deref().unwrap_or("all") {
        "all" if !has_unordered => return Ok(TokenStream::new()),
        "all" => fields,
        "name" => Vec::new(),
        names => names.split(',').map(|name| named(&fields, name.trim(), same_by)).collect::<syn::Result<_>>()?,
    };
    let counted = counted.iter().map(|(member, unordered)| {
        let add = if *unordered { format_ident!("add_unordered") } else { format_ident!("add") };
        quote!(fingerprint.#add(&self.#member);)
    });
    Ok(quote! {
        #[allow(unused_variables, reason = "no field counts when it is the same by its name")]
        fn fingerprint(&self, fingerprint: &mut ::everpost::Fingerprint) {
            #(#counted)*
        }
    })
}

fn named(fields: &[(Member, bool)], name: &str, at: Option<&LitStr>) -> syn::Result<(Member, bool)> {
    let is_it = |member: &Member| match member {
        Member::Named(ident) => ident == name,
        Member::Unnamed(index) => index.index.to_string() == name,
    };
    let found = fields.iter().find(|(member, _)| is_it(member)).cloned();
    found.ok_or_else(|| {
        let text = format!("no field `{name}`: expected `all`, `name`, or names of fields with commas between them");
        syn::Error::new_spanned(at, text)
    })
}

/// The fields of a struct, and whether the order of their elements means nothing.
fn fields(input: &DeriveInput) -> syn::Result<Vec<(Member, bool)>> {
    match &input.data {
        Data::Struct(data) => {
            let member = |(index, field): (usize, &Field)| {
                let member = field.ident.clone().map_or_else(|| Member::Unnamed(Index::from(index)), Member::Named);
                Ok((member, is_unordered(field)?))
            };
            data.fields.iter().enumerate().map(member).collect()
        }
        Data::Enum(data) => {
            let fields = data.variants.iter().flat_map(|variant| &variant.fields);
            refuse_unordered(fields)?;
            Ok(Vec::new())
        }
        Data::Union(data) => {
            refuse_unordered(&data.fields.named)?;
            Ok(Vec::new())
        }
    }
}

fn is_unordered(field: &Field) -> syn::Result<bool> {
    let mut unordered = false;
    for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("message")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("unordered") {
                return Err(meta.error("unknown option of a field: expected `unordered`"));
            }
            unordered = true;
            Ok(())
        })?;
    }
    Ok(unordered)
}

fn refuse_unordered<'a>(fields: impl IntoIterator<Item = &'a Field>) -> syn::Result<()> {
    for field in fields {
        if is_unordered(field)? {
            let text = "of an enum say `#[serde(serialize_with = \"everpost::unordered\")]` instead";
            return Err(syn::Error::new_spanned(field, text));
        }
    }
    Ok(())
}
