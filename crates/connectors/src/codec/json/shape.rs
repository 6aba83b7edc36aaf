//! Where in a row each column is found: a tree of keys, made once per decoder.

use millstream_core::codec::{Column, ColumnType};
use millstream_core::{Error, Result};

use crate::codec::cells::{Kind, Slots};

/// The keys of one object that matter.
#[derive(Debug, Default)]
pub(super) struct Keys {
    pub(super) keys: Vec<Key>,
    /// Indices of `keys` by name.
    sorted: Vec<usize>,
}

/// One key, the columns its value fills, and the keys inside it that matter.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: Box<[u8]>,
    /// Its number among all keys of the shape.
    pub(super) id: usize,
    pub(super) slots: Vec<usize>,
    pub(super) inner: Option<Keys>,
}

impl Keys {
    /// The key called `name`; `hint` is tried first and moves on.
    #[inline]
    pub(super) fn find(&self, name: &[u8], hint: &mut usize) -> Option<&Key> {
        if let Some(key) = self.keys.get(*hint)
            && *key.name == *name
        {
            *hint += 1;
            return Some(key);
        }
        let at = |i: &usize| self.keys.get(*i);
        let place = self.sorted.partition_point(|i| at(i).is_some_and(|k| *k.name < *name));
        let index = self.sorted.get(place)?;
        let key = at(index).filter(|k| *k.name == *name)?;
        *hint = index + 1;
        Some(key)
    }

    fn enter(&mut self, name: &str, ids: &mut usize) -> &mut Key {
        let found = self.keys.iter().position(|k| *k.name == *name.as_bytes());
        let index = found.unwrap_or_else(|| {
            let name = name.as_bytes().into();
            self.keys.push(Key { name, id: *ids, slots: Vec::new(), inner: None });
            *ids += 1;
            self.keys.len() - 1
        });
        let Some(key) = self.keys.get_mut(index) else { unreachable!("the key was just found") };
        key
    }

    fn sort(&mut self) {
        self.sorted = (0..self.keys.len()).collect();
        let keys = &self.keys;
        self.sorted.sort_by_key(|i| keys.get(*i).map(|k| &k.name));
        for key in &mut self.keys {
            if let Some(inner) = &mut key.inner {
                inner.sort();
            }
        }
    }
}

/// All that a decoder knows about its columns.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) slots: Slots,
    pub(super) root: Keys,
    /// By slot: the keys of a struct.
    structs: Vec<Option<Keys>>,
    /// How many keys there are in all.
    pub(super) keys: usize,
    /// The only column is the row itself, as text.
    pub(super) whole: bool,
}

impl Shape {
    /// The shape of these columns.
    ///
    /// # Errors
    /// `Stop` when a pointer cannot be read.
    pub(super) fn of(columns: &[Column]) -> Result<Self> {
        let slots = Slots::of(columns);
        let mut structs = Vec::new();
        structs.resize_with(slots.all.len(), || None);
        let mut making = Making { slots: &slots, structs, ids: 0 };
        let root = making.keys(columns, &slots.top)?;
        let (structs, keys) = (making.structs, making.ids);
        Ok(Self { slots, root, structs, keys, whole: false })
    }

    /// The shape that keeps each row as it is.
    pub(super) fn whole_rows() -> Self {
        let slots = Slots::of(&[Column::new("row", ColumnType::Json)]);
        Self { slots, root: Keys::default(), structs: Vec::new(), keys: 0, whole: true }
    }

    /// The keys of the struct in `slot`.
    pub(super) fn keys_of(&self, slot: usize) -> Option<&Keys> {
        self.structs.get(slot)?.as_ref()
    }
}

struct Making<'a> {
    slots: &'a Slots,
    structs: Vec<Option<Keys>>,
    ids: usize,
}

impl Making<'_> {
    fn keys(&mut self, columns: &[Column], slots: &[usize]) -> Result<Keys> {
        let mut root = Keys::default();
        for (column, slot) in columns.iter().zip(slots) {
            let tokens = match &column.at {
                Some(at) => tokens(at).map_err(|e| e.at(format!("column `{}`", column.name)))?,
                None => vec![column.name.clone()],
            };
            let mut keys = &mut root;
            let mut tokens = tokens.iter().peekable();
            while let Some(token) = tokens.next() {
                let key = keys.enter(token, &mut self.ids);
                if tokens.peek().is_none() {
                    key.slots.push(*slot);
                    break;
                }
                keys = key.inner.get_or_insert_default();
            }
            self.inside(&column.r#type, *slot)?;
        }
        root.sort();
        Ok(root)
    }

    fn inside(&mut self, r#type: &ColumnType, slot: usize) -> Result<()> {
        match (r#type, self.slots.get(slot).kind) {
            (ColumnType::List(item), Kind::List(item_slot)) => self.inside(item, item_slot),
            (ColumnType::Struct(columns), _) => {
                let children = self.slots.get(slot).children.clone();
                let keys = self.keys(&columns.0, &children)?;
                if let Some(place) = self.structs.get_mut(slot) {
                    *place = Some(keys);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// The keys that a JSON pointer (RFC 6901) names, one after the other.
///
/// # Errors
/// `Stop` when it is no pointer.
pub(crate) fn tokens(pointer: &str) -> Result<Vec<String>> {
    let bad = || {
        Error::stop(format!("`{pointer}` is no JSON pointer"))
            .fix("write it as `/key/inner`; inside a key, `/` is written `~1` and `~` is `~0`")
    };
    if pointer.is_empty() {
        return Ok(Vec::new());
    }
    let rest = pointer.strip_prefix('/').ok_or_else(bad)?;
    let token = |t: &str| {
        let rest = t.replace("~0", "").replace("~1", "");
        if rest.contains('~') {
            return Err(bad());
        }
        Ok(t.replace("~1", "/").replace("~0", "~"))
    };
    rest.split('/').map(token).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_is_read_as_rfc_6901_has_it() {
        assert_eq!(tokens("/a~1b/m~0n//0").unwrap(), ["a/b", "m~n", "", "0"]);
        assert_eq!(tokens("/~01").unwrap(), ["~1"]);
        assert_eq!(tokens("").unwrap(), Vec::<String>::new());
        for bad in ["a", "/~", "/~2"] {
            tokens(bad).unwrap_err();
        }
    }
}
