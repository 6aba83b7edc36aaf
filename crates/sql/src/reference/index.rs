//! The rows of one version by their keys.

use arrow_array::{ArrayRef, RecordBatch};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, Field};
use datafusion_common::Result;
use hashbrown::HashTable;

use crate::window::keys::{Encoded, Keys};

/// In place of the number of a group: no row has this key.
pub(super) const NONE: u32 = u32::MAX;

/// The rows of one version, grouped by key.
pub(super) struct Index {
    /// What is made of its rows.
    pub rows: RecordBatch,
    /// The key of some row is null.
    pub nulls: bool,
    /// No key has two rows.
    pub single: bool,
    keys: Keys,
    encoded: Encoded,
    /// Groups by the hash of their key.
    groups: HashTable<u32>,
    /// A row of each group.
    firsts: Vec<u32>,
    /// Where the rows of each group begin in `order`, and the end.
    starts: Vec<u32>,
    /// Rows by group, in their order.
    order: Vec<u32>,
}

impl Index {
    /// Groups rows by the values of their keys; without a key all are one group.
    pub(super) fn new(rows: RecordBatch, columns: &[ArrayRef]) -> Result<Self> {
        let fields = columns.iter().map(|c| Field::new("", kind(c), true).into());
        let keys = Keys::new(fields.collect())?;
        let encoded = keys.encode(columns)?;
        let valid = valid(columns);
        let mut groups: HashTable<u32> = HashTable::with_capacity(rows.num_rows());
        let (mut firsts, mut counts) = (Vec::new(), Vec::<u32>::new());
        let mut of = Vec::with_capacity(rows.num_rows());
        for (row, number) in (0..rows.num_rows()).zip(0u32..) {
            if valid.as_ref().is_some_and(|v| v.is_null(row)) {
                of.push(NONE);
                continue;
            }
            let key = encoded.key(row);
            let same = |group: &u32| same(&encoded, &firsts, *group, key);
            let group = match groups.find(key.hash(), same) {
                Some(group) => *group,
                None => {
                    let group = u32::try_from(firsts.len()).unwrap_or(NONE);
                    firsts.push(number);
                    counts.push(0);
                    let again = |group: &u32| hash(&encoded, &firsts, *group);
                    groups.insert_unique(key.hash(), group, again);
                    group
                }
            };
            if let Some(count) = counts.get_mut(group as usize) {
                *count += 1;
            }
            of.push(group);
        }
        let nulls = of.contains(&NONE);
        let single = counts.iter().all(|count| *count == 1);
        let (starts, order) = sorted(&counts, &of);
        Ok(Self { rows, nulls, single, keys, encoded, groups, firsts, starts, order })
    }

    /// The group of each row of some others by its key, or [`NONE`].
    pub(super) fn find(&self, columns: &[ArrayRef], rows: usize) -> Result<Vec<u32>> {
        if self.firsts.is_empty() {
            return Ok(vec![NONE; rows]);
        }
        let encoded = self.keys.encode(columns)?;
        let valid = valid(columns);
        let mut found: Vec<u32> = Vec::with_capacity(rows);
        for row in 0..rows {
            if valid.as_ref().is_some_and(|v| v.is_null(row)) {
                found.push(NONE);
                continue;
            }
            let key = encoded.key(row);
            let same = |group: &u32| same(&self.encoded, &self.firsts, *group, key);
            found.push(self.groups.find(key.hash(), same).copied().unwrap_or(NONE));
        }
        Ok(found)
    }

    /// The rows of a group, in their order; none for [`NONE`].
    pub(super) fn of(&self, group: u32) -> &[u32] {
        let at = group as usize;
        let range = self.starts.get(at).zip(self.starts.get(at.saturating_add(1)));
        let rows = range.and_then(|(from, upto)| self.order.get(*from as usize..*upto as usize));
        rows.unwrap_or(&[])
    }
}

fn kind(column: &ArrayRef) -> DataType {
    column.data_type().clone()
}

/// Rows of which no key is null.
fn valid(columns: &[ArrayRef]) -> Option<NullBuffer> {
    let nulls = columns.iter().map(|c| c.logical_nulls());
    nulls.fold(None, |all, one| NullBuffer::union(all.as_ref(), one.as_ref()))
}

fn same(encoded: &Encoded, firsts: &[u32], group: u32, key: crate::window::keys::Key<'_>) -> bool {
    firsts.get(group as usize).is_some_and(|first| encoded.key(*first as usize) == key)
}

fn hash(encoded: &Encoded, firsts: &[u32], group: u32) -> u64 {
    firsts.get(group as usize).map_or(0, |first| encoded.key(*first as usize).hash())
}

/// Where each group begins, and rows by group.
fn sorted(counts: &[u32], of: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let mut starts = Vec::with_capacity(counts.len() + 1);
    let mut end = 0u32;
    starts.push(end);
    for count in counts {
        end += count;
        starts.push(end);
    }
    let mut next = starts.clone();
    let mut order = vec![0; end as usize];
    for (row, group) in (0u32..).zip(of) {
        let Some(next) = next.get_mut(*group as usize).filter(|_| *group != NONE) else { continue };
        if let Some(place) = order.get_mut(*next as usize) {
            *place = row;
        }
        *next += 1;
    }
    (starts, order)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use arrow_array::{Float64Array, Int64Array, StringArray};
    use arrow_schema::Schema;

    use super::*;

    fn batch(columns: &[ArrayRef]) -> RecordBatch {
        let field = |(i, c): (usize, &ArrayRef)| Field::new(i.to_string(), kind(c), true);
        let fields = columns.iter().enumerate().map(field).collect::<Vec<_>>();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.to_vec()).unwrap()
    }

    #[test]
    fn rows_are_found_by_all_kinds_of_keys_as_a_map_finds_them() {
        let mut random = fastrand::Rng::with_seed(7);
        for round in 0..60 {
            let mut columns = |rows: usize| -> Vec<ArrayRef> {
                let mut number = || (random.u8(0..8) > 0).then(|| random.i64(0..30));
                let numbers: Vec<Option<i64>> = (0..rows).map(|_| number()).collect();
                let texts: Vec<Option<String>> =
                    (0..rows).map(|_| number().map(|n| format!("k{n}"))).collect();
                let numbers: ArrayRef = Arc::new(Int64Array::from(numbers));
                let texts: ArrayRef = Arc::new(StringArray::from(texts));
                match round % 3 {
                    0 => vec![numbers],
                    1 => vec![texts],
                    _ => vec![numbers, texts],
                }
            };
            let (have, ask) = (columns(round * 3), columns(100));
            let text = |columns: &[ArrayRef], row: usize| {
                let cell = |c: &ArrayRef| {
                    let text = arrow::util::display::array_value_to_string(c, row).unwrap();
                    c.is_valid(row).then_some(text)
                };
                columns.iter().map(cell).collect::<Option<Vec<_>>>()
            };
            let mut model: BTreeMap<Vec<String>, Vec<u32>> = BTreeMap::new();
            for row in 0..have[0].len() {
                if let Some(key) = text(&have, row) {
                    model.entry(key).or_default().push(u32::try_from(row).unwrap());
                }
            }
            let index = Index::new(batch(&have), &have).unwrap();
            assert_eq!(index.single, model.values().all(|rows| rows.len() == 1));
            assert_eq!(index.nulls, (0..have[0].len()).any(|row| text(&have, row).is_none()));
            let found = index.find(&ask, 100).unwrap();
            for (row, group) in found.into_iter().enumerate() {
                let wanted = text(&ask, row).and_then(|key| model.get(&key).cloned());
                assert_eq!(index.of(group), wanted.unwrap_or_default());
            }
        }
    }

    #[test]
    fn without_a_key_all_rows_are_found_and_both_zeros_are_one() {
        let rows: Vec<ArrayRef> = vec![Arc::new(Float64Array::from(vec![0.0, 1.0, -0.0]))];
        let index = Index::new(batch(&rows), &[]).unwrap();
        assert_eq!(index.find(&[], 2).unwrap(), [0, 0]);
        assert_eq!(index.of(0), [0, 1, 2]);
        let index = Index::new(batch(&rows), &rows).unwrap();
        let asked: Vec<ArrayRef> = vec![Arc::new(Float64Array::from(vec![-0.0, 2.0]))];
        let found = index.find(&asked, 2).unwrap();
        assert_eq!((index.of(found[0]), found[1]), ([0, 2].as_slice(), NONE));
        let none = Index::new(batch(&rows).slice(0, 0), &[]).unwrap();
        assert_eq!(none.find(&[], 1).unwrap(), [NONE]);
    }
}
