//! Reading values of a user's types from bytes that may be anybody's. The number of elements of a sequence is a part of
//! the bytes, and elements that take no bytes (`()`, a struct without fields) cost nothing but time: ten bytes can say
//! that there are 2^64 of them, which kept a core busy for ever. So there may be as many elements, of all sequences
//! together, as there are bytes, and a few more.

use std::cell::Cell;
use std::fmt;

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor,
};

/// How many elements without bytes a value may have in all.
const EMPTY_ELEMENTS_MAX: usize = 65_536;

/// Reads a value from all of these bytes; what is left over is an error.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let (value, rest) = take(bytes)?;
    // A field that is gone would be lost without a word.
    if rest.is_empty() { Ok(value) } else { Err(DecodeError::LeftOver { bytes: rest.len() }) }
}

/// Reads a reply or an answer, which may have more fields than whoever has asked knows.
pub(crate) fn decode_reply<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, postcard::Error> {
    match take(bytes) {
        Ok((reply, _)) => Ok(reply),
        Err(DecodeError::Malformed(error)) => Err(error),
        Err(_) => Err(postcard::Error::DeserializeUnexpectedEnd),
    }
}

fn take<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, &[u8]), DecodeError> {
    let elements = Elements(Cell::new(bytes.len().saturating_add(EMPTY_ELEMENTS_MAX)));
    let mut postcard = postcard::Deserializer::from_bytes(bytes);
    let value = T::deserialize(Bounded { inner: &mut postcard, elements: &elements });
    if elements.is_too_many() {
        return Err(DecodeError::TooManyElements);
    }
    Ok((value?, postcard.finalize()?))
}

/// Why bytes are not those of a value.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeError {
    #[error(transparent)]
    Malformed(#[from] postcard::Error),
    #[error("a list in them has more elements than there are bytes")]
    TooManyElements,
    #[error("{bytes} of them belong to no field; fields that change need a new version")]
    LeftOver { bytes: usize },
}

/// How many more elements there may be; all of them are used up once there were too many.
struct Elements(Cell<usize>);

impl Elements {
    /// Whether there may be so many more.
    fn take<E: serde::de::Error>(&self, elements: usize) -> Result<(), E> {
        match self.0.get().checked_sub(elements) {
            Some(left) if self.0.get() != TOO_MANY => {
                self.0.set(left);
                Ok(())
            }
            _ => {
                self.0.set(TOO_MANY);
                Err(E::custom("more elements than bytes"))
            }
        }
    }

    fn is_too_many(&self) -> bool {
        self.0.get() == TOO_MANY
    }
}

const TOO_MANY: usize = usize::MAX;

/// A part of the way to the bytes, on which elements are counted: a deserializer, what visits its values, or what goes
/// from one element to the next.
struct Bounded<'e, T> {
    inner: T,
    elements: &'e Elements,
}

impl<'e, T> Bounded<'e, T> {
    fn with<U>(&self, inner: U) -> Bounded<'e, U> {
        Bounded { inner, elements: self.elements }
    }
}

/// Values that have no others in them.
macro_rules! plain {
    ($($method:ident)+) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.inner.$method(visitor)
        })+
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Bounded<'_, D> {
    type Error = D::Error;

    plain! {
        deserialize_any deserialize_bool
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64 deserialize_char deserialize_str deserialize_string
        deserialize_bytes deserialize_byte_buf deserialize_unit deserialize_identifier deserialize_ignored_any
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_unit_struct(name, visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let visitor = self.with(Within { visitor, is_counted: false });
        self.inner.deserialize_option(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, D::Error> {
        let visitor = self.with(Within { visitor, is_counted: false });
        self.inner.deserialize_newtype_struct(name, visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let visitor = self.with(Within { visitor, is_counted: true });
        self.inner.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let visitor = self.with(Within { visitor, is_counted: true });
        self.inner.deserialize_map(visitor)
    }

    // The type says how many these have.
    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, D::Error> {
        let visitor = self.with(Within { visitor, is_counted: false });
        self.inner.deserialize_tuple(length, visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let visitor = self.with(Within { visitor, is_counted: false });
        self.inner.deserialize_tuple_struct(name, length, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let visitor = self.with(Within { visitor, is_counted: false });
        self.inner.deserialize_struct(name, fields, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let visitor = self.with(Within { visitor, is_counted: false });
        self.inner.deserialize_enum(name, variants, visitor)
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

/// What is shown a value that has others in it.
struct Within<V> {
    visitor: V,
    /// The bytes say how many there are.
    is_counted: bool,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Bounded<'_, Within<V>> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.visitor.expecting(f)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.inner.visitor.visit_none()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        let deserializer = self.with(deserializer);
        self.inner.visitor.visit_some(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        let deserializer = self.with(deserializer);
        self.inner.visitor.visit_newtype_struct(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<V::Value, A::Error> {
        // How many there are is known at once where there are bytes enough for them.
        let known = if self.inner.is_counted { elements.size_hint() } else { Some(0) };
        self.elements.take(known.unwrap_or(0))?;
        let elements = self.with(Each { inner: elements, is_counted: known.is_none() });
        self.inner.visitor.visit_seq(elements)
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<V::Value, A::Error> {
        self.elements.take(entries.size_hint().unwrap_or(0))?;
        let entries = self.with(entries);
        self.inner.visitor.visit_map(entries)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, variant: A) -> Result<V::Value, A::Error> {
        let variant = self.with(variant);
        self.inner.visitor.visit_enum(variant)
    }
}

/// Goes from one element to the next.
struct Each<A> {
    inner: A,
    is_counted: bool,
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Bounded<'_, Each<A>> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        if self.inner.is_counted {
            self.elements.take(1)?;
        }
        let seed = self.with(seed);
        self.inner.inner.next_element_seed(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.inner.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Bounded<'_, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let seed = self.with(seed);
        self.inner.next_key_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.with(seed);
        self.inner.next_value_seed(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, 'e, A: EnumAccess<'de>> EnumAccess<'de> for Bounded<'e, A> {
    type Error = A::Error;
    type Variant = Bounded<'e, A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), A::Error> {
        let (variant, content) = self.inner.variant_seed(seed)?;
        Ok((variant, Bounded { inner: content, elements: self.elements }))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Bounded<'_, A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.with(seed);
        self.inner.newtype_variant_seed(seed)
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, A::Error> {
        let visitor = self.with(Within { visitor, is_counted: false });
        self.inner.tuple_variant(length, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let visitor = self.with(Within { visitor, is_counted: false });
        self.inner.struct_variant(fields, visitor)
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Bounded<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        let deserializer = self.with(deserializer);
        self.inner.deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fmt::Debug;

    use proptest::prelude::*;
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Empty {}

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Kind {
        Nothing,
        One(Box<Self>),
        Two(u8, Vec<()>),
        Named { texts: Vec<String>, pairs: BTreeMap<u16, (Empty, Option<i64>)> },
    }

    /// The bytes of a sequence of so many elements, and nothing after it.
    fn length(elements: u64) -> Vec<u8> {
        postcard::to_allocvec(&elements).unwrap()
    }

    fn is_refused<T: DeserializeOwned + Debug>(bytes: &[u8]) {
        let decoded = decode::<T>(bytes);
        assert!(matches!(decoded, Err(DecodeError::TooManyElements)), "{decoded:?}");
    }

    #[test]
    fn elements_that_take_no_bytes_are_bounded_wherever_they_are() {
        let endless = length(u64::MAX);
        is_refused::<Vec<()>>(&endless);
        is_refused::<Vec<Empty>>(&endless);
        is_refused::<Option<Vec<[(); 3]>>>(&[&[1], &endless[..]].concat());
        is_refused::<(u8, std::collections::LinkedList<()>)>(&[&[1], &endless[..]].concat());
        is_refused::<BTreeMap<(), ()>>(&endless);
        is_refused::<Kind>(&[&[2, 7], &endless[..]].concat());
        is_refused::<Kind>(&[&[1, 1, 1, 2, 7], &endless[..]].concat());
        // Many that are each allowed are not together.
        let many = [length(10_000), length(1_000).repeat(10_000)].concat();
        is_refused::<Vec<Vec<()>>>(&many);
    }

    #[test]
    fn a_few_elements_without_bytes_are_read() {
        for elements in [0, 1, 1_000, EMPTY_ELEMENTS_MAX] {
            assert_eq!(decode::<Vec<()>>(&length(elements as u64)).unwrap().len(), elements);
        }
    }

    #[test]
    fn a_length_without_its_elements_is_an_error_and_so_is_what_is_left_over() {
        assert!(matches!(decode::<Vec<u64>>(&length(1 << 40)), Err(DecodeError::Malformed(_))));
        assert!(matches!(decode::<u8>(&[1, 2, 3]), Err(DecodeError::LeftOver { bytes: 2 })));
    }

    fn kinds() -> impl Strategy<Value = Kind> {
        let leaf = prop_oneof![
            Just(Kind::Nothing),
            (any::<u8>(), 0..9_usize).prop_map(|(number, units)| Kind::Two(number, vec![(); units])),
            (
                proptest::collection::vec(".{0,9}", 0..9),
                proptest::collection::btree_map(any::<u16>(), any::<Option<i64>>(), 0..9)
            )
                .prop_map(|(texts, pairs)| {
                    let pairs = pairs.into_iter().map(|(key, value)| (key, (Empty {}, value))).collect();
                    Kind::Named { texts, pairs }
                }),
        ];
        leaf.prop_recursive(5, 5, 1, |inner| inner.prop_map(|kind| Kind::One(Box::new(kind))))
    }

    proptest! {
        #[test]
        fn what_can_be_written_is_read_as_it_was(values in proptest::collection::vec(kinds(), 0..9)) {
            let bytes = postcard::to_allocvec(&values).unwrap();
            prop_assert_eq!(decode::<Vec<Kind>>(&bytes).unwrap(), values);
        }

        #[test]
        fn any_bytes_are_read_as_without_the_bound_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..99)) {
            match decode::<Vec<Kind>>(&bytes) {
                Ok(values) => prop_assert_eq!(values, postcard::from_bytes::<Vec<Kind>>(&bytes).unwrap()),
                Err(DecodeError::LeftOver { .. }) => prop_assert!(postcard::from_bytes::<Vec<Kind>>(&bytes).is_ok()),
                Err(DecodeError::Malformed(_)) => prop_assert!(postcard::from_bytes::<Vec<Kind>>(&bytes).is_err()),
                Err(DecodeError::TooManyElements) => {}
            }
        }
    }
}
