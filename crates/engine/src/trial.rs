//! Tests of a pipeline: rows in, rows out, without a queue, a source or a sink.
//!
//! A test is played through the same line of decoders and views that a run has, in several manners that must not show: rows cut
//! into other blocks, the line taken down and built anew from its state between any two frames, keys shared among more threads,
//! and rows in another order within the delay of their event time.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use bytes::Bytes;
use serde_json::Value;

use millstream_core::clock::Timestamp;
use millstream_core::codec::{Codec, Column, ColumnType, Columns};
use millstream_core::ledger::Ledger;
use millstream_core::lookup::KEY;
use millstream_core::operator::{Chunks, Late, View};
use millstream_core::plugin::Registry;
use millstream_core::record::{Block, Body, Form, Frame, Offset, Record};
use millstream_core::{Error, Result};

use crate::aside::remember;
use crate::config::{Given, Pipeline, SourcePart, TablePart, TestPart};
use crate::dead_letters::DeadLetter;
use crate::grind::Progress;
use crate::line::{Blueprint, Ground, Line, view_errors};
use crate::lookup::{GivenRows, Lookups};
use crate::opening::own_spill_folder;
use crate::remember::State;
use crate::tables::Tables;

/// How a test is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// Rows of a block; `None` is all of a source in one.
    pub cut: Option<usize>,
    /// The line is built anew from its state after each frame.
    pub restarts: bool,
    /// Rows come in another order, within the delay of their event time.
    pub order: Option<u64>,
    /// So many threads share the keys of windows; when the line is built anew, another number from 1 to [`Manner::THREADS_MAX`].
    pub threads: usize,
    /// Views that may spill have no room, so that nearly all their state lies on disk.
    pub spill: bool,
}

impl Manner {
    /// The most threads that are tried.
    pub const THREADS_MAX: usize = 3;

    /// All of a source in one block, on one thread.
    pub const PLAIN: Self =
        Self { cut: None, restarts: false, order: None, threads: 1, spill: false };
}

/// What came out.
#[derive(Debug, Default)]
pub struct Played {
    /// The rows of each table that was asked for, in order, and those that came late where they are for sinks.
    pub rows: BTreeMap<String, Vec<RecordBatch>>,
    /// What was set aside, and what came late.
    pub letters: Vec<DeadLetter>,
    /// The accounts.
    pub ledger: Ledger,
}

/// Whether everything that a test names is there.
///
/// # Errors
/// `Stop` with what is not.
pub fn check(pipeline: &Pipeline, test: &TestPart) -> Result<()> {
    let sources: Vec<&str> = pipeline.sources.iter().map(|s| s.name.as_str()).collect();
    let lookups = pipeline.lookups.iter().map(|l| l.name.as_str());
    let lookups: Vec<&str> =
        lookups.chain(pipeline.tables.iter().map(|t| t.name.as_str())).collect();
    let views: Vec<&str> = pipeline.views.iter().map(|v| v.name.as_str()).collect();
    let sinks: Vec<&str> = pipeline.sinks.iter().map(|s| s.name.as_str()).collect();
    let late = streams(pipeline).collect::<Vec<_>>();
    let late = late.iter().map(String::as_str).collect();
    let names = |of: &[(String, Vec<_>)]| of.iter().map(|(name, _)| name.clone()).collect();
    let given = test.given.iter().map(|(name, _)| name.clone()).collect();
    let asked: [(&str, Vec<String>, Vec<&str>); 4] = [
        ("given", given, [&sources[..], &lookups].concat()),
        ("expect", names(&test.expect), [views.clone(), late, sinks, sources.clone()].concat()),
        ("late", names(&test.late), views.clone()),
        ("set_aside", names(&test.set_aside), [&sources[..], &views].concat()),
    ];
    for (section, names, known) in asked {
        if let Some(name) = names.iter().find(|name| !known.contains(&name.as_str())) {
            return Err(Error::stop(format!("there is no `{name}` that this could be about"))
                .at(format!("tests.{}.{section}.{name}", test.name))
                .fix(format!("known here: {}", known.join(", "))));
        }
    }
    Ok(())
}

/// Whether a test expects rows to come late.
#[must_use]
pub fn expects_late(pipeline: &Pipeline, test: &TestPart) -> bool {
    let is_late = |table: &str| View::of_late(&table_of(pipeline, table)).is_some();
    !test.late.is_empty() || test.expect.iter().any(|(t, rows)| !rows.is_empty() && is_late(t))
}

/// What sinks take to have rows that come late, for all views that have it so.
fn streams(pipeline: &Pipeline) -> impl Iterator<Item = String> {
    let views = pipeline.views.iter().filter(|v| v.windows.late == Late::Stream);
    views.map(|v| View::late_rows(&v.name))
}

/// The table that an expectation is about: for a sink, what it takes.
fn table_of(pipeline: &Pipeline, name: &str) -> String {
    let sink = pipeline.sinks.iter().find(|s| s.name == name);
    sink.map_or_else(|| name.to_owned(), |s| s.rows.clone())
}

/// Plays a test.
///
/// `plain` decodes rows that are given as rows: JSON, one object each.
///
/// # Errors
/// `Stop` when the test itself is wrong, or a view.
pub fn play(
    pipeline: &Pipeline,
    registry: &Registry,
    plain: &Arc<dyn Codec>,
    test: &TestPart,
    manner: Manner,
) -> Result<Played> {
    let cast = Cast::new(pipeline, plain, test)?;
    let mut tables: Vec<String> = test.expect.iter().map(|(table, _)| table.clone()).collect();
    let late = streams(pipeline).filter(|rows| !tables.contains(rows)).collect::<Vec<_>>();
    tables.extend(late);
    let build = |threads: usize| {
        let mut views = pipeline.views.clone();
        for view in &mut views {
            view.windows.threads = threads;
            if let Some(folder) = &mut view.windows.spill {
                *folder = own_spill_folder().into();
                view.windows.state_bytes = if manner.spill { 1 } else { view.windows.state_bytes };
            }
        }
        let blueprint = Blueprint {
            sources: cast.feeds(pipeline),
            lookups: Lookups::of_rows(cast.lookups.clone()),
            tables: Tables::of_rows(cast.tables.clone()),
            views,
            sinks: tables.iter().map(|table| (table.clone(), table_of(pipeline, table))).collect(),
            planner: registry.planner.clone(),
            functions: registry.functions.clone(),
        };
        Line::new(blueprint, Arc::default()).map_err(|errors| view_errors(&errors))
    };
    let mut played = Played::default();
    let mut threads = manner.threads;
    let (mut line, mut state) = (build(threads)?, State::new());
    for (offset, frame) in (0..).zip(cast.frames(manner, test.ends)?) {
        step(&mut line, Offset(offset), &frame, &tables, &mut played)?;
        if manner.restarts {
            remember_all(&mut state, line.snapshot()?);
            threads = threads % Manner::THREADS_MAX + 1;
            line = build(threads)?;
            line.restore(&state)?;
        }
    }
    // Whatever was spilled there has no name, so that it is empty, if it is there.
    drop(std::fs::remove_dir(own_spill_folder()));
    Ok(played)
}

fn step(
    line: &mut Line,
    offset: Offset,
    frame: &Frame,
    tables: &[String],
    played: &mut Played,
) -> Result<()> {
    let mut ground = Ground::default();
    match &frame.body {
        Body::Block(block) => line.take(offset, frame, block, &mut ground)?,
        Body::Idle | Body::Ended => line.hear(offset, frame),
        Body::Pin(_) | Body::Table(_) => {}
    }
    loop {
        match line.grind(&mut ground)? {
            Progress::Done => break,
            Progress::Full => {}
            Progress::Waits => return Err(Error::stop("a lookup of a test has no answer at hand")),
        }
    }
    for (sink, rows) in ground.rows {
        if let Some(table) = tables.get(sink) {
            played.rows.entry(table.clone()).or_default().push(rows.batch);
        }
    }
    played.letters.extend(ground.letters);
    for (edge, account) in &ground.ledger.0 {
        played.ledger.account(edge.stage, &edge.part).add(account);
    }
    Ok(())
}

fn remember_all(state: &mut State, changed: BTreeMap<String, Chunks>) {
    for (part, chunks) in changed {
        remember(state.entry(part).or_default(), chunks);
    }
}

/// Who plays: what is given, as records and answers.
struct Cast {
    sources: Vec<Script>,
    lookups: Vec<GivenRows>,
    tables: Vec<(String, RecordBatch)>,
    arrival: Timestamp,
}

/// What one source says.
struct Script {
    source: String,
    codec: Arc<dyn Codec>,
    columns: Columns,
    form: Form,
    records: Vec<Record>,
    /// The event time of each record, where the source has any and each is one row.
    times: Vec<Option<Timestamp>>,
    delay: std::time::Duration,
}

impl Cast {
    fn new(pipeline: &Pipeline, plain: &Arc<dyn Codec>, test: &TestPart) -> Result<Self> {
        let (mut sources, mut lookups) = (Vec::new(), Vec::new());
        for (name, given) in &test.given {
            if let Some(part) = pipeline.sources.iter().find(|s| s.name == *name) {
                sources.push(Script::new(part, plain, given).map_err(|e| e.at(place(test, name)))?);
            }
        }
        for part in &pipeline.lookups {
            let nothing = Given::Rows(Vec::new());
            let given = test.given.iter().find(|(name, _)| *name == part.name);
            let rows = answers(plain, &part.columns, given.map_or(&nothing, |(_, given)| given));
            let rows = rows.map_err(|e| e.at(place(test, &part.name)))?;
            lookups.push(GivenRows { name: part.name.clone(), rows });
        }
        let tables = pipeline.tables.iter().map(|part| {
            let given = test.given.iter().find(|(name, _)| *name == part.name);
            let rows = table_rows(plain, part, given.map(|(_, given)| given));
            Ok((part.name.clone(), rows.map_err(|e| e.at(place(test, &part.name)))?))
        });
        let tables = tables.collect::<Result<Vec<_>>>()?;
        let latest = sources.iter().flat_map(|s| s.times.iter().flatten()).max().copied();
        Ok(Self { sources, lookups, tables, arrival: latest.unwrap_or(Timestamp(0)) })
    }

    /// Every source, those of which nothing is given too.
    fn feeds(&self, pipeline: &Pipeline) -> Vec<crate::decode::Feed> {
        let feed = |part: &SourcePart| {
            let mut feed = part.feed();
            if let Some(script) = self.sources.iter().find(|s| s.source == part.name) {
                feed.codec = script.codec.clone();
                feed.columns = Some(script.columns.clone());
            }
            feed
        };
        pipeline.sources.iter().map(feed).collect()
    }

    fn frames(&self, manner: Manner, ends: bool) -> Result<Vec<Frame>> {
        let mut frames = Vec::new();
        let frame = |source: &str, body| Frame {
            source: source.into(),
            split: "test".into(),
            arrival: self.arrival,
            position: None,
            body,
        };
        for script in &self.sources {
            let records = script.ordered(manner.order);
            let cut = manner.cut.unwrap_or(records.len()).max(1);
            for records in records.chunks(cut) {
                let block = Block::pack_as(script.form, records)?;
                frames.push(frame(&script.source, Body::Block(block)));
            }
        }
        for script in self.sources.iter().filter(|_| ends) {
            frames.push(Frame { split: "".into(), ..frame(&script.source, Body::Ended) });
        }
        Ok(frames)
    }
}

impl Script {
    fn new(part: &SourcePart, plain: &Arc<dyn Codec>, given: &Given) -> Result<Self> {
        let (codec, form, records) = match given {
            Given::Text(text) => {
                let record = Record::new(Bytes::from(text.clone().into_bytes()));
                (part.codec.clone(), Form::Arrived, vec![record])
            }
            Given::Rows(rows) => (plain.clone(), Form::Rows, as_records(rows)),
        };
        let columns = match (&part.columns, given) {
            // Rows are given by the names of their columns, wherever the source has them.
            (Some(columns), Given::Rows(_)) => Columns(columns.0.iter().map(by_name).collect()),
            (Some(columns), Given::Text(_)) => columns.clone(),
            (None, _) => {
                let block = Block::pack_as(form, &records)?;
                let none = || Error::stop("nothing tells which columns the rows have");
                codec
                    .infer(&[block])?
                    .ok_or_else(|| none().fix("declare `columns` at the source"))?
            }
        };
        let times = match &part.event_time {
            Some(time) => moments(codec.as_ref(), &columns, &time.column, form, &records)?,
            None => Vec::new(),
        };
        let delay = part.event_time.as_ref().map_or_else(Default::default, |time| time.delay.0);
        Ok(Self { source: part.name.clone(), codec, columns, form, records, times, delay })
    }

    /// The records, in another order within the delay if asked: none comes so late that it could be late for anything.
    fn ordered(&self, seed: Option<u64>) -> Vec<Record> {
        let (Some(seed), true) = (seed, self.times.len() == self.records.len()) else {
            return self.records.clone();
        };
        let mut random = fastrand::Rng::with_seed(seed);
        let delay = i64::try_from(self.delay.as_micros()).unwrap_or(i64::MAX);
        let mut latest = i64::MIN;
        let mut keyed: Vec<(i64, &Record)> = Vec::new();
        for (record, time) in self.records.iter().zip(&self.times) {
            // A row without a time stays behind the one before it.
            latest = time.map_or(latest, |t| t.0.saturating_add(random.i64(0..=delay)));
            keyed.push((latest, record));
        }
        keyed.sort_by_key(|(at, _)| *at);
        keyed.into_iter().map(|(_, record)| record.clone()).collect()
    }
}

fn by_name(column: &Column) -> Column {
    Column { at: None, ..column.clone() }
}

fn as_records(rows: &[Value]) -> Vec<Record> {
    rows.iter().map(|row| Record::new(Bytes::from(row.to_string().into_bytes()))).collect()
}

/// The event time of each record that is one row.
fn moments(
    codec: &dyn Codec,
    columns: &Columns,
    column: &str,
    form: Form,
    records: &[Record],
) -> Result<Vec<Option<Timestamp>>> {
    let mut decoder = codec.decoder(columns, None)?;
    let mut times = Vec::new();
    for record in records {
        let decoded = decoder.decode(&Block::pack_as(form, std::slice::from_ref(record))?)?;
        let found = decoded.batch.column_by_name(column);
        let found = found.and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
        times.extend(found.into_iter().flatten().map(|t| t.map(Timestamp)));
        if decoded.batch.num_rows() == 0 {
            times.push(None);
        }
    }
    Ok(times)
}

/// All rows of a reference table; none are given of one without columns.
fn table_rows(
    plain: &Arc<dyn Codec>,
    part: &TablePart,
    given: Option<&Given>,
) -> Result<RecordBatch> {
    let rows: &[Value] = match given {
        Some(Given::Text(_)) => return Err(Error::stop("a reference table is given rows")),
        Some(Given::Rows(rows)) => rows,
        None => &[],
    };
    let block = Block::pack_as(Form::Rows, &as_records(rows))?;
    let columns = match &part.columns {
        Some(columns) => Columns(columns.0.iter().map(by_name).collect()),
        None => plain.infer(std::slice::from_ref(&block))?.ok_or_else(|| {
            Error::stop("nothing tells which columns the table has")
                .fix("give it rows in the test, or declare its `columns`")
        })?,
    };
    all_decoded(plain, &columns, &block)
}

/// What a lookup answers: rows with their keys.
fn answers(plain: &Arc<dyn Codec>, columns: &Columns, given: &Given) -> Result<RecordBatch> {
    let Given::Rows(rows) = given else {
        return Err(Error::stop("a lookup is given rows, each with its `key`"));
    };
    let mut all = vec![Column { required: true, ..Column::new(KEY, ColumnType::String) }];
    all.extend(columns.0.iter().map(by_name));
    all_decoded(plain, &Columns(all), &Block::pack_as(Form::Rows, &as_records(rows))?)
}

fn all_decoded(plain: &Arc<dyn Codec>, columns: &Columns, block: &Block) -> Result<RecordBatch> {
    let decoded = plain.decoder(columns, None)?.decode(block)?;
    match decoded.refused.first() {
        Some(refused) => {
            Err(Error::stop(format!("row {}: {}", refused.ordinal + 1, refused.reason)))
        }
        None => Ok(decoded.batch),
    }
}

fn place(test: &TestPart, part: &str) -> String {
    format!("tests.{}.given.{part}", test.name)
}
