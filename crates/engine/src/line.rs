//! The line that frames run through: decoders, views and the ways between them, without I/O.
//!
//! `process` feeds it frame by frame; the same frames always give the same rows. It looks at the clock
//! for metrics only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow_schema::SchemaRef;
use bytes::Bytes;
use millstream_core::codec::{Codec, Columns, Decoded, Decoder, Origin, Rows};
use millstream_core::ledger::{Ledger, Stage};
use millstream_core::operator::{Chunks, Function, Planned, Planner, Table, View, ViewError};
use millstream_core::record::{Block, Form, Frame, Offset, Record};
use millstream_core::{Error, Result};

use crate::busy::Busy;
use crate::dead_letters::DeadLetter;
use crate::grind::{Mills, Progress, Way, guarded};
use crate::lookup::Lookups;
use crate::pins::without_columns;

/// One source on the line.
struct Station {
    codec: Arc<dyn Codec>,
    /// Declared, or pinned.
    columns: Option<Columns>,
    /// The columns in use, as planned.
    used: Option<BTreeSet<String>>,
    decoder: Option<Box<dyn Decoder>>,
    /// Sources whose columns must be known before its rows can go on.
    waits_for: BTreeSet<String>,
    ways: Vec<Way>,
}

struct Door {
    name: String,
    schema: Option<SchemaRef>,
}

/// The whole state of views, by view and key.
pub(crate) type State = BTreeMap<String, BTreeMap<String, Bytes>>;

/// What a line is built from.
pub(crate) struct Blueprint {
    pub(crate) sources: Vec<(String, Arc<dyn Codec>, Option<Columns>)>,
    pub(crate) lookups: Lookups,
    pub(crate) views: Vec<View>,
    /// Name, and the source or view it takes.
    pub(crate) sinks: Vec<(String, String)>,
    pub(crate) planner: Arc<dyn Planner>,
    pub(crate) functions: Vec<Arc<dyn Function>>,
}

/// Decoders and views, wired.
pub(crate) struct Line {
    blueprint: Blueprint,
    stations: BTreeMap<String, Station>,
    mills: Mills,
    busy: Arc<Busy>,
    doors: Vec<Door>,
    explained: Vec<Explained>,
    waiting: BTreeMap<String, BTreeSet<String>>,
}

/// A planned view in words.
pub(crate) struct Explained {
    pub(crate) name: String,
    pub(crate) inputs: Vec<String>,
    pub(crate) schema: SchemaRef,
    pub(crate) steps: String,
}

/// What came of some frames.
#[derive(Default)]
pub(crate) struct Ground {
    /// Rows by sink, in order.
    pub(crate) rows: Vec<(usize, Rows)>,
    /// What was set aside on the way.
    pub(crate) letters: Vec<DeadLetter>,
    /// Accounts of records, decoding and views.
    pub(crate) ledger: Ledger,
    /// Bytes of all rows for sinks since this was taken last.
    pub(crate) bytes: usize,
    /// How long each view took for a batch: for metrics only, no row depends on it.
    pub(crate) took: Vec<(String, Duration)>,
}

impl Line {
    /// Plans everything whose columns are known.
    ///
    /// # Errors
    /// Everything that is wrong with any view.
    pub(crate) fn new(blueprint: Blueprint, busy: Arc<Busy>) -> Result<Self, Vec<ViewError>> {
        let mut line = Self {
            blueprint,
            stations: BTreeMap::new(),
            mills: Mills::default(),
            busy,
            doors: Vec::new(),
            explained: Vec::new(),
            waiting: BTreeMap::new(),
        };
        for (name, codec, columns) in &line.blueprint.sources {
            line.stations.insert(
                name.clone(),
                Station {
                    codec: codec.clone(),
                    columns: columns.clone(),
                    used: None,
                    decoder: None,
                    waits_for: BTreeSet::new(),
                    ways: Vec::new(),
                },
            );
        }
        line.plan()?;
        Ok(line)
    }

    /// Sets the columns of a source that had none and plans anew what waited for them.
    pub(crate) fn pin(&mut self, source: &str, columns: Columns) -> Result<(), Vec<ViewError>> {
        if let Some(station) = self.stations.get_mut(source) {
            station.columns.get_or_insert(columns);
        }
        self.plan()
    }

    fn plan(&mut self) -> Result<(), Vec<ViewError>> {
        let tables: Vec<Table> = self
            .blueprint
            .sources
            .iter()
            .map(|(name, _, _)| {
                let columns = self.stations.get(name).and_then(|s| s.columns.as_ref());
                Table::source(name, columns.map(Columns::schema))
            })
            .chain(self.blueprint.lookups.tables())
            .collect();
        let planned =
            self.blueprint.planner.plan(&tables, &self.blueprint.views, &self.blueprint.functions);
        if !planned.errors.is_empty() {
            return Err(planned.errors);
        }
        self.wire(planned)
    }

    fn wire(&mut self, planned: Planned) -> Result<(), Vec<ViewError>> {
        self.blueprint.lookups.use_columns(&planned.used).map_err(|error| {
            let view = error.place().unwrap_or_default().to_owned();
            vec![ViewError { view, place: None, error }]
        })?;
        let index: BTreeMap<String, (usize, SchemaRef)> = planned
            .views
            .iter()
            .enumerate()
            .map(|(i, v)| (v.name.clone(), (i, v.schema.clone())))
            .collect();
        let mut ways_of: BTreeMap<String, Vec<Way>> = BTreeMap::new();
        for (i, view) in planned.views.iter().enumerate() {
            for (port, input) in view.inputs.iter().enumerate() {
                ways_of.entry(input.clone()).or_default().push(Way::View { index: i, port });
            }
        }
        for (i, (_, rows)) in self.blueprint.sinks.iter().enumerate() {
            ways_of.entry(rows.clone()).or_default().push(Way::Sink(i));
        }
        let reads = self.reads(planned.waiting.keys().map(String::as_str))?;
        let direct: BTreeSet<&str> = self.blueprint.sinks.iter().map(|(_, r)| r.as_str()).collect();
        for (name, station) in &mut self.stations {
            station.ways = ways_of.get(name).cloned().unwrap_or_default();
            // A sink that takes the source as it is needs every column.
            station.used = if direct.contains(name.as_str()) {
                None
            } else {
                Some(planned.used.get(name).cloned().unwrap_or_default())
            };
            station.decoder = None;
            station.waits_for = planned
                .waiting
                .iter()
                .filter(|(view, _)| reads.get(*view).is_some_and(|r| r.contains(name)))
                .flat_map(|(_, tables)| tables.iter().cloned())
                .collect();
        }
        self.doors = self
            .blueprint
            .sinks
            .iter()
            .map(|(name, rows)| {
                let schema = match index.get(rows) {
                    Some((_, schema)) => Some(schema.clone()),
                    None => self
                        .stations
                        .get(rows)
                        .and_then(|s| s.columns.as_ref())
                        .map(Columns::schema),
                };
                Door { name: name.clone(), schema }
            })
            .collect();
        self.explained = planned
            .views
            .iter()
            .map(|v| Explained {
                name: v.name.clone(),
                inputs: v.inputs.clone(),
                schema: v.schema.clone(),
                steps: v.explain.clone(),
            })
            .collect();
        self.waiting = planned.waiting;
        let views = planned.views.into_iter().map(|view| {
            let ways = ways_of.get(&view.name).cloned().unwrap_or_default();
            (view, ways)
        });
        self.mills = Mills::new(views, self.busy.clone());
        Ok(())
    }

    /// What each of these views reads, through other views too.
    fn reads<'a>(
        &self,
        of: impl Iterator<Item = &'a str>,
    ) -> Result<BTreeMap<String, BTreeSet<String>>, Vec<ViewError>> {
        let mut of = of.peekable();
        let mut straight = BTreeMap::new();
        if of.peek().is_some() {
            for view in &self.blueprint.views {
                let tables = self.blueprint.planner.reads(view).map_err(|e| vec![e])?;
                straight.insert(view.name.as_str(), tables);
            }
        }
        let through = of.map(|view| {
            let mut reads = BTreeSet::new();
            let mut next = vec![view];
            while let Some(tables) = next.pop().map(|view| straight.get(view)) {
                let new = tables.into_iter().flatten().filter(|t| reads.insert((*t).clone()));
                next.extend(new.map(String::as_str));
            }
            (view.to_owned(), reads)
        });
        Ok(through.collect())
    }

    /// Sinks whose rows are made of what these lookups answer, with those.
    ///
    /// # Errors
    /// The text of a view cannot be parsed.
    pub(crate) fn looked_up(
        &self,
        lookups: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, BTreeSet<String>>, Vec<ViewError>> {
        if lookups.is_empty() {
            return Ok(BTreeMap::new());
        }
        let sinks = self.blueprint.sinks.iter();
        let reads = self.reads(sinks.clone().map(|(_, rows)| rows.as_str()))?;
        let of = |(sink, rows): &(String, String)| {
            let asked: BTreeSet<String> = reads.get(rows)?.intersection(lookups).cloned().collect();
            (!asked.is_empty()).then(|| (sink.clone(), asked))
        };
        Ok(sinks.filter_map(of).collect())
    }

    /// What views ask.
    pub(crate) fn lookups(&self) -> &Lookups {
        &self.blueprint.lookups
    }

    /// Sinks with the schema of their rows; `None` while columns are missing.
    pub(crate) fn sinks(&self) -> impl Iterator<Item = (&str, Option<&SchemaRef>)> {
        self.doors.iter().map(|d| (d.name.as_str(), d.schema.as_ref()))
    }

    /// Views with their inputs and plans.
    pub(crate) fn explained(&self) -> &[Explained] {
        &self.explained
    }

    /// What a view that is not planned yet waits for.
    pub(crate) fn waits_for(&self, view: &str) -> Vec<String> {
        self.waiting.get(view).map_or_else(Vec::new, |w| w.iter().cloned().collect())
    }

    /// Columns of a source: all of them, and the ones that are decoded.
    pub(crate) fn columns(&self, source: &str) -> Option<(&Columns, Option<&BTreeSet<String>>)> {
        let station = self.stations.get(source)?;
        Some((station.columns.as_ref()?, station.used.as_ref()))
    }

    /// Sources without columns.
    pub(crate) fn unpinned(&self) -> BTreeSet<String> {
        self.stations.iter().filter(|(_, s)| s.columns.is_none()).map(|(n, _)| n.clone()).collect()
    }

    /// Sources whose columns must be known before a frame of this one can be taken: itself, and those
    /// that feed the same view.
    pub(crate) fn missing_for(&self, source: &str) -> BTreeSet<String> {
        let Some(station) = self.stations.get(source) else { return BTreeSet::new() };
        let mut missing: BTreeSet<String> = station.waits_for.clone();
        if station.columns.is_none() {
            missing.insert(source.to_owned());
        }
        missing.retain(|s| self.stations.get(s).is_some_and(|s| s.columns.is_none()));
        missing
    }

    /// Works out columns from blocks of a source.
    pub(crate) fn infer(&self, source: &str, blocks: &[Block]) -> Result<Option<Columns>> {
        match self.stations.get(source) {
            Some(station) => station.codec.infer(blocks),
            None => Ok(None),
        }
    }

    /// What changed of the state of every view since this was asked last. Views without state say nothing.
    pub(crate) fn snapshot(&mut self) -> Result<BTreeMap<String, Chunks>> {
        let mut changed = BTreeMap::new();
        for (view, operator) in self.mills.operators() {
            let mut chunks = Chunks::new();
            operator.snapshot(&mut chunks).map_err(|e| e.at(format!("views.{view}")))?;
            if !chunks.is_empty() {
                changed.insert(view.to_owned(), chunks);
            }
        }
        Ok(changed)
    }

    /// Sets every view to a state, by view and key; what a view has no chunks for is empty.
    pub(crate) fn restore(&mut self, state: &State) -> Result<()> {
        for (view, operator) in self.mills.operators() {
            if let Some(chunks) = state.get(view) {
                operator.restore(chunks).map_err(|e| e.at(format!("views.{view}")))?;
            }
        }
        Ok(())
    }

    /// Decodes one block; [`Self::grind`] takes its rows through the views.
    pub(crate) fn take(
        &mut self,
        offset: Offset,
        frame: &Frame,
        block: &Block,
        ground: &mut Ground,
    ) -> Result<()> {
        let name = frame.source.as_ref();
        let Some(station) = self.stations.get_mut(name) else {
            // The source was taken out of the file: its records are counted and kept nowhere else.
            let account = ground.ledger.account(Stage::Records, name);
            account.r#in += block.len() as u64;
            account.expired += block.len() as u64;
            return Ok(());
        };
        if station.decoder.is_none() {
            let columns = station.columns.clone().unwrap_or_default();
            station.decoder = Some(station.codec.decoder(&columns, station.used.as_ref())?);
        }
        let Some(decoder) = station.decoder.as_mut() else { return Ok(()) };
        let mut decoded =
            guarded(&format_args!("sources.{name}.decode"), || decoder.decode(block))?;
        if station.columns.is_none() {
            decoded = without_columns(block, &decoded);
        }
        let rows = account_for(name, offset, frame, block, decoded, ground);
        self.mills.begin(&station.ways, &rows, frame.arrival);
        Ok(())
    }

    /// Takes decoded rows through the views, as far as they come; called again, it goes on from there.
    pub(crate) fn grind(&mut self, ground: &mut Ground) -> Result<Progress> {
        self.mills.grind(ground)
    }

    /// Forgets the frame that is half taken.
    pub(crate) fn forget(&mut self) {
        self.mills.clear();
    }
}

/// Books what a block became and gives back the rows that go on.
fn account_for(
    source: &str,
    offset: Offset,
    frame: &Frame,
    block: &Block,
    decoded: Decoded,
    ground: &mut Ground,
) -> Rows {
    let (records, bad_records) = (block.len() as u64, decoded.refused_records.len() as u64);
    let account = ground.ledger.account(Stage::Records, source);
    account.r#in += records;
    account.out += records - bad_records;
    account.set_aside += bad_records;
    let (good, bad) = (decoded.batch.num_rows() as u64, decoded.refused.len() as u64);
    let account = ground.ledger.account(Stage::Decode, source);
    account.r#in += good + bad;
    account.out += good;
    account.set_aside += bad;
    let origin = Origin::new(offset, decoded.starts, decoded.ordinals);
    for refused in decoded.refused {
        let id = origin.id_of(refused.ordinal);
        ground.letters.push(DeadLetter::of_row(source, id, refused, frame));
    }
    if !decoded.refused_records.is_empty() {
        let values: Vec<Record> = block.records().collect();
        for refused in decoded.refused_records {
            let value =
                values.get(refused.record as usize).map(|r| r.value.clone()).unwrap_or_default();
            let letter = DeadLetter::of_record(source, offset, refused, value, frame);
            ground.letters.push(if block.form() == Form::Rows {
                letter.into_row()
            } else {
                letter
            });
        }
    }
    Rows { batch: decoded.batch, origin }
}

/// A person's text for views that are wrong, when no file is at hand.
pub(crate) fn view_errors(errors: &[ViewError]) -> Error {
    let text: Vec<String> = errors
        .iter()
        .map(|e| match e.place {
            Some((line, column)) => format!("view `{}` ({line}:{column}): {}", e.view, e.error),
            None => format!("view `{}`: {}", e.view, e.error),
        })
        .collect();
    Error::stop(text.join("\n"))
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use millstream_testkit::fakes::{Chain, Lines};

    use super::*;

    /// A thousand views, each on the one before.
    fn line(columns: Option<Columns>) -> Line {
        let view = |i: u32| {
            let of = if i == 0 { "a".to_owned() } else { format!("v{}", i - 1) };
            View::new(format!("v{i}"), format!("all of {of}"))
        };
        let blueprint = Blueprint {
            sources: vec![("a".into(), Arc::new(Lines) as Arc<dyn Codec>, columns)],
            lookups: Lookups::default(),
            views: (0..1_000).map(view).collect(),
            sinks: vec![("s".into(), "v999".into())],
            planner: Arc::new(Chain),
            functions: Vec::new(),
        };
        Line::new(blueprint, Arc::default()).unwrap()
    }

    #[test]
    fn a_thousand_views_on_each_other_are_wired_in_no_time() {
        let started = Instant::now();
        assert_eq!(line(Some(Lines::columns())).explained().len(), 1_000);
        let waiting = line(None);
        assert_eq!(waiting.waits_for("v999"), ["a"]);
        assert_eq!(waiting.missing_for("a").len(), 1);
        // A debug build, beside other tests.
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    }
}
