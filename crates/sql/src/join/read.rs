//! What a join takes of rows: the columns that are kept, their keys and moments.

use std::sync::Arc;

use arrow::compute::cast;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray};
use arrow_row::{RowConverter, SortField};
use arrow_schema::{DataType, Field, FieldRef};
use datafusion_common::{DataFusionError, Result};

use super::spec::{At, Joining};
use crate::window::lane::{has_lane, to_lane};

/// How rows of one side are kept.
pub(super) struct Form {
    /// The columns that are kept, by their places among those that come.
    keep: Vec<usize>,
    /// What is kept: these, and keys that have no other form than bytes.
    pub fields: Vec<FieldRef>,
    keys: Vec<usize>,
    /// Makes bytes of the keys that have neither lane nor text.
    bytes: Option<(Vec<usize>, RowConverter)>,
    /// Moments that are looked at, by their places among what is kept.
    moments: Vec<usize>,
    /// Among the moments.
    time: usize,
    deadline: (usize, i64),
    pub nulls_equal: bool,
    /// Makes bytes of what is kept, and back.
    pub converter: RowConverter,
}

/// Keys of rows, one column.
#[derive(Clone, Debug)]
pub(super) enum KeyColumn {
    Lane(Int64Array),
    Text(StringArray),
    Bytes(BinaryArray),
}

/// The columns of some rows as the join looks at them.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    /// What is kept of them.
    pub kept: Vec<ArrayRef>,
    pub keys: Vec<KeyColumn>,
    pub moments: Vec<Int64Array>,
    /// Bytes of keys that are kept beside the columns.
    pub beside: usize,
}

impl Form {
    pub(super) fn new(spec: &Joining, side: usize) -> Result<Self> {
        let Some(own) = spec.sides.get(side) else { return Err(unfit()) };
        let read = spec.condition.iter().flat_map(|c| &c.columns);
        let bounds = spec.bounds.iter().flat_map(|b| [&b.less, &b.than]);
        let mut looked = bounds.filter(|a| a.side == side).map(|a| a.column).collect::<Vec<_>>();
        looked.extend([own.time, own.deadline.0]);
        looked.sort_unstable();
        looked.dedup();
        let mut keep = spec.columns.iter().chain(read).filter(|a| a.side == side);
        let mut keep = keep.by_ref().map(|a| a.column).collect::<Vec<_>>();
        keep.extend(&looked);
        let kind = |i: usize| own.input.field(i).data_type();
        let plain = |i: &usize| has_lane(kind(*i)) || *kind(*i) == DataType::Utf8;
        let (plain, other): (Vec<_>, Vec<_>) = own.keys.iter().copied().partition(plain);
        keep.extend(&plain);
        keep.sort_unstable();
        keep.dedup();
        let at = |i: &usize| keep.binary_search(i).unwrap_or_default();
        let fields = keep.iter().filter_map(|i| own.input.fields().get(*i).cloned());
        let mut fields = fields.collect::<Vec<_>>();
        let mut keys = plain.iter().map(at).collect::<Vec<_>>();
        let mut bytes = None;
        if !other.is_empty() {
            let sort = other.iter().map(|i| SortField::new(kind(*i).clone()));
            let converter = RowConverter::new(sort.collect())?;
            keys.push(fields.len());
            fields.push(Arc::new(Field::new("keys", DataType::Binary, true)));
            bytes = Some((other, converter));
        }
        let moments = looked.iter().map(at).collect();
        let moment = |i: usize| looked.binary_search(&i).unwrap_or_default();
        let (time, deadline) = (moment(own.time), (moment(own.deadline.0), own.deadline.1));
        let nulls_equal = spec.nulls_equal;
        let sort: Vec<_> = fields.iter().map(|f| SortField::new(f.data_type().clone())).collect();
        if !RowConverter::supports_fields(&sort) {
            let what = "rows with columns of these types cannot be kept for a join";
            return Err(DataFusionError::Plan(what.into()));
        }
        let converter = RowConverter::new(sort)?;
        Ok(Self { keep, fields, keys, bytes, moments, time, deadline, nulls_equal, converter })
    }

    /// Where a column that comes is among those that are kept.
    pub(super) fn place(&self, column: usize) -> Option<usize> {
        self.keep.binary_search(&column).ok()
    }

    /// Where a column is among the moments.
    pub(super) fn moment(&self, at: At) -> Option<usize> {
        let place = self.place(at.column)?;
        self.moments.iter().position(|m| *m == place)
    }

    /// What is kept of rows that come.
    pub(super) fn read(&self, batch: &RecordBatch) -> Result<Columns> {
        let mut kept = self.keep.iter().map(|i| batch.column(*i).clone()).collect::<Vec<_>>();
        if let Some((columns, converter)) = &self.bytes {
            let columns = columns.iter().map(|i| batch.column(*i).clone()).collect::<Vec<_>>();
            let rows = converter.convert_columns(&columns)?;
            let null = |row: usize| !self.nulls_equal && columns.iter().any(|c| c.is_null(row));
            let all = rows.iter().enumerate();
            let all = all.map(|(i, row)| (!null(i)).then(|| row.data().to_vec()));
            kept.push(Arc::new(all.collect::<BinaryArray>()));
        }
        self.columns(kept)
    }

    /// The columns of rows as they are kept.
    pub(super) fn columns(&self, kept: Vec<ArrayRef>) -> Result<Columns> {
        let mut beside = 0;
        let mut keys = Vec::with_capacity(self.keys.len());
        for column in self.keys.iter().filter_map(|i| kept.get(*i)) {
            keys.push(match column.data_type() {
                DataType::Utf8 => KeyColumn::Text(column.as_string::<i32>().clone()),
                DataType::Binary => KeyColumn::Bytes(column.as_binary::<i32>().clone()),
                DataType::Int64 | DataType::Timestamp(..) => KeyColumn::Lane(to_lane(column)?),
                _ => {
                    let lane = to_lane(&one_zero(column))?;
                    beside += lane.get_buffer_memory_size();
                    KeyColumn::Lane(lane)
                }
            });
        }
        let moments = self.moments.iter().filter_map(|i| kept.get(*i));
        let moments =
            moments.map(|m| Ok(cast(m, &DataType::Int64)?.as_primitive::<Int64Type>().clone()));
        let moments = moments.collect::<Result<Vec<_>>>()?;
        Ok(Columns { kept, keys, moments, beside })
    }

    /// Up to which moment of the other side a row waits. Without one it does not wait at all.
    pub(super) fn deadline(&self, columns: &Columns, row: usize) -> i64 {
        let (of, plus) = self.deadline;
        match columns.moments.get(of) {
            Some(m) if m.is_valid(row) => m.value(row).saturating_add(plus),
            _ => self.time(columns, row).unwrap_or(i64::MIN),
        }
    }

    /// A row's event time.
    pub(super) fn time(&self, columns: &Columns, row: usize) -> Option<i64> {
        columns.moments.get(self.time).filter(|m| m.is_valid(row)).map(|m| m.value(row))
    }
}

/// Zero as one value of floats, as is NaN.
fn one_zero(column: &ArrayRef) -> ArrayRef {
    use arrow_array::types::{Float32Type, Float64Type};
    match column.data_type() {
        DataType::Float64 => Arc::new(
            column
                .as_primitive::<Float64Type>()
                .unary::<_, Float64Type>(|v| if v.is_nan() { f64::NAN } else { v + 0.0 }),
        ),
        DataType::Float32 => Arc::new(
            column
                .as_primitive::<Float32Type>()
                .unary::<_, Float32Type>(|v| if v.is_nan() { f32::NAN } else { v + 0.0 }),
        ),
        _ => column.clone(),
    }
}

impl Columns {
    pub(super) fn len(&self) -> usize {
        self.kept.first().map_or(0, |c| c.len())
    }

    /// Whether the keys of two rows are equal. Where nulls are not equal, neither row has one.
    pub(super) fn same(&self, row: usize, other: &Self, at: usize) -> bool {
        self.keys.iter().zip(&other.keys).all(|(a, b)| a.same(row, b, at))
    }

    /// Whether a key of the row is null.
    pub(super) fn has_null(&self, row: usize) -> bool {
        self.keys.iter().any(|k| k.is_null(row))
    }

    fn any_null(&self) -> bool {
        self.keys.iter().any(|k| k.null_count() > 0)
    }

    /// The hashes of the keys, and which rows have none because a key is null.
    pub(super) fn hashes(&self, nulls_equal: bool) -> (Vec<u32>, Option<Vec<bool>>) {
        let len = self.len();
        let mut wide = vec![SEED; len];
        for key in &self.keys {
            key.hash(&mut wide);
        }
        let hashes = wide.into_iter().map(|h| (h >> 32) as u32).collect();
        let none = !nulls_equal && self.any_null();
        (hashes, none.then(|| (0..len).map(|row| self.has_null(row)).collect()))
    }
}

const SEED: u64 = 0x243F_6A88_85A3_08D3;

/// Multiplies wide, and folds both halves.
fn mix(hash: u64, value: u64) -> u64 {
    let wide = u128::from(hash ^ value ^ NULL) * 0xA076_1D64_78BD_642F_u128;
    #[expect(clippy::cast_possible_truncation, reason = "both halves are mixed")]
    let mixed = (wide >> 64) as u64 ^ wide as u64;
    mixed
}

const NULL: u64 = 0x9E37_79B9_7F4A_7C15;

impl KeyColumn {
    fn null_count(&self) -> usize {
        match self {
            Self::Lane(a) => a.null_count(),
            Self::Text(a) => a.null_count(),
            Self::Bytes(a) => a.null_count(),
        }
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Lane(a) => a.is_null(row),
            Self::Text(a) => a.is_null(row),
            Self::Bytes(a) => a.is_null(row),
        }
    }

    fn hash(&self, hashes: &mut [u64]) {
        use std::hash::BuildHasher as _;
        let state = foldhash::fast::FixedState::with_seed(0x6A6F_696E);
        match self {
            Self::Lane(a) if a.null_count() == 0 => {
                for (hash, value) in hashes.iter_mut().zip(a.values()) {
                    *hash = mix(*hash, value.cast_unsigned());
                }
            }
            Self::Lane(a) => {
                for (hash, value) in hashes.iter_mut().zip(a) {
                    *hash = mix(*hash, value.map_or(NULL, i64::cast_unsigned));
                }
            }
            Self::Text(a) => {
                for (hash, value) in hashes.iter_mut().zip(a) {
                    *hash = mix(*hash, value.map_or(NULL, |v| state.hash_one(v.as_bytes())));
                }
            }
            Self::Bytes(a) => {
                for (hash, value) in hashes.iter_mut().zip(a) {
                    *hash = mix(*hash, value.map_or(NULL, |v| state.hash_one(v)));
                }
            }
        }
    }

    fn same(&self, row: usize, other: &Self, at: usize) -> bool {
        let null = (self.is_null(row), other.is_null(at));
        if null.0 || null.1 {
            return null.0 && null.1;
        }
        match (self, other) {
            (Self::Lane(a), Self::Lane(b)) => a.value(row) == b.value(at),
            (Self::Text(a), Self::Text(b)) => a.value(row) == b.value(at),
            (Self::Bytes(a), Self::Bytes(b)) => a.value(row) == b.value(at),
            _ => false,
        }
    }
}

pub(super) fn unfit() -> DataFusionError {
    DataFusionError::Internal("rows do not fit the join that they are for".into())
}
