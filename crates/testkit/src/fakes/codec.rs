//! A format of one integer a line.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch};
use arrow_schema::SchemaRef;
use millstream_core::codec::{
    Codec, Column, ColumnType, Columns, Decoded, Decoder, RefusedRecord, RefusedRow,
};
use millstream_core::record::Block;
use millstream_core::{Error, Result};

/// One integer a line, in the column `v`. A line that is none is refused; a record that begins with
/// `!` is refused whole.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lines;

impl Lines {
    /// The one column.
    #[must_use]
    pub fn columns() -> Columns {
        Columns(vec![Column::new("v", ColumnType::Int64)])
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

    fn decode(&mut self, block: &Block) -> Result<Decoded> {
        let (mut values, mut starts, mut ordinals) = (Vec::new(), Vec::new(), Vec::new());
        let (mut refused, mut refused_records) = (Vec::new(), Vec::new());
        let mut ordinal = 0;
        for (record, index) in block.records().zip(0..) {
            starts.push(ordinal);
            let text = String::from_utf8_lossy(&record.value).into_owned();
            if text.starts_with('!') {
                let reason = "it begins with `!`".to_owned();
                refused_records.push(RefusedRecord { record: index, reason });
                continue;
            }
            for line in text.lines() {
                match line.parse::<i64>() {
                    Ok(v) => {
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
            RecordBatch::try_new(self.schema.clone(), vec![Arc::new(Int64Array::from(values))])
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
