//! Nodes of the tree as serde reads them: typed by the core schema of YAML and by what is wanted.
//!
//! Each error is noted with the node it arose at; see [`super::reading`].

use serde::Deserializer;
use serde::de::{DeserializeSeed, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};

use super::hole::Hole;
use super::key::Name;
use super::reading::Reading;
use super::tree::{Key, Node, Value};
use super::typed::{Plain, plain};
use super::wrong::Wrong;

/// A node, as serde reads it.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    node: &'a Node,
    reading: &'a Reading<'a>,
}

impl<'a> At<'a> {
    pub(super) fn new(node: &'a Node, reading: &'a Reading<'a>) -> Self {
        Self { node, reading }
    }

    pub(super) fn told<T>(self, result: Result<T, Wrong>) -> Result<T, Wrong> {
        result.inspect_err(|wrong| self.reading.note(self.node, wrong))
    }

    fn child(self, node: &'a Node) -> At<'a> {
        At { node, reading: self.reading }
    }

    /// An error about something below that is known already.
    fn silent<T>(self) -> Result<T, Wrong> {
        self.told(Err(Wrong::Silent))
    }

    fn any<'de, V: Visitor<'de>>(self, wish: Wish, visitor: V) -> Result<V::Value, Wrong> {
        if self.reading.skipped(self.node) {
            return self.silent();
        }
        let result = match &self.node.value {
            Value::Scalar(s) => match plain(s, wish) {
                Plain::Null => visitor.visit_unit(),
                Plain::Bool(b) => visitor.visit_bool(b),
                Plain::Unsigned(n) => visitor.visit_u64(n),
                Plain::Signed(n) => visitor.visit_i64(n),
                Plain::Float(n) => visitor.visit_f64(n),
                Plain::Text => visitor.visit_str(&s.text),
            },
            Value::List(items) => visitor.visit_seq(Items { at: self, items: items.iter() }),
            Value::Map(entries) => visitor.visit_map(self.entries(entries, None)),
        };
        self.told(result)
    }

    fn entries(
        self,
        entries: &'a [(Key, Node)],
        fields: Option<&'static [&'static str]>,
    ) -> Entries<'a> {
        let holes = fields.map_or_else(Vec::new, |f| self.reading.holes(self.node, f));
        Entries { at: self, entries: entries.iter(), holes, next: None }
    }

    fn fields<'de, V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        if self.reading.skipped(self.node) {
            return self.silent();
        }
        let entries = match &self.node.value {
            Value::Map(entries) => entries.as_slice(),
            // `http:` with nothing below it has no options.
            Value::Scalar(_) if self.node.is_null() => &[],
            Value::Scalar(_) => return self.any(Wish::Any, visitor),
            // Serde would take its items for the fields, in their order.
            Value::List(_) => {
                return self.told(Err(Wrong::Type { expected: "a map of options".into() }));
            }
        };
        self.reading.as_struct(self.node, entries, fields);
        let result = visitor.visit_map(self.entries(entries, Some(fields)));
        self.told(result)
    }
}

/// What the options want where a value stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Any,
    Text,
    Number,
    Bool,
}

macro_rules! wish {
    ($($method:ident: $wish:ident),*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
            self.any(Wish::$wish, visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for At<'_> {
    type Error = Wrong;

    wish!(
        deserialize_any: Any, deserialize_bool: Bool,
        deserialize_i8: Number, deserialize_i16: Number, deserialize_i32: Number, deserialize_i64: Number, deserialize_i128: Number,
        deserialize_u8: Number, deserialize_u16: Number, deserialize_u32: Number, deserialize_u64: Number, deserialize_u128: Number,
        deserialize_f32: Number, deserialize_f64: Number,
        deserialize_char: Text, deserialize_str: Text, deserialize_string: Text,
        deserialize_bytes: Text, deserialize_byte_buf: Text, deserialize_identifier: Text,
        deserialize_unit: Any, deserialize_seq: Any
    );

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        if self.reading.skipped(self.node) {
            return self.silent();
        }
        let result =
            if self.node.is_null() { visitor.visit_none() } else { visitor.visit_some(self) };
        self.told(result)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        self.any(Wish::Any, visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        let result = visitor.visit_newtype_struct(self);
        self.told(result)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Wrong> {
        self.any(Wish::Any, visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        self.any(Wish::Any, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        if self.node.is_null() && !self.reading.skipped(self.node) {
            let result = visitor.visit_map(self.entries(&[], None));
            return self.told(result);
        }
        self.any(Wish::Any, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        self.fields(fields, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        if self.reading.skipped(self.node) {
            return self.silent();
        }
        let (name, content) = match &self.node.value {
            Value::Scalar(s) if !self.node.is_null() => (s.text.as_str(), None),
            Value::Map(entries) => match entries.as_slice() {
                [(key, content)] => (key.text.as_str(), Some(content)),
                entries => return self.told(Err(Wrong::one_choice(entries.len(), variants))),
            },
            Value::Scalar(_) | Value::List(_) => {
                return self.told(Err(Wrong::one_choice(0, variants)));
            }
        };
        let result = visitor.visit_enum(Choice { at: self, name, content });
        self.told(result)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_unit()
    }
}

struct Items<'a> {
    at: At<'a>,
    items: std::slice::Iter<'a, Node>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Wrong;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Wrong> {
        let next = self.items.find(|n| !self.at.reading.skipped(n));
        next.map(|node| seed.deserialize(self.at.child(node))).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

struct Entries<'a> {
    at: At<'a>,
    entries: std::slice::Iter<'a, (Key, Node)>,
    /// Fields that are given an empty value at the end.
    holes: Vec<&'static str>,
    next: Option<&'a Node>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Wrong;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Wrong> {
        let next = self.entries.find(|(_, n)| !self.at.reading.skipped(n));
        self.next = next.map(|(_, node)| node);
        let name = match next {
            Some((key, _)) => key.text.as_str(),
            None => match self.holes.pop() {
                Some(name) => name,
                None => return Ok(None),
            },
        };
        seed.deserialize(Name { at: self.at, text: name }).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Wrong> {
        match self.next.take() {
            Some(node) => seed.deserialize(self.at.child(node)),
            None => seed.deserialize(Hole).or_else(|_| self.at.silent()),
        }
    }
}

struct Choice<'a> {
    at: At<'a>,
    name: &'a str,
    content: Option<&'a Node>,
}

impl<'de> EnumAccess<'de> for Choice<'_> {
    type Error = Wrong;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Wrong> {
        let value = seed.deserialize(Name { at: self.at, text: self.name })?;
        Ok((value, self))
    }
}

impl Choice<'_> {
    fn no_content(&self) -> Wrong {
        Wrong::Custom(format!("`{0}` needs options: write `{0}: {{ … }}`", self.name))
    }
}

impl<'de> VariantAccess<'de> for Choice<'_> {
    type Error = Wrong;

    fn unit_variant(self) -> Result<(), Wrong> {
        match self.content {
            Some(c) if !c.is_null() && c.entries().is_none_or(|e| !e.is_empty()) => {
                let wrong = Wrong::Custom(format!("`{}` takes no options", self.name));
                self.at.told(Err(wrong))
            }
            _ => Ok(()),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Wrong> {
        match self.content {
            Some(content) => seed.deserialize(self.at.child(content)),
            None => self.at.told(Err(self.no_content())),
        }
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Wrong> {
        match self.content {
            Some(content) => self.at.child(content).any(Wish::Any, visitor),
            None => self.at.told(Err(self.no_content())),
        }
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        match self.content {
            Some(content) => self.at.child(content).fields(fields, visitor),
            None => self.at.told(Err(self.no_content())),
        }
    }
}
