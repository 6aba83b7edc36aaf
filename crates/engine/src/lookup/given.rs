//! A lookup whose rows a test gives.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};

use millstream_core::Result;
use millstream_core::lookup::{Answers, Known, Place};
use millstream_core::operator::Table;

/// Rows with their keys, in the first column.
#[derive(Clone, Debug)]
pub(crate) struct GivenRows {
    pub(crate) name: String,
    pub(crate) rows: RecordBatch,
}

impl GivenRows {
    /// The lookup as SQL has it.
    pub(crate) fn table(&self) -> Table {
        let lookup: Arc<dyn Answers> = Arc::new(self.clone());
        Table { lookup: Some(lookup), ..Table::source(&self.name, Some(self.rows.schema())) }
    }
}

impl Answers for GivenRows {
    fn find(&self, keys: &[&str]) -> Result<Option<Known>> {
        let known = self.rows.column(0).as_string::<i32>();
        let place = |key: &&str| {
            // The last one counts, as the last write does.
            let row = (0..known.len()).rev().find(|row| known.value(*row) == *key);
            row.and_then(|row| u32::try_from(row).ok()).map_or(Place::Nowhere, Place::Row)
        };
        let places = keys.iter().map(place).collect();
        Ok(Some(Known { rows: self.rows.clone(), places }))
    }

    fn is_recorded(&self) -> bool {
        true
    }

    fn gives_nulls(&self) -> bool {
        false
    }
}
