//! Values that come one by one as text, to columns: the fields of a hash, say.
//!
//! They are read as fields of CSV are: numbers as in JSON, `true` and `false` in any case, moments as RFC 3339. What
//! is not there is null.

use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};
use bytes::Bytes;
use millstream_core::codec::{Column, ColumnType, Columns};
use millstream_core::lookup::{Read, Reader};
use millstream_core::{Error, Result};

use super::cells::{Cells, Room, Slots};
use super::csv::decode::value;
use super::short::Short;

/// Makes rows of values in the order of the columns.
#[derive(Debug)]
pub(crate) struct Texts {
    slots: Slots,
    schema: SchemaRef,
    room: Room,
}

impl Texts {
    /// For these columns.
    ///
    /// # Errors
    /// `Stop` for a list or struct, which has no form as text.
    pub(crate) fn of(columns: &Columns) -> Result<Self> {
        for column in &columns.0 {
            if matches!(column.r#type, ColumnType::List(_) | ColumnType::Struct(_)) {
                let what =
                    format!("column `{}` is a {}, which no text holds", column.name, column.r#type);
                return Err(Error::stop(what).fix("declare it as string or json"));
            }
        }
        let schema = Schema::new(columns.0.iter().map(Column::field).collect::<Vec<_>>());
        Ok(Self { slots: Slots::of(&columns.0), schema: Arc::new(schema), room: Room::default() })
    }

    /// The name that a column's value goes by.
    ///
    /// # Errors
    /// `Stop` when `at` leads into a value.
    pub(crate) fn name_of(column: &Column) -> Result<String> {
        let Some(at) = &column.at else { return Ok(column.name.clone()) };
        let mut tokens = super::json::tokens(at)?;
        let one = tokens.pop().filter(|_| tokens.is_empty());
        one.ok_or_else(|| {
            Error::stop(format!("column `{}`: `at: {at}` leads into a field", column.name))
                .fix("here `at` is one name, such as `/Device name`")
        })
    }

    fn row(&self, values: &[Option<Bytes>], cells: &mut Cells) -> Result<(), String> {
        for (slot, value_) in self.slots.top.iter().zip(values) {
            let it = self.slots.get(*slot);
            let Some(text) = value_ else {
                if it.required {
                    return Err(format!("column `{}` is required, and not there", it.path));
                }
                cells.null(*slot);
                continue;
            };
            if std::str::from_utf8(text).is_err() {
                return Err(format!("column `{}` is no UTF-8", it.path));
            }
            if value(it.kind, *slot, text, cells).is_none() {
                let found = Short(text);
                return Err(format!("column `{}` is {}, found {found}", it.path, it.r#type));
            }
        }
        Ok(())
    }
}

impl Reader for Texts {
    fn read(&mut self, found: &[&[Option<Bytes>]]) -> Result<Read> {
        let bytes: usize = found.iter().flat_map(|v| v.iter().flatten()).map(Bytes::len).sum();
        // Arrow's offsets have 31 bits.
        let fits = i32::try_from(bytes).is_ok();
        let mut cells = Cells::of(&self.slots, &self.room);
        let mut unfit = Vec::new();
        for (i, values) in found.iter().enumerate() {
            let row = if fits {
                self.row(values, &mut cells)
            } else {
                Err("2 GiB or more were answered at once".into())
            };
            match row {
                Ok(()) => cells.rows += 1,
                Err(reason) => {
                    cells.cut_rows(&self.slots, cells.rows);
                    unfit.push((i, reason));
                }
            }
        }
        self.room = cells.room();
        Ok(Read { rows: cells.finish(&self.slots, &self.schema)?, unfit })
    }
}
