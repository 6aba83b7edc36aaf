//! Nodes of the tree to typed options, collecting every error on the way.
//!
//! Serde stops at the first error. So each error is noted with the node it arose at, that node is
//! skipped, and the part is read again, until it can be read or nothing is left to skip. A field whose
//! value was skipped is, where it must be there, filled with a hole: whatever empty value its type takes.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;

use serde::Deserializer;
use serde::de::{DeserializeSeed, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};

use super::hole::Hole;
use super::key::Name;
use super::problem::Problem;
use super::suggest::{known, nearest};
use super::tree::{Filled, Key, Node, Tree, Value};
use super::typed::{Plain, plain};
use super::wrong::{Wrong, problem};

/// Options that come with a later version: what is said instead of "unknown".
pub(super) type Later = &'static [(&'static str, &'static str)];

/// Reads one part of the file: a node and all below it.
pub(super) struct Reading<'t> {
    pub(super) tree: &'t Tree,
    root: &'t Node,
    later: Later,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    /// What stopped the attempt that is under way: the first error, where it arose.
    failure: Option<(usize, Wrong)>,
    /// Nodes that are known to be wrong.
    skipped: BTreeSet<usize>,
    /// Maps that were read as a struct, whose fields are known: only those can have holes.
    structs: BTreeSet<usize>,
    /// Names that keys which are unknown were likely meant to be, by the map they are in.
    meant: BTreeSet<(usize, String)>,
    /// Fields that are known to be missing or wrong, by the map they belong to.
    holes: BTreeSet<(usize, &'static str)>,
    problems: Vec<Problem>,
    /// Whether any value was left out, so that what is read is not what was written.
    partial: bool,
}

/// More attempts than any part has errors that a person would mend at once.
const ATTEMPTS_MAX: usize = 64;

/// Reads `root` by `read`, which is called again after each error. `None` if anything was wrong.
pub(super) fn read<'t, T, E: Display>(
    tree: &'t Tree,
    root: &'t Node,
    later: Later,
    problems: &mut Vec<Problem>,
    read: impl FnMut(At<'_>) -> Result<T, E>,
) -> Option<T> {
    let reading = Reading { tree, root, later, state: RefCell::default() };
    let value = reading.attempts(read);
    let state = reading.state.into_inner();
    problems.extend(state.problems);
    if state.partial { None } else { value }
}

/// As [`read`], but also gives what could be read beside the errors.
pub(super) fn read_partly<'t, T, E: Display>(
    tree: &'t Tree,
    root: &'t Node,
    later: Later,
    problems: &mut Vec<Problem>,
    read: impl FnMut(At<'_>) -> Result<T, E>,
) -> Option<T> {
    let reading = Reading { tree, root, later, state: RefCell::default() };
    let value = reading.attempts(read);
    problems.extend(reading.state.into_inner().problems);
    value
}

impl<'t> Reading<'t> {
    fn attempts<T, E: Display>(&self, mut read: impl FnMut(At<'_>) -> Result<T, E>) -> Option<T> {
        for _ in 0..ATTEMPTS_MAX {
            let error = match read(At { node: self.root, reading: self }) {
                Ok(value) => return Some(value),
                Err(error) => error,
            };
            let mut state = self.state.borrow_mut();
            state.partial = true;
            let failure = state.failure.take();
            let (id, wrong) =
                failure.unwrap_or_else(|| (self.root.id, Wrong::Custom(error.to_string())));
            if !self.give_up_on(&mut state, id, &wrong) {
                return None;
            }
        }
        None
    }

    /// Tells of an error, and sees to it that the next attempt does not meet it. False if that cannot be.
    fn give_up_on(&self, state: &mut State, id: usize, wrong: &Wrong) -> bool {
        let Some(node) = self.find(id) else {
            return false;
        };
        let mut target = id;
        match wrong {
            Wrong::Silent => {}
            Wrong::Missing(field) if state.structs.contains(&id) => {
                if state.holes.insert((id, field)) {
                    let meant = state.meant.contains(&(id, (*field).to_owned()));
                    if node.get(field).is_none() && !meant {
                        state.problems.push(problem(self.tree, node, wrong));
                    }
                    return true;
                }
            }
            Wrong::Field { name, .. } if node.get(name).is_some() => {
                target = node.get(name).map_or(id, |(_, value)| value.id);
                state.problems.push(problem(self.tree, node, wrong));
            }
            Wrong::Custom(_)
            | Wrong::Missing(_)
            | Wrong::Type { .. }
            | Wrong::Field { .. }
            | Wrong::Variant { .. }
            | Wrong::Length { .. } => {
                // What a container says about what was taken out of it says nothing about the file.
                if !children(node).any(|c| state.skipped.contains(&c)) {
                    state.problems.push(problem(self.tree, node, wrong));
                }
            }
        }
        while !state.skipped.insert(target) {
            match self.tree.parent(target) {
                Some(parent) if target != self.root.id => target = parent,
                _ => return false,
            }
        }
        target != self.root.id
    }

    fn find(&self, id: usize) -> Option<&'t Node> {
        let mut node = self.root;
        while node.id != id {
            // Children are numbered in order, so the last that begins at or before `id` holds it.
            node = match &node.value {
                Value::Scalar(_) => return None,
                Value::List(items) => items.iter().rev().find(|n| n.id <= id)?,
                Value::Map(entries) => entries.iter().rev().map(|(_, n)| n).find(|n| n.id <= id)?,
            };
        }
        Some(node)
    }

    /// Notes where an error arose; those that merely pass by on their way up change nothing.
    fn note(&self, node: &Node, wrong: &Wrong) {
        let mut state = self.state.borrow_mut();
        if state.failure.is_none() {
            state.failure = Some((node.id, wrong.clone()));
        }
    }

    fn skipped(&self, node: &Node) -> bool {
        if let Value::Scalar(s) = &node.value
            && s.filled == Filled::Lost
        {
            let mut state = self.state.borrow_mut();
            state.partial = true;
            state.skipped.insert(node.id);
            return true;
        }
        self.state.borrow().skipped.contains(&node.id)
    }

    /// Tells of keys that the options do not have, and skips them.
    fn refuse_unknown(
        &self,
        node: &Node,
        entries: &[(Key, Node)],
        fields: &'static [&'static str],
    ) {
        for (key, value) in entries {
            if fields.contains(&key.text.as_str()) {
                continue;
            }
            let mut state = self.state.borrow_mut();
            state.partial = true;
            if !state.skipped.insert(value.id) {
                continue;
            }
            if let Some(meant) = nearest(&key.text, fields) {
                state.meant.insert((node.id, meant.to_owned()));
            }
            let problem = match self.later.iter().find(|(name, _)| *name == key.text) {
                Some((name, fix)) => {
                    Problem::new(format!("`{name}` is not there yet"), key.at.clone()).fix(*fix)
                }
                None => Problem::new(format!("unknown option `{}`", key.text), key.at.clone())
                    .fix(known(&key.text, fields.iter().copied())),
            };
            state.problems.push(problem.path(self.tree.path(node.id)));
        }
    }
}

fn children(node: &Node) -> Box<dyn Iterator<Item = usize> + '_> {
    match &node.value {
        Value::Scalar(_) => Box::new(std::iter::empty()),
        Value::List(items) => Box::new(items.iter().map(|n| n.id)),
        Value::Map(entries) => Box::new(entries.iter().map(|(_, n)| n.id)),
    }
}

/// A node, as serde reads it.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) node: &'a Node,
    reading: &'a Reading<'a>,
}

impl<'a> At<'a> {
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
        let holes = match fields {
            Some(fields) => {
                let state = self.reading.state.borrow();
                fields
                    .iter()
                    .copied()
                    .filter(|f| state.holes.contains(&(self.node.id, *f)))
                    .collect()
            }
            None => Vec::new(),
        };
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
        self.reading.state.borrow_mut().structs.insert(self.node.id);
        self.reading.refuse_unknown(self.node, entries, fields);
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
