//! A view at work: chains of steps as one operator.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;
use datafusion_common::{DataFusionError, exec_err};
use millstream_core::codec::Rows;
use millstream_core::operator::{Operator, Output};
use millstream_core::{Error, Result, Timestamp};

use crate::arrival::Arrival;
use crate::chain::Chain;
use crate::complain::reason;
use crate::quiet;
use crate::size::{BYTES_MAX, bytes};
use crate::step::{Became, Counts, Step};

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
        if input.is_empty() {
            return Ok(());
        }
        let count = self.ports.len();
        let Some(port) = self.ports.get_mut(port) else {
            let what = format!("view `{}` has {count} inputs, rows came for {port}", self.name);
            return Err(Error::stop(what));
        };
        port.locate(&self.name, &input.batch.schema())?;
        port.run(&input, out);
        Ok(())
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
    /// that fail by themselves: so the result for a row never depends on its neighbours. When there
    /// is much of it already, what is left is given back; and so are rows whose answers of a lookup are
    /// not at hand.
    fn run(&self, input: &Rows, out: &mut Output) {
        let mut bytes = 0;
        let mut ranges: Vec<Range<usize>> = std::iter::once(0..input.len()).collect();
        while let Some(range) = ranges.pop() {
            if bytes >= BYTES_MAX {
                out.left = Some(part(input, range.start..input.len()));
                return;
            }
            let rows = part(input, range.clone());
            match self.attempt(&rows) {
                Ok(made) if made.counts.waits => {
                    out.left = Some(part(input, range.start..input.len()));
                    out.waits = true;
                    return;
                }
                Ok(made) => {
                    bytes += made.bytes;
                    out.account.r#in += rows.len() as u64;
                    out.account.filtered += made.counts.filtered;
                    out.account.made += made.counts.made;
                    out.account.out += made.rows.iter().map(|r| r.len() as u64).sum::<u64>();
                    out.rows.extend(made.rows);
                }
                Err(reason) if rows.len() == 1 => {
                    out.account.r#in += 1;
                    out.account.set_aside += 1;
                    out.refused.push((rows, reason));
                }
                Err(_) => {
                    let half = range.start + rows.len() / 2;
                    ranges.push(half..range.end);
                    ranges.push(range.start..half);
                }
            }
        }
    }

    /// Runs all steps over all rows, or says why it cannot.
    fn attempt(&self, input: &Rows) -> Result<Made, String> {
        let mut made = Made::default();
        // A library function may panic on odd values; that is the row's misfortune, not the process's.
        let attempt = quiet::catch(|| {
            let rows = self.scan(input)?;
            flow(&self.chain.steps, rows, input.len(), &mut made)
        });
        match attempt {
            Ok(Ok(())) => Ok(made),
            Ok(Err(e)) => Err(reason(&e)),
            Err(panic) => Err(format!("a function panicked: {panic}")),
        }
    }
}

/// What an attempt made.
#[derive(Default)]
struct Made {
    rows: Vec<Rows>,
    bytes: u64,
    counts: Counts,
}

/// The most bytes of rows that are made of one row.
const ONE_BYTES_MAX: u64 = 4 * BYTES_MAX;

/// Takes rows through steps. `of` is how many rows all of this is made of.
fn flow(steps: &[Step], mut rows: Rows, of: usize, made: &mut Made) -> Result<(), DataFusionError> {
    let mut steps = steps.iter();
    while let Some(step) = steps.next() {
        match step.run(rows, &mut made.counts)? {
            Became::Nothing => return Ok(()),
            Became::Rows(next) => rows = next,
            Became::Pieces(mut pieces) => {
                while let Some(piece) = pieces.next()? {
                    flow(steps.as_slice(), piece, of, made)?;
                }
                return Ok(());
            }
        }
    }
    made.bytes += rows.batch.columns().iter().map(|c| bytes(c.as_ref())).sum::<u64>();
    made.rows.push(rows);
    // Rows that only pass through are as large as they came.
    let most = if of == 1 { ONE_BYTES_MAX } else { BYTES_MAX };
    if made.rows.len() > 1 && made.bytes > most {
        return exec_err!("one row would become rows of more than {most} bytes");
    }
    Ok(())
}

fn part(rows: &Rows, range: Range<usize>) -> Rows {
    if range == (0..rows.len()) {
        return rows.clone();
    }
    let (from, len) = (range.start, range.len());
    Rows { batch: rows.batch.slice(from, len), origin: rows.origin.slice(from, len) }
}
