//! A view at work: chains of steps and parts with state as one operator.
//!
//! ```text
//! port ─ steps ─▶ join 0 ─ steps ─▶ aggregation 1 ─ steps ─▶ out
//! port ─ steps ─────▲
//! port ─ steps ────────────────────────────────────────────▶ out
//! ```

use std::collections::BTreeMap;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;
use bytes::Bytes;
use datafusion_common::DataFusionError;
use millstream_core::codec::{Origin, Rows};
use millstream_core::operator::{Chunks, Operator, Output};
use millstream_core::record::Offset;
use millstream_core::{Error, Result, Timestamp};

use crate::arrival::Arrival;
use crate::chain::{Chain, Feed, To};
use crate::complain::reason;
use crate::flow::{part, run};
use crate::late::{Came, given};
use crate::size::bytes;
use crate::stateful::{Stateful, Taken};
use crate::step::Step;

/// So many rows are given at once to what may make any number of each.
const MULTIPLIED_MAX: usize = 512;
/// So many rows, or bytes of them, are made at once as time passes.
const ROWS_MAX: usize = 8_192;
const BYTES_MAX: u64 = 4 << 20;

/// The operator of a view.
pub(crate) struct ViewOperator {
    name: String,
    schema: SchemaRef,
    arrival: Arrival,
    ports: Vec<Port>,
    /// Each after those that feed it.
    nodes: Vec<Node>,
    /// Where it began amid a stream, and whether a snapshot has said so.
    whole_from: Option<(Timestamp, bool)>,
    /// The columns of rows that come late, where others take these.
    late: Option<SchemaRef>,
}

struct Port {
    chain: Chain,
    /// The columns of the batches that came last, and where in them the scanned ones are.
    seen: Option<(SchemaRef, Vec<usize>)>,
}

struct Node {
    part: Box<dyn Stateful>,
    /// What happens to the rows that it gives.
    chain: Chain,
    /// Rows that it gave and that could not go on yet.
    left: Option<Rows>,
    /// It took rows, and may have made others of them.
    making: bool,
}

/// Why a part of a view gives rows.
#[derive(Clone, Copy)]
enum Why {
    /// It was given others.
    Made,
    /// Event time has come so far.
    Due(Timestamp),
    /// The frame ends.
    Settled,
}

impl Node {
    fn next(&mut self, why: Why) -> Result<Option<Rows>> {
        if self.left.is_some() {
            return Ok(self.left.take());
        }
        let batch = match why {
            Why::Made => return self.part.made().map_err(stop),
            Why::Due(watermark) => self.part.due(watermark).map_err(stop)?,
            Why::Settled => self.part.settled().map_err(stop)?,
        };
        // A window that ends only now ends after all that closed before, so no row of it is late for
        // the next part, whatever the watermark before was.
        let origin = |len| Origin::of_time(Offset(0), 0, len, Timestamp::BEGIN);
        Ok(batch.map(|batch| Rows { origin: origin(batch.num_rows()), batch }))
    }
}

/// The chunk that says where a view began that began amid a stream.
const WHOLE_FROM: &str = "whole_from";

impl ViewOperator {
    /// An operator over chains, of which those of parts with state are for these, in order.
    pub(crate) fn new(
        name: String,
        schema: SchemaRef,
        arrival: Arrival,
        chains: Vec<Chain>,
        parts: Vec<Box<dyn Stateful>>,
        late: Option<SchemaRef>,
    ) -> Self {
        let (ports, mut after): (Vec<_>, Vec<_>) =
            chains.into_iter().partition(|c| matches!(c.from, Feed::Table(_)));
        after.sort_by_key(|c| match c.from {
            Feed::Node(number) => number,
            Feed::Table(_) => 0,
        });
        let ports = ports.into_iter().map(|chain| Port { chain, seen: None }).collect();
        let nodes = parts.into_iter().zip(after);
        let nodes = nodes.map(|(part, chain)| Node { part, chain, left: None, making: false });
        Self { name, schema, arrival, ports, nodes: nodes.collect(), whole_from: None, late }
    }

    /// Takes the next rows that a part gives through what comes after it; whether there were any.
    fn give(&mut self, number: usize, why: Why, out: &mut Output) -> Result<bool> {
        let count = self.nodes.len();
        let (upto, beyond) = self.nodes.split_at_mut((number + 1).min(count));
        let Some(node) = upto.last_mut() else { return Ok(false) };
        let Some(rows) = node.next(why)? else { return Ok(false) };
        let came = out.account.r#in;
        let to = node.chain.to;
        run(
            &node.chain.steps,
            &rows,
            out,
            |rows| Ok(rows.clone()),
            |made, _, out| {
                // Nothing that comes of it needs a better name than it has here.
                let to = to.and_then(|to| Some((beyond.get_mut(to.node - number - 1)?, to)));
                deliver(to, made, &Behind::Nothing, out)
            },
        )?;
        // These did not come in: they were made.
        out.account.made += out.account.r#in - came;
        out.account.r#in = came;
        node.left = out.left.take();
        Ok(true)
    }

    /// Has parts give what they made of the rows they took, those further on first; whether that was all.
    fn pump(&mut self, out: &mut Output) -> Result<bool> {
        while let Some(number) = self.nodes.iter().rposition(|n| n.making) {
            if is_full(out) {
                return Ok(false);
            }
            let more = self.give(number, Why::Made, out)?;
            if let Some(node) = self.nodes.get_mut(number) {
                node.making = more;
            }
        }
        Ok(true)
    }

    /// Has all parts give rows, each after those that feed it.
    fn give_all(&mut self, why: Why, out: &mut Output) -> Result<()> {
        for number in 0..self.nodes.len() {
            loop {
                if !self.pump(out)? || is_full(out) {
                    out.more = true;
                    return Ok(());
                }
                if !self.give(number, why, out)? {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// Whether as many rows were made as should be at once.
fn is_full(out: &Output) -> bool {
    let rows = out.rows.iter().map(Rows::len).sum::<usize>();
    out.waits || rows >= ROWS_MAX || out.rows.iter().map(size).sum::<u64>() >= BYTES_MAX
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
        if !self.pump(out)? {
            out.left = Some(input);
            return Ok(());
        }
        if input.is_empty() {
            return Ok(());
        }
        let count = self.ports.len();
        let Some(port) = self.ports.get_mut(port) else {
            let what = format!("view `{}` has {count} inputs, rows came for {port}", self.name);
            return Err(Error::stop(what));
        };
        port.locate(&self.name, &input.batch.schema())?;
        let to = port.chain.to.and_then(|to| self.nodes.get(to.node));
        let most =
            if to.is_some_and(|n| n.part.multiplies()) { MULTIPLIED_MAX } else { usize::MAX };
        let whole = input;
        let input = part(&whole, 0..whole.len().min(most));
        let (nodes, late) = (&mut self.nodes, self.late.as_ref());
        let chain = &port.chain;
        let one_each = chain.to.is_some() && chain.steps.iter().all(Step::makes_no_rows);
        let numbered = one_each && !input.origin.names_each(input.len());
        run(
            &chain.steps,
            &input,
            out,
            |rows| port.scan(rows, numbered),
            |made, of, out| {
                let behind = match one_each {
                    true => Behind::One(Came::new(of, numbered), late),
                    false => Behind::Nothing,
                };
                let to = chain.to.and_then(|to| Some((nodes.get_mut(to.node)?, to)));
                deliver(to, made, &behind, out)
            },
        )?;
        let taken = input.len() - out.left.take().map_or(0, |left| left.len());
        let all = self.pump(out)?;
        // What is left of the rows comes again, were it none of them.
        let left = || part(&whole, taken..whole.len());
        out.left = (!all || taken < whole.len()).then(left);
        Ok(())
    }

    fn advance(
        &mut self,
        watermark: Timestamp,
        arrival: Timestamp,
        out: &mut Output,
    ) -> Result<()> {
        self.arrival.set(arrival);
        self.give_all(Why::Due(watermark), out)
    }

    fn settle(&mut self, arrival: Timestamp, out: &mut Output) -> Result<()> {
        self.arrival.set(arrival);
        self.give_all(Why::Settled, out)
    }

    fn begin(&mut self, whole_from: Timestamp) -> Result<Timestamp> {
        self.whole_from = Some((whole_from, false));
        let mut begins = vec![whole_from; self.nodes.len()];
        let mut gives = whole_from;
        for (number, node) in self.nodes.iter_mut().enumerate() {
            let own = begins.get(number).copied().unwrap_or(whole_from);
            let given = node.part.begin(own);
            // A part over another one lacks what that one does not give.
            match node.chain.to.map(|to| begins.get_mut(to.node)) {
                Some(Some(above)) => *above = given.max(*above),
                _ => gives = given.max(gives),
            }
        }
        Ok(gives)
    }

    fn changed(&self) -> usize {
        self.nodes.iter().map(|node| node.part.changed()).sum()
    }

    fn state_bytes(&self) -> u64 {
        self.nodes.iter().map(|node| node.part.bytes()).sum()
    }

    fn snapshot(&mut self, out: &mut Chunks) -> Result<()> {
        if let Some((at, saved @ false)) = &mut self.whole_from {
            *saved = true;
            out.insert(WHOLE_FROM.into(), Some(Bytes::copy_from_slice(&at.0.to_le_bytes())));
        }
        for (number, node) in self.nodes.iter_mut().enumerate() {
            node.part.snapshot(&format!("{number}/"), out)?;
        }
        Ok(())
    }

    fn restore(&mut self, chunks: &BTreeMap<String, Bytes>) -> Result<()> {
        let mut known = 0;
        if let Some(bytes) = chunks.get(WHOLE_FROM) {
            let at = <[u8; 8]>::try_from(bytes.as_ref()).map_err(|e| {
                Error::stop(format!("the state of view `{}` cannot be read", self.name)).because(e)
            })?;
            self.begin(Timestamp(i64::from_le_bytes(at)))?;
            self.whole_from = self.whole_from.map(|(at, _)| (at, true));
            known += 1;
        }
        for (number, node) in self.nodes.iter_mut().enumerate() {
            let prefix = format!("{number}/");
            let own = chunks.iter().filter_map(|(name, c)| Some((name.strip_prefix(&prefix)?, c)));
            let own = own.collect::<Vec<_>>();
            known += own.len();
            node.part.restore(&own)?;
            (node.left, node.making) = (None, false);
        }
        if known < chunks.len() {
            let what = format!("the state of view `{}` has parts that it does not know", self.name);
            return Err(Error::stop(what));
        }
        Ok(())
    }
}

fn size(rows: &Rows) -> u64 {
    rows.batch.columns().iter().map(|c| bytes(c.as_ref())).sum()
}

/// What rows were made of.
enum Behind<'a> {
    /// Nothing that could be told.
    Nothing,
    /// Each of one row that came; and the columns of those that come late, where others take these.
    One(Came<'a>, Option<&'a SchemaRef>),
}

impl Behind<'_> {
    /// The rows that came, else what they became.
    fn rows(&self, made: Rows) -> Rows {
        match self {
            Self::Nothing => made,
            Self::One(came, _) => came.behind(&made).unwrap_or(made),
        }
    }

    fn late(&self, made: Rows) -> Result<Rows> {
        let rows = self.rows(made);
        match self {
            Self::One(_, Some(columns)) => given(rows, columns),
            Self::One(_, None) | Self::Nothing => Ok(rows),
        }
    }
}

/// Gives rows to a part with state, or out.
fn deliver(
    to: Option<(&mut Node, To)>,
    made: Vec<Rows>,
    behind: &Behind<'_>,
    out: &mut Output,
) -> Result<()> {
    let Some((node, to)) = to else {
        out.account.out += made.iter().map(|r| r.len() as u64).sum::<u64>();
        out.rows.extend(made);
        return Ok(());
    };
    for rows in made {
        let Taken { absorbed, late, refused } = node.part.take(to.input, &rows).map_err(stop)?;
        node.making = true;
        out.account.absorbed += absorbed;
        for rows in late {
            out.account.late += rows.len() as u64;
            out.late.push(behind.late(rows)?);
        }
        for (rows, reason) in refused {
            out.account.set_aside += rows.len() as u64;
            let rows = behind.rows(rows);
            let each = (0..rows.len()).map(|i| (part(&rows, i..i + 1), reason.clone()));
            out.refused.extend(each);
        }
    }
    Ok(())
}

/// An error of a part with state as one of the view: it is no row's alone.
#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
pub(crate) fn stop(e: DataFusionError) -> Error {
    if let DataFusionError::External(inner) = crate::complain::root(&e)
        && let Some(own) = inner.downcast_ref::<Error>()
    {
        let error = Error::new(own.remedy(), own.what());
        return match own.how_to_fix() {
            Some(fix) => error.fix(fix),
            None => error,
        };
    }
    Error::stop(reason(&e))
}

impl Port {
    /// Finds the scanned columns in batches of this schema.
    fn locate(&mut self, view: &str, schema: &SchemaRef) -> Result<()> {
        if self.seen.as_ref().is_some_and(|(seen, _)| std::sync::Arc::ptr_eq(seen, schema)) {
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
                    let of = match &chain.from {
                        Feed::Table(name) => name.as_str(),
                        Feed::Node(_) => view,
                    };
                    let what = format!(
                        "column `{}` of `{of}` {has}, and view `{view}` was planned for {}",
                        wanted.name(),
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

    /// The scanned columns of rows; `numbered` has each be called by its place.
    fn scan(&self, input: &Rows, numbered: bool) -> Result<Rows, DataFusionError> {
        let options = RecordBatchOptions::new().with_row_count(Some(input.len()));
        let columns = self.seen.iter().flat_map(|(_, found)| found);
        let columns = columns.map(|i| input.batch.column(*i).clone()).collect();
        let batch = RecordBatch::try_new_with_options(self.chain.scan.clone(), columns, &options)?;
        let origin = &input.origin;
        let origin = if numbered { origin.numbered(input.len()) } else { origin.clone() };
        Ok(Rows { batch, origin })
    }
}
