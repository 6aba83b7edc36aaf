//! A digest of rows by value, so that a replay can be held against what was sent before.

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::DataType;
use xxhash_rust::xxh3::Xxh3;

use millstream_core::codec::Rows;
use millstream_core::queue::{Epoch, Sent};

/// Adds rows to a digest: the same rows in the same order give the same digest, however they were
/// cut into batches.
#[derive(Default)]
pub(crate) struct Digest {
    columns: Vec<Xxh3>,
    rows: u64,
}

impl Digest {
    /// Adds a batch.
    pub(crate) fn add(&mut self, batch: &RecordBatch) {
        self.columns.resize_with(batch.num_columns().max(self.columns.len()), Xxh3::new);
        for (hasher, column) in self.columns.iter_mut().zip(batch.columns()) {
            add_column(hasher, column);
        }
        self.rows += batch.num_rows() as u64;
    }

    /// Rows so far.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// The digest, and an empty one for the next epoch.
    pub(crate) fn take(&mut self) -> (u64, u64) {
        let mut all = Xxh3::new();
        all.update(&self.rows.to_le_bytes());
        for c in &self.columns {
            all.update(&c.digest().to_le_bytes());
        }
        let rows = self.rows;
        *self = Self::default();
        (rows, all.digest())
    }
}

/// A null is hashed as a value that is out of the ordinary, so that the digest does not depend on
/// whether its neighbours share its batch.
const NULL: &[u8] = b"\xff\xfenull\xfd";

/// Rows and digest of the epoch for one lane.
#[derive(Default)]
pub(crate) struct Tally {
    digest: Digest,
}

impl Tally {
    pub(crate) fn add(&mut self, rows: &Rows) {
        self.digest.add(&rows.batch);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.digest.rows() == 0
    }

    /// What was sent in `epoch`; begins the next.
    pub(crate) fn take(&mut self, epoch: Epoch) -> Sent {
        let (rows, digest) = self.digest.take();
        Sent { epoch, rows, digest }
    }
}

fn add_column(hasher: &mut Xxh3, column: &ArrayRef) {
    if column.null_count() == 0 {
        return add_values(hasher, column);
    }
    let mut row = 0;
    while row < column.len() {
        let end = (row..column.len()).find(|i| column.is_null(*i)).unwrap_or(column.len());
        if end > row {
            add_values(hasher, &column.slice(row, end - row));
        }
        if end < column.len() {
            hasher.update(NULL);
        }
        row = end + 1;
    }
}

/// All values of a column without nulls.
fn add_values(hasher: &mut Xxh3, column: &ArrayRef) {
    match column.data_type() {
        DataType::Utf8 => {
            let a = column.as_string::<i32>();
            for v in a.iter().flatten() {
                add_bytes(hasher, v.as_bytes());
            }
        }
        DataType::LargeUtf8 => {
            for v in column.as_string::<i64>().iter().flatten() {
                add_bytes(hasher, v.as_bytes());
            }
        }
        DataType::Utf8View => {
            for v in column.as_string_view().iter().flatten() {
                add_bytes(hasher, v.as_bytes());
            }
        }
        DataType::Binary => {
            for v in column.as_binary::<i32>().iter().flatten() {
                add_bytes(hasher, v);
            }
        }
        DataType::Boolean => {
            for v in column.as_boolean().iter().flatten() {
                hasher.update(&[u8::from(v)]);
            }
        }
        DataType::Null => {}
        DataType::Struct(_) => {
            for child in column.as_struct().columns() {
                add_column(hasher, child);
            }
        }
        DataType::List(_) => {
            for row in column.as_list::<i32>().iter().flatten() {
                hasher.update(&(row.len() as u64).to_le_bytes());
                add_column(hasher, &row);
            }
        }
        other => add_rest(hasher, column, other),
    }
}

/// Types of one width are hashed whole; whatever is rarer goes by its debug form, which shows every value.
fn add_rest(hasher: &mut Xxh3, column: &ArrayRef, r#type: &DataType) {
    let data = column.to_data();
    match (r#type.primitive_width(), data.buffers().first()) {
        (Some(width), Some(buffer)) => {
            let from = data.offset() * width;
            if let Some(bytes) = buffer.as_slice().get(from..from + data.len() * width) {
                hasher.update(bytes);
            }
        }
        _ => hasher.update(format!("{column:?}").as_bytes()),
    }
}

fn add_bytes(hasher: &mut Xxh3, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Float64Array, Int64Array, StringArray};

    use super::*;

    fn batch() -> RecordBatch {
        RecordBatch::try_from_iter([
            ("a", Arc::new(Int64Array::from(vec![Some(1), None, Some(3), Some(4)])) as ArrayRef),
            ("b", Arc::new(StringArray::from(vec!["x", "yy", "", "z"])) as ArrayRef),
            ("c", Arc::new(Float64Array::from(vec![1.0, 2.0, 3.0, 4.0])) as ArrayRef),
        ])
        .unwrap()
    }

    #[test]
    fn a_digest_does_not_see_where_batches_are_cut() {
        let b = batch();
        let mut whole = Digest::default();
        whole.add(&b);
        let whole = whole.take();
        for cut in 0..=4 {
            let mut two = Digest::default();
            two.add(&b.slice(0, cut));
            two.add(&b.slice(cut, 4 - cut));
            assert_eq!(two.take(), whole, "cut at {cut}");
        }
    }

    #[test]
    fn a_digest_sees_every_change() {
        let digest = |b: &RecordBatch| {
            let mut d = Digest::default();
            d.add(b);
            d.take()
        };
        let b = batch();
        assert_ne!(digest(&b), digest(&b.slice(0, 3)));
        let swapped = RecordBatch::try_new(
            b.schema(),
            vec![
                b.column(0).clone(),
                Arc::new(StringArray::from(vec!["xy", "y", "", "z"])),
                b.column(2).clone(),
            ],
        )
        .unwrap();
        assert_ne!(digest(&b), digest(&swapped));
    }
}
