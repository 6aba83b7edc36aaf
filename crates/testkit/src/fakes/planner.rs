//! A planner for views of a few words; see [`Step`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow_schema::SchemaRef;
use bytes::Bytes;
use millstream_core::clock::Timestamp;
use millstream_core::codec::Rows;
use millstream_core::operator::{
    Chunks, Function, Late, Operator, Output, Planned, PlannedView, Planner, Table, View, ViewError,
};
use millstream_core::{Error, Result};

use super::board::Joiner;
use super::lookup::Finder;
use super::tumble::Tumbler;
use super::{Lines, Rule, Step};

/// Plans views written as [`Step`]s. Views come in the order of the file and read only what stands above them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chain;

impl Planner for Chain {
    fn plan(&self, tables: &[Table], views: &[View], _: &[Arc<dyn Function>]) -> Planned {
        let mut planned = Planned::default();
        // What each table or view waits for; nothing if it is known.
        let mut waits: BTreeMap<String, BTreeSet<String>> = tables
            .iter()
            .map(|t| {
                let missing = t.schema.is_none().then(|| t.name.clone());
                (t.name.clone(), missing.into_iter().collect())
            })
            .collect();
        // What has event time beside its value.
        let timed =
            tables.iter().filter(|t| t.schema.as_ref().is_some_and(|s| s.fields().len() > 1));
        let mut timed: BTreeSet<String> = timed.map(|t| t.name.clone()).collect();
        for view in views {
            let step = match Step::parse(&view.sql) {
                Ok(step) => step,
                Err(error) => {
                    planned.errors.push(ViewError { view: view.name.clone(), place: None, error });
                    continue;
                }
            };
            let waiting: BTreeSet<String> =
                step.tables.iter().filter_map(|t| waits.get(t)).flatten().cloned().collect();
            for table in tables.iter().filter(|t| step.tables.contains(&t.name)) {
                planned.used.entry(table.name.clone()).or_default().insert("v".into());
            }
            waits.insert(view.name.clone(), waiting.clone());
            let lookup = step.lookup.as_ref().and_then(|(name, inner)| {
                let table = tables.iter().find(|t| t.name == *name)?;
                planned.used.entry(name.clone()).or_default().insert("v".into());
                Some(Finder { answers: table.lookup.clone()?, inner: *inner })
            });
            let joins = step.joins.as_ref();
            let joins = joins.and_then(|name| tables.iter().find(|t| t.name == *name));
            let joins = joins.and_then(|t| t.reference.clone());
            if waiting.is_empty() {
                let has_time = step.lookup.is_none()
                    && joins.is_none()
                    && step.tables.iter().all(|t| timed.contains(t));
                let columns = if has_time { Lines::with_time() } else { Lines::columns() };
                if has_time || matches!(step.rule, Rule::Tumble(_)) {
                    timed.insert(view.name.clone());
                }
                let schema = columns.schema();
                let operator: Box<dyn Operator> = match (lookup, joins, step.rule) {
                    (Some(finder), ..) => Box::new(finder),
                    (None, Some(table), _) => Box::new(Joiner(table)),
                    (None, None, Rule::Tumble(size)) => Box::new(Tumbler::new(size)),
                    (None, None, _) => {
                        Box::new(Mill { rule: step.rule, schema, count: 0, told: 0 })
                    }
                };
                let (name, inputs) = (view.name.clone(), step.tables.clone());
                let has_state = matches!(step.rule, Rule::Tumble(_) | Rule::Count);
                let of = |t: &String| tables.iter().find(|table| table.name == *t)?.schema.clone();
                let late = (view.windows.late == Late::Stream).then_some(&step.tables);
                planned.views.push(PlannedView {
                    late: late.and_then(|tables| tables.iter().find_map(of)),
                    explain: view.sql.clone(),
                    state: has_state.then(|| view.sql.clone()),
                    ..PlannedView::stateless(name, inputs, operator)
                });
            } else {
                planned.waiting.insert(view.name.clone(), waiting);
            }
        }
        planned
    }

    fn reads(&self, view: &View) -> Result<BTreeSet<String>, ViewError> {
        Step::parse(&view.sql)
            .map(|step| {
                let asked = step.lookup.map(|(name, _)| name);
                step.tables.into_iter().chain(asked).chain(step.joins).collect()
            })
            .map_err(|error| ViewError { view: view.name.clone(), place: None, error })
    }
}

struct Mill {
    rule: Rule,
    schema: SchemaRef,
    count: i64,
    /// The count of the last snapshot.
    told: i64,
}

impl Operator for Mill {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn process(&mut self, _: usize, input: Rows, _: Timestamp, out: &mut Output) -> Result<()> {
        let values = input.batch.column(0).as_primitive::<Int64Type>();
        let (mut made, mut kept) = (Vec::new(), Vec::new());
        for (i, value) in values.values().iter().enumerate() {
            out.account.r#in += 1;
            match self.rule.apply(*value, &mut self.count) {
                Ok(Some(v)) => {
                    made.push(v);
                    kept.push(i);
                    out.account.out += 1;
                }
                Ok(None) => out.account.filtered += 1,
                Err(reason) => {
                    let row =
                        Rows { batch: input.batch.slice(i, 1), origin: input.origin.slice(i, 1) };
                    out.refused.push((row, reason));
                    out.account.set_aside += 1;
                }
            }
        }
        let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(made))];
        if self.schema.fields().len() > 1 {
            let times = input.batch.column(1).as_primitive::<TimestampMicrosecondType>();
            let times = kept.iter().map(|i| times.is_valid(*i).then(|| times.value(*i)));
            let times: TimestampMicrosecondArray = times.collect();
            columns.push(Arc::new(times.with_timezone("UTC")));
        }
        let batch = RecordBatch::try_new(self.schema.clone(), columns)
            .map_err(|e| Error::stop("rows of another shape").because(e))?;
        out.rows.push(Rows { batch, origin: input.origin.take(kept.into_iter()) });
        Ok(())
    }

    fn snapshot(&mut self, out: &mut Chunks) -> Result<()> {
        if self.count != self.told {
            self.told = self.count;
            out.insert("count".into(), Some(Bytes::copy_from_slice(&self.count.to_le_bytes())));
        }
        Ok(())
    }

    fn restore(&mut self, chunks: &BTreeMap<String, Bytes>) -> Result<()> {
        if let Some(other) = chunks.keys().find(|key| *key != "count") {
            return Err(Error::stop(format!("`{other}` is no count")));
        }
        let bytes = match chunks.get("count") {
            Some(bytes) => <[u8; 8]>::try_from(bytes.as_ref())
                .map_err(|e| Error::stop("a count is not 8 bytes long").because(e))?,
            None => [0; 8],
        };
        self.count = i64::from_le_bytes(bytes);
        self.told = self.count;
        Ok(())
    }
}
