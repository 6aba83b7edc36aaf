//! A format of one integer a line.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow_schema::SchemaRef;
use millstream_core::codec::{
    Codec, Column, ColumnType, Columns, Decoded, Decoder, RefusedRecord, RefusedRow,
};
use millstream_core::record::Block;
use millstream_core::{Error, Result};

/// One integer a line, in the column `v`, and behind an `@` its event time in microseconds, in the column `t` where that is
/// declared. A line that is none is refused; a record that begins with `!` is refused whole.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lines;

impl Lines {
    /// The one column.
    #[must_use]
    pub fn columns() -> Columns {
        Columns(vec![Column::new("v", ColumnType::Int64)])
    }

    /// The column of event time too.
    #[must_use]
    pub fn with_time() -> Columns {
        let mut columns = Self::columns();
        columns.0.push(Column::new("t", ColumnType::Timestamp));
        columns
    }
}

impl Codec for Lines {
    fn infer(&self, blocks: &[Block]) -> Result<Option<Columns>> {
        let good = blocks.iter().flat_map(|b| b.records().collect::<Vec<_>>()).any(|r| {
            let text = String::from_utf8_lossy(&r.value).into_owned();
            !text.starts_with('!') && text.lines().any(|l| l.parse::<i64>().is_ok())
        });
        Ok(good.then(Self::columns))
    }

    fn decoder(&self, columns: &Columns, _: Option<&BTreeSet<String>>) -> Result<Box<dyn Decoder>> {
        // Blocks without a row that could tell may come before any column is known.
        Ok(Box::new(LineDecoder { schema: columns.schema() }))
    }

    fn describe(&self) -> String {
        "one integer a line".into()
    }
}

struct LineDecoder {
    schema: SchemaRef,
}

impl Decoder for LineDecoder {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn decode_barring(&mut self, block: &Block, barred: &BTreeMap<u32, String>) -> Result<Decoded> {
        let (mut values, mut starts, mut ordinals) = (Vec::new(), Vec::new(), Vec::new());
        let (mut refused, mut refused_records) = (Vec::new(), Vec::new());
        let (mut times, mut ordinal) = (Vec::new(), 0);
        for (record, index) in block.records().zip(0..) {
            starts.push(ordinal);
            let text = String::from_utf8_lossy(&record.value).into_owned();
            if text.starts_with('!') {
                let reason = "it begins with `!`".to_owned();
                refused_records.push(RefusedRecord { record: index, reason });
                continue;
            }
            for line in text.lines() {
                let (value, time) = line.split_once('@').unwrap_or((line, ""));
                match value.parse::<i64>() {
                    Ok(_) if let Some(reason) = barred.get(&ordinal) => refused.push(RefusedRow {
                        ordinal,
                        bytes: line.to_owned().into(),
                        reason: reason.clone(),
                    }),
                    Ok(v) => {
                        times.push(time.parse::<i64>().ok());
                        values.push(v);
                        ordinals.push(ordinal);
                    }
                    Err(e) => refused.push(RefusedRow {
                        ordinal,
                        bytes: line.to_owned().into(),
                        reason: format!("column `v`: {e}"),
                    }),
                }
                ordinal += 1;
            }
        }
        let batch = if self.schema.fields().is_empty() {
            assert!(values.is_empty(), "rows before their columns are known");
            RecordBatch::new_empty(self.schema.clone())
        } else {
            let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(values))];
            if self.schema.fields().len() > 1 {
                let times = TimestampMicrosecondArray::from(times).with_timezone("UTC");
                columns.push(Arc::new(times));
            }
            RecordBatch::try_new(self.schema.clone(), columns)
                .map_err(|e| Error::stop("the columns are not those of the testkit").because(e))?
        };
        Ok(Decoded {
            batch,
            starts: starts.into(),
            ordinals: Some(ordinals.into()),
            refused,
            refused_records,
        })
    }
}
