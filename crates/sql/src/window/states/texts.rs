//! The least, greatest, first and last of texts.

use std::any::Any;
use std::marker::PhantomData;
use std::sync::Arc;

use arrow::compute::cast;
use arrow_array::{Array, ArrayRef, BinaryArray};
use arrow_schema::DataType;
use datafusion_common::Result;

use super::super::bytes::{Reader, put_bytes};
use super::super::keys::unfit;
use super::cells::{Choice, Has};
use super::{Input, States};

/// One of the texts (or bytes) of each group.
pub(super) struct Texts<P> {
    texts: Vec<(Has, Box<[u8]>)>,
    heap: usize,
    kind: DataType,
    choice: PhantomData<P>,
}

impl<P: Choice> Texts<P> {
    pub(super) fn of(kind: &DataType) -> Box<dyn States> {
        Box::new(Self { texts: vec![], heap: 0, kind: kind.clone(), choice: PhantomData })
    }

    fn take(&mut self, group: u32, text: Option<&[u8]>) {
        let Some((has, own)) = self.texts.get_mut(group as usize) else { return };
        let takes = match (*has, text) {
            (_, None) if !P::NULLS => false,
            (Has::Nothing, _) => true,
            (_, text) => P::takes(text.unwrap_or_default(), own),
        };
        if takes {
            let text: (Has, Box<[u8]>) =
                text.map_or((Has::Null, Box::default()), |t| (Has::Value, Box::from(t)));
            self.heap = self.heap + text.1.len() - own.len();
            (*has, *own) = text;
        }
    }
}

impl<P: Choice> States for Texts<P> {
    fn grow(&mut self, len: usize, capacity: usize) {
        self.texts.reserve_exact(capacity.saturating_sub(self.texts.len()));
        self.texts.resize(len, (Has::Nothing, Box::default()));
    }

    fn add(&mut self, input: &Input, rows: &[u32], groups: &[u32]) -> Result<()> {
        let Input::Texts(texts) = input else { return Err(unfit()) };
        for (row, group) in rows.iter().zip(groups) {
            let row = *row as usize;
            self.take(*group, texts.is_valid(row).then(|| texts.value(row)));
        }
        Ok(())
    }

    fn merge(&mut self, later: &dyn States, to: &[u32]) -> Result<()> {
        let later = later.as_any().downcast_ref::<Self>().ok_or_else(unfit)?;
        for ((has, text), to) in later.texts.iter().zip(to) {
            match has {
                Has::Nothing => {}
                Has::Null => self.take(*to, None),
                Has::Value => self.take(*to, Some(text)),
            }
        }
        Ok(())
    }

    fn finish(&self, groups: &[u32]) -> Result<ArrayRef> {
        let texts = groups.iter().filter_map(|g| self.texts.get(*g as usize));
        let texts: BinaryArray =
            texts.map(|(has, t)| (*has == Has::Value).then_some(t.as_ref())).collect();
        let texts: ArrayRef = Arc::new(texts);
        Ok(cast(&texts, &self.kind)?)
    }

    fn save(&self, group: usize, out: &mut Vec<u8>) {
        if let Some((has, text)) = self.texts.get(group) {
            out.push(*has as u8);
            put_bytes(out, text);
        }
    }

    fn load(&mut self, group: usize, from: &mut Reader<'_>) -> Option<()> {
        let has = Has::of(from.u8()?)?;
        let text = Box::<[u8]>::from(from.bytes()?);
        let own = self.texts.get_mut(group)?;
        self.heap = self.heap + text.len() - own.1.len();
        *own = (has, text);
        Some(())
    }

    fn clear(&mut self, group: usize) {
        if let Some(own) = self.texts.get_mut(group) {
            self.heap -= own.1.len();
            *own = (Has::Nothing, Box::default());
        }
    }

    fn width(&self) -> usize {
        size_of::<(Has, Box<[u8]>)>()
    }

    fn heap(&self) -> usize {
        self.heap
    }

    fn heap_of(&self, group: usize) -> usize {
        self.texts.get(group).map_or(0, |t| t.1.len())
    }

    fn copy(&self) -> Box<dyn States> {
        let (texts, kind) = (self.texts.clone(), self.kind.clone());
        Box::new(Self { texts, heap: self.heap, kind, choice: PhantomData })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
