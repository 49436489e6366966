//! One sequence of bytes for each value: a serializer whose output does not depend on the order of maps, nor on that of
//! sequences that are marked as unordered. It is only compared and hashed, never read.

use std::fmt;

use serde::ser::{self, Serialize};

/// The name of the newtype that marks a value whose elements are in no order. Other serializers write what is in it.
pub(super) const UNORDERED: &str = "$everpost::unordered";

/// Appends a value to `out`.
pub(super) struct Canonical<'a> {
    out: &'a mut Vec<u8>,
    /// The elements of the next sequence are in no order.
    unordered: bool,
}

impl<'a> Canonical<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, unordered: false }
    }

    fn length(self, length: usize) -> Self {
        self.out.extend_from_slice(&(length as u64).to_be_bytes());
        self
    }

    fn bytes(self, bytes: &[u8]) -> Result<(), Impossible> {
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn variant(&mut self, index: u32) {
        self.out.extend_from_slice(&index.to_be_bytes());
    }

    fn fields(self) -> Fields<'a> {
        Fields { out: self.out }
    }

    fn elements(self) -> Elements<'a> {
        Elements { out: self.out, unordered: self.unordered, each: Vec::new() }
    }
}

/// A value says that it cannot be serialized.
#[derive(Debug)]
pub(super) struct Impossible;

impl fmt::Display for Impossible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the value cannot be serialized")
    }
}

impl std::error::Error for Impossible {}

impl ser::Error for Impossible {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

/// A fixed number of values, one behind the other.
pub(super) struct Fields<'a> {
    out: &'a mut Vec<u8>,
}

impl Fields<'_> {
    fn add<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Impossible> {
        value.serialize(Canonical::new(self.out))
    }
}

/// Any number of values: of a sequence in their order or sorted, of a map sorted by their keys.
pub(super) struct Elements<'a> {
    out: &'a mut Vec<u8>,
    unordered: bool,
    each: Vec<Vec<u8>>,
}

impl Elements<'_> {
    fn add<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Impossible> {
        let mut element = Vec::new();
        value.serialize(Canonical::new(&mut element))?;
        self.each.push(element);
        Ok(())
    }

    fn finish(mut self) -> Result<(), Impossible> {
        if self.unordered {
            self.each.sort_unstable();
        }
        self.out.extend_from_slice(&(self.each.len() as u64).to_be_bytes());
        for element in &self.each {
            self.out.extend_from_slice(&(element.len() as u64).to_be_bytes());
            self.out.extend_from_slice(element);
        }
        Ok(())
    }
}

/// The entries of a map: a key with its value is one element.
pub(super) struct Entries<'a>(Elements<'a>);

macro_rules! numbers {
    ($($method:ident: $type:ty),*) => {
        $(fn $method(self, value: $type) -> Result<(), Impossible> {
            self.bytes(&value.to_be_bytes())
        })*
    };
}

impl<'a> ser::Serializer for Canonical<'a> {
    type Ok = ();
    type Error = Impossible;
    type SerializeSeq = Elements<'a>;
    type SerializeTuple = Fields<'a>;
    type SerializeTupleStruct = Fields<'a>;
    type SerializeTupleVariant = Fields<'a>;
    type SerializeMap = Entries<'a>;
    type SerializeStruct = Fields<'a>;
    type SerializeStructVariant = Fields<'a>;

    numbers! {
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_i128: i128,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_u128: u128,
        serialize_f32: f32, serialize_f64: f64
    }

    fn serialize_bool(self, value: bool) -> Result<(), Impossible> {
        self.bytes(&[u8::from(value)])
    }

    fn serialize_char(self, value: char) -> Result<(), Impossible> {
        self.bytes(&u32::from(value).to_be_bytes())
    }

    fn serialize_str(self, value: &str) -> Result<(), Impossible> {
        self.serialize_bytes(value.as_bytes())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Impossible> {
        self.length(value.len()).bytes(value)
    }

    fn serialize_none(self) -> Result<(), Impossible> {
        self.bytes(&[0])
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Impossible> {
        self.out.push(1);
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Impossible> {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Impossible> {
        Ok(())
    }

    fn serialize_unit_variant(mut self, _: &'static str, index: u32, _: &'static str) -> Result<(), Impossible> {
        self.variant(index);
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<(), Impossible> {
        value.serialize(Self { unordered: self.unordered || name == UNORDERED, ..self })
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        mut self,
        _: &'static str,
        index: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), Impossible> {
        self.variant(index);
        value.serialize(Self::new(self.out))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Elements<'a>, Impossible> {
        Ok(self.elements())
    }

    fn serialize_tuple(self, _: usize) -> Result<Fields<'a>, Impossible> {
        Ok(self.fields())
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Fields<'a>, Impossible> {
        Ok(self.fields())
    }

    fn serialize_tuple_variant(
        mut self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Fields<'a>, Impossible> {
        self.variant(index);
        Ok(self.fields())
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Entries<'a>, Impossible> {
        Ok(Entries(Elements { unordered: true, ..self.elements() }))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Fields<'a>, Impossible> {
        Ok(self.fields())
    }

    fn serialize_struct_variant(
        mut self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Fields<'a>, Impossible> {
        self.variant(index);
        Ok(self.fields())
    }

    fn is_human_readable(&self) -> bool {
        // As the bytes that are stored.
        false
    }
}

impl ser::SerializeSeq for Elements<'_> {
    type Ok = ();
    type Error = Impossible;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Impossible> {
        self.add(value)
    }

    fn end(self) -> Result<(), Impossible> {
        self.finish()
    }
}

impl ser::SerializeMap for Entries<'_> {
    type Ok = ();
    type Error = Impossible;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Impossible> {
        self.0.add(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Impossible> {
        let entry = self.0.each.last_mut().ok_or(Impossible)?;
        value.serialize(Canonical::new(entry))
    }

    fn end(self) -> Result<(), Impossible> {
        self.0.finish()
    }
}

macro_rules! fields {
    ($($of:ident: $method:ident($($name:ty)?)),*) => {
        $(impl ser::$of for Fields<'_> {
            type Ok = ();
            type Error = Impossible;

            fn $method<T: Serialize + ?Sized>(&mut self, $(_: $name,)? value: &T) -> Result<(), Impossible> {
                self.add(value)
            }

            fn end(self) -> Result<(), Impossible> {
                Ok(())
            }
        })*
    };
}

fields! {
    SerializeTuple: serialize_element(),
    SerializeTupleStruct: serialize_field(),
    SerializeTupleVariant: serialize_field(),
    SerializeStruct: serialize_field(&'static str),
    SerializeStructVariant: serialize_field(&'static str)
}
