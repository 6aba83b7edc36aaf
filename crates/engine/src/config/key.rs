//! Keys of maps and names of choices, as serde reads them.

use serde::de::value::StrDeserializer;
use serde::de::{IntoDeserializer, Visitor};
use serde::{Deserializer, forward_to_deserialize_any};

use super::decode::At;
use super::wrong::Wrong;

/// Text that stands for a key or a choice. Errors arise at the node that has it.
pub(super) struct Name<'a> {
    pub(super) at: At<'a>,
    pub(super) text: &'a str,
}

macro_rules! numbers {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
            if let Ok(n) = self.text.parse() {
                return self.at.told(visitor.visit_u64(n));
            }
            match self.text.parse() {
                Ok(n) => self.at.told(visitor.visit_i64(n)),
                Err(_) => self.deserialize_any(visitor),
            }
        })*
    };
}

impl<'de> Deserializer<'de> for Name<'_> {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.at.told(visitor.visit_str(self.text))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        let at = self.at;
        at.told(visitor.visit_newtype_struct(self))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let at = self.at;
        at.told(visitor.visit_some(self))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        let name: StrDeserializer<'_, Wrong> = self.text.into_deserializer();
        self.at.told(visitor.visit_enum(name))
    }

    numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    forward_to_deserialize_any! {
        bool i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}
