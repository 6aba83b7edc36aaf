//! A view at work: chains of steps as one operator.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;
use datafusion_common::DataFusionError;
use millstream_core::codec::Rows;
use millstream_core::operator::{Operator, Output};
use millstream_core::{Error, Result, Timestamp};

use crate::arrival::Arrival;
use crate::chain::Chain;
use crate::complain::reason;
use crate::step::Counts;

/// The operator of a stateless view.
pub(crate) struct ViewOperator {
    name: String,
    schema: SchemaRef,
    arrival: Arrival,
    ports: Vec<Port>,
}

struct Port {
    chain: Chain,
    /// The columns of the batches that came last, and where in them the scanned ones are.
    seen: Option<(SchemaRef, Vec<usize>)>,
}

impl ViewOperator {
    pub(crate) fn new(
        name: String,
        schema: SchemaRef,
        arrival: Arrival,
        chains: Vec<Chain>,
    ) -> Self {
        let ports = chains.into_iter().map(|chain| Port { chain, seen: None }).collect();
        Self { name, schema, arrival, ports }
    }
}

impl Operator for ViewOperator {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn process(
        &mut self,
        port: usize,
        input: Rows,
        arrival: Timestamp,
        out: &mut Output,
    ) -> Result<()> {
        self.arrival.set(arrival);
        out.account.r#in += input.len() as u64;
        if input.is_empty() {
            return Ok(());
        }
        let count = self.ports.len();
        let Some(port) = self.ports.get_mut(port) else {
            let what = format!("view `{}` has {count} inputs, rows came for {port}", self.name);
            return Err(Error::stop(what));
        };
        port.locate(&self.name, &input.batch.schema())?;
        port.run(&input, out)
    }
}

impl Port {
    /// Finds the scanned columns in batches of this schema.
    fn locate(&mut self, view: &str, schema: &SchemaRef) -> Result<()> {
        if self.seen.as_ref().is_some_and(|(seen, _)| Arc::ptr_eq(seen, schema)) {
            return Ok(());
        }
        let chain = &self.chain;
        let found =
            chain.scan.fields().iter().map(|wanted| match schema.column_with_name(wanted.name()) {
                Some((i, field)) if field.data_type() == wanted.data_type() => Ok(i),
                other => {
                    let has = match other {
                        Some((_, field)) => format!("is of type {}", field.data_type()),
                        None => "is missing".to_owned(),
                    };
                    let what = format!(
                        "column `{}` of `{}` {has}, and view `{view}` was planned for {}",
                        wanted.name(),
                        chain.input,
                        wanted.data_type()
                    );
                    Err(Error::stop(what)
                        .fix("start the pipeline anew, so that its views are planned again"))
                }
            });
        let found = found.collect::<Result<Vec<usize>>>()?;
        self.seen = Some((schema.clone(), found));
        Ok(())
    }

    fn scan(&self, input: &Rows) -> Result<Rows, DataFusionError> {
        let options = RecordBatchOptions::new().with_row_count(Some(input.len()));
        let columns = self.seen.iter().flat_map(|(_, found)| found);
        let columns = columns.map(|i| input.batch.column(*i).clone()).collect();
        let batch = RecordBatch::try_new_with_options(self.chain.scan.clone(), columns, &options)?;
        Ok(Rows { batch, origin: input.origin.clone() })
    }

    /// Runs all steps over all rows. When a step fails, each half is tried alone, down to the rows
    /// that fail by themselves: so the result for a row never depends on its neighbours.
    fn run(&self, input: &Rows, out: &mut Output) -> Result<()> {
        let mut counts = Counts::default();
        match self.attempt(input, &mut counts) {
            Ok(_) if counts.waits => {
                out.waits = true;
                Ok(())
            }
            Ok(rows) => {
                out.account.filtered += counts.filtered;
                out.account.made += counts.made;
                if let Some(rows) = rows {
                    out.account.out += rows.len() as u64;
                    out.rows.push(rows);
                }
                Ok(())
            }
            Err(reason) if input.len() == 1 => {
                out.account.set_aside += 1;
                out.refused.push((input.clone(), reason));
                Ok(())
            }
            Err(_) => {
                let half = input.len() / 2;
                self.run(&part(input, 0, half), out)?;
                self.run(&part(input, half, input.len() - half), out)
            }
        }
    }

    /// Runs all steps over all rows, or says why it cannot.
    fn attempt(&self, input: &Rows, counts: &mut Counts) -> Result<Option<Rows>, String> {
        // A library function may panic on odd values; that is the row's misfortune, not the process's.
        let attempt = catch_unwind(AssertUnwindSafe(|| {
            let mut rows = self.scan(input)?;
            for step in &self.chain.steps {
                match step.run(rows, counts)? {
                    Some(next) => rows = next,
                    None => return Ok(None),
                }
            }
            Ok(Some(rows))
        }));
        match attempt {
            Ok(Ok(rows)) => Ok(rows),
            Ok(Err(e)) => Err(reason(&e)),
            Err(panic) => Err(format!("a function panicked: {}", panic_text(panic.as_ref()))),
        }
    }
}

fn part(rows: &Rows, from: usize, len: usize) -> Rows {
    Rows { batch: rows.batch.slice(from, len), origin: rows.origin.slice(from, len) }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
