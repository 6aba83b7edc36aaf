//! What must be true at the end: worked out from the queue's history alone, without the engine.

use std::collections::{BTreeMap, BTreeSet};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use millstream_core::codec::RowId;
use millstream_core::ledger::{Ledger, Stage};
use millstream_core::record::{Body, Frame, Offset};
use millstream_engine::Closing;
use millstream_engine::control::{Answer, Request};
use millstream_engine::desk;
use millstream_testkit::fakes::Step;

use super::{Plot, alone};

type Row = (RowId, i64);
type Letter = (Stage, String, RowId);

/// What sinks and dead letters must hold.
#[derive(Default)]
pub(crate) struct Expected {
    /// Rows by sink, those included that its target refuses.
    pub(crate) rows: BTreeMap<String, Vec<Row>>,
    pub(crate) letters: Vec<Letter>,
    records: u64,
    decoded: u64,
}

struct Story<'a> {
    plot: &'a Plot,
    steps: Vec<(&'a str, Step)>,
    counts: Vec<i64>,
    /// The number of each reference table, before the first frame of it the one in that.
    numbers: BTreeMap<String, i64>,
    expected: Expected,
}

/// Works through the history of the queue.
pub(crate) fn expected(plot: &Plot) -> Expected {
    let steps: Vec<(&str, Step)> =
        plot.views.iter().map(|(n, t)| (n.as_str(), Step::parse(t).unwrap())).collect();
    let counts = vec![0; steps.len()];
    let history = plot.disk.history();
    let numbers = history.iter().rev().filter_map(|(_, frame)| number(frame)).collect();
    let mut story = Story { plot, steps, counts, numbers, expected: Expected::default() };
    for (offset, frame) in history {
        story.frame(offset, &frame);
    }
    story.expected
}

/// The reference table that a frame is of, and its number.
fn number(frame: &Frame) -> Option<(String, i64)> {
    let Body::Table(bytes) = &frame.body else { return None };
    let name = frame.source.strip_prefix("tables.")?.to_owned();
    let columns = u32::from_le_bytes(bytes[..4].try_into().unwrap()) as usize;
    let rows = arrow_ipc::reader::StreamReader::try_new(&bytes[4 + columns..], None).unwrap();
    let rows = rows.map(Result::unwrap).next().unwrap();
    Some((name, rows.column(0).as_primitive::<Int64Type>().value(0)))
}

impl Story<'_> {
    fn frame(&mut self, offset: Offset, frame: &Frame) {
        self.numbers.extend(number(frame));
        let Body::Block(block) = &frame.body else { return };
        let source = frame.source.to_string();
        let mut rows = Vec::new();
        for (record, index) in block.records().zip(0..) {
            self.expected.records += 1;
            let text = String::from_utf8(record.value.to_vec()).unwrap();
            if text.starts_with('!') {
                let id = RowId { offset, record: index, row: 0 };
                self.expected.letters.push((Stage::Records, source.clone(), id));
                continue;
            }
            for (line, row) in text.lines().zip(0..) {
                let id = RowId { offset, record: index, row };
                match line.parse() {
                    Ok(value) => rows.push((id, value)),
                    Err(_) => {
                        self.expected.letters.push((Stage::Decode, source.clone(), id));
                    }
                }
            }
        }
        self.expected.decoded += rows.len() as u64;
        self.follow(&source, &rows);
    }

    /// Views in the order of the file, then sinks; each with all that it makes before the next.
    fn follow(&mut self, table: &str, rows: &[Row]) {
        if rows.is_empty() {
            return;
        }
        for at in 0..self.steps.len() {
            let ports = self.steps[at].1.tables.iter().filter(|t| *t == table).count();
            for _ in 0..ports {
                let (name, step) = self.steps[at].clone();
                let mut made = Vec::new();
                for (id, value) in rows {
                    let joined =
                        step.joins.as_ref().map(|table| value * 1000 + self.numbers[table]);
                    let value = joined.unwrap_or(*value);
                    match step.rule.apply(value, &mut self.counts[at]) {
                        Ok(Some(v)) => made.push((*id, v)),
                        Ok(None) => {}
                        Err(_) => {
                            self.expected.letters.push((Stage::View, name.to_owned(), *id));
                        }
                    }
                }
                self.follow(name, &made);
            }
        }
        for sink in self.plot.sinks.iter().filter(|s| s.rows == table) {
            self.expected.rows.entry(sink.name.clone()).or_default().extend(rows);
            for (id, _) in rows.iter().filter(|(_, v)| sink.target.refuses(*v)) {
                self.expected.letters.push((Stage::Sink, sink.name.clone(), *id));
            }
        }
    }
}

/// Whether every promise was kept, now that everything is delivered.
pub(crate) fn verdict(plot: &Plot, closing: &Closing) -> Result<(), String> {
    sources(plot)?;
    let expected = expected(plot);
    for sink in &plot.sinks {
        let all = expected.rows.get(&sink.name).cloned().unwrap_or_default();
        let wanted: Vec<Row> = all.into_iter().filter(|(_, v)| !sink.target.refuses(*v)).collect();
        let there = sink.target.rows();
        if sink.tracking && there != wanted {
            return Err(differs(&sink.name, &there, &wanted));
        }
        if !sink.tracking {
            // Such a sink may also have rows of frames that a crash took before they were durable: their
            // source gives them again, in other frames.
            let seen: BTreeSet<&Row> = there.iter().collect();
            if !seen.is_superset(&wanted.iter().collect()) {
                return Err(differs(&sink.name, &there, &wanted));
            }
        }
    }
    letters(plot, &expected)?;
    if let Some(trouble) = &closing.trouble {
        return Err(format!("trouble: {trouble}"));
    }
    if closing.frames_left != 0 {
        return Err(format!("{} frames are left", closing.frames_left));
    }
    ledger(plot, &closing.ledger, &expected)
}

fn differs(sink: &str, there: &[Row], wanted: &[Row]) -> String {
    let show =
        |rows: &[Row]| rows.iter().map(|(id, v)| format!("{id}={v}")).collect::<Vec<_>>().join(" ");
    format!("sink `{sink}`\n   holds {}\n  wanted {}", show(there), show(wanted))
}

/// Every record of every script is in the queue once, in order.
fn sources(plot: &Plot) -> Result<(), String> {
    let mut seen: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for (_, frame) in plot.disk.history() {
        if let Body::Block(block) = &frame.body {
            let key = (frame.source.to_string(), frame.split.to_string());
            let texts = block.records().map(|r| String::from_utf8(r.value.to_vec()).unwrap());
            seen.entry(key).or_default().extend(texts);
        }
    }
    for source in &plot.sources {
        for (split, records) in source.script.splits() {
            let got = seen.get(&(source.name.clone(), split.to_string()));
            let got: Vec<&str> = got.iter().flat_map(|g| g.iter().map(String::as_str)).collect();
            let wanted: Vec<&str> =
                records.iter().map(|r| std::str::from_utf8(r).unwrap()).collect();
            if got != wanted {
                return Err(format!("source `{}/{split}` {got:?}, not {wanted:?}", source.name));
            }
        }
    }
    Ok(())
}

/// The dead letters, as a person sees them.
pub(crate) fn dead(plot: &Plot) -> Vec<(u64, millstream_engine::dead_letters::DeadLetter)> {
    use millstream_core::plugin::QueueOpener;
    let answer = alone(async {
        let queue = plot.disk.open().await.unwrap();
        let clock = millstream_core::clock::ManualClock::default();
        desk::at_rest(queue.as_ref(), &clock, Request::List(desk::Pick::default())).await.unwrap()
    });
    match answer {
        Answer::Letters(letters) => letters,
        other => panic!("{other:?}"),
    }
}

fn letters(plot: &Plot, expected: &Expected) -> Result<(), String> {
    let mut there: Vec<Letter> =
        dead(plot).into_iter().map(|(_, l)| (l.stage, l.part, l.id)).collect();
    let mut wanted = expected.letters.clone();
    there.sort();
    wanted.sort();
    if there != wanted {
        return Err(format!("dead letters {there:?}, not {wanted:?}"));
    }
    Ok(())
}

fn ledger(plot: &Plot, ledger: &Ledger, expected: &Expected) -> Result<(), String> {
    if let Some((edge, account)) = ledger.unbalanced().next() {
        return Err(format!("{edge:?} does not balance: {account:?}"));
    }
    let sum = |stage: Stage| {
        let accounts = ledger.0.iter().filter(|(e, _)| e.stage == stage);
        accounts.fold((0, 0), |(i, o), (_, a)| (i + a.r#in, o + a.out))
    };
    if sum(Stage::Records).0 != expected.records || sum(Stage::Decode).1 != expected.decoded {
        return Err(format!(
            "records {:?} and rows {:?}, not {} and {}",
            sum(Stage::Records),
            sum(Stage::Decode),
            expected.records,
            expected.decoded
        ));
    }
    for sink in &plot.sinks {
        let all = expected.rows.get(&sink.name).map_or(&[] as &[Row], Vec::as_slice);
        let refused = all.iter().filter(|(_, v)| sink.target.refuses(*v)).count() as u64;
        let account = ledger.clone().account(Stage::Sink, &sink.name).to_owned();
        let wanted = (all.len() as u64, all.len() as u64 - refused, refused, 0);
        if (account.r#in, account.out, account.set_aside, account.in_flight) != wanted {
            return Err(format!("account of sink `{}`: {account:?}, not {wanted:?}", sink.name));
        }
    }
    Ok(())
}
