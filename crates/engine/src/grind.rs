//! Rows through the views, one after the other, and on to the sinks.

use std::fmt::Arguments;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::time::Instant;

use millstream_core::Result;
use millstream_core::clock::Timestamp;
use millstream_core::codec::Rows;
use millstream_core::ledger::Stage;
use millstream_core::operator::{Operator, Output, PlannedView};

use crate::busy::Busy;
use crate::dead_letters::DeadLetter;
use crate::line::Ground;
use crate::pass::{Passed, Passing, Timing};
use crate::tasks::panicked;
use crate::time::Reach;

/// Rows for sinks are sent on once there are so many bytes of them, before more are made.
const ROWS_BYTES_MAX: usize = 64 << 20;

/// More than this is not made of one frame: its epoch is held in memory until it is sealed.
const FRAME_BYTES_MAX: usize = 512 << 20;

/// Where rows go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    View { index: usize, port: usize },
    Sink(usize),
}

/// Where the rows of a view go on.
#[derive(Clone, Default)]
pub(crate) struct Ways {
    pub(crate) rows: Vec<Way>,
    /// Those that come late for its windows; where they go nowhere they are set aside.
    pub(crate) late: Vec<Way>,
}

/// How far rows have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// None are left.
    Done,
    /// So many have reached the sinks that these should be sent before more are made.
    Full,
    /// The next lack answers of a lookup.
    Waits,
}

pub(crate) struct Mill {
    pub(crate) name: Arc<str>,
    pub(crate) operator: Box<dyn Operator>,
    ways: Ways,
    pub(crate) timing: Timing,
}

/// Rows on one way.
struct Sack {
    way: Way,
    rows: Rows,
    arrival: Timestamp,
}

/// All views, and the rows between them.
#[derive(Default)]
pub(crate) struct Mills {
    pub(crate) mills: Vec<Mill>,
    /// The next is last. Not a recursion: views can stand on each other a thousand high.
    sacks: Vec<Sack>,
    busy: Arc<Busy>,
    /// Bytes of rows for sinks that were made of the frame so far.
    made: usize,
    pub(crate) time: Passing,
}

impl Mills {
    /// Each view with the ways of its rows, in an order in which every view comes after what it reads; and the sources
    /// that have event time.
    pub(crate) fn new(
        views: impl IntoIterator<Item = (PlannedView, Ways)>,
        timed: impl IntoIterator<Item = (String, Reach)>,
        busy: Arc<Busy>,
    ) -> Self {
        let mut time = Passing::new(timed);
        let mills = views.into_iter().map(|(view, ways)| Mill {
            timing: time.of(&view),
            name: view.name.into(),
            operator: view.operator,
            ways,
        });
        let mills = mills.collect();
        Self { mills, busy, time, ..Self::default() }
    }

    /// Every view's operator by name.
    pub(crate) fn operators(
        &mut self,
    ) -> impl Iterator<Item = (&str, &mut (dyn Operator + 'static))> {
        self.mills.iter_mut().map(|m| (m.name.as_ref(), m.operator.as_mut()))
    }

    /// How many bytes of state each view holds that keeps any.
    pub(crate) fn state_bytes(&self) -> impl Iterator<Item = (&str, u64)> {
        let stateful = self.mills.iter().filter(|m| m.timing.keeps_state());
        stateful.map(|m| (m.name.as_ref(), m.operator.state_bytes()))
    }

    /// The operator of a view.
    pub(crate) fn operator(&mut self, view: &str) -> Option<&mut Box<dyn Operator>> {
        let mill = self.mills.iter_mut().find(|m| m.name.as_ref() == view);
        mill.map(|m| &mut m.operator)
    }

    /// Takes in the rows of a frame.
    pub(crate) fn begin(&mut self, ways: &[Way], rows: &Rows, arrival: Timestamp) {
        self.made = 0;
        self.bring(ways, rows, arrival);
    }

    /// Puts rows at the beginning of their ways.
    fn bring(&mut self, ways: &[Way], rows: &Rows, arrival: Timestamp) {
        if !rows.is_empty() {
            let sacks = ways.iter().rev();
            self.sacks.extend(sacks.map(|way| Sack { way: *way, rows: rows.clone(), arrival }));
        }
    }

    /// Forgets the rows that are still on their way.
    pub(crate) fn clear(&mut self) {
        self.sacks.clear();
        self.time.clear();
    }

    /// Takes rows down their ways, depth first, in the order of the plan, as far as they come.
    pub(crate) fn grind(&mut self, ground: &mut Ground) -> Result<Progress> {
        let before = self.made;
        loop {
            let Some(Sack { way, rows, arrival }) = self.sacks.pop() else {
                match self.pass(ground)? {
                    Passed::All => return Ok(Progress::Done),
                    Passed::One => continue,
                    Passed::Waits => return Ok(Progress::Waits),
                }
            };
            match way {
                Way::Sink(sink) => {
                    let bytes = bytes(&rows);
                    self.made += bytes;
                    ground.bytes += bytes;
                    ground.rows.push((sink, rows));
                }
                Way::View { index, port } => {
                    if self.mill(index, port, rows, arrival, ground)? {
                        return Ok(Progress::Waits);
                    }
                }
            }
            if self.made - before > ROWS_BYTES_MAX
                && (!self.sacks.is_empty() || self.time.is_passing())
            {
                return Ok(Progress::Full);
            }
        }
    }

    /// Takes rows through a view. Says whether some are left because they lack answers.
    fn mill(
        &mut self,
        index: usize,
        port: usize,
        rows: Rows,
        arrival: Timestamp,
        ground: &mut Ground,
    ) -> Result<bool> {
        let rows = self.meeting(index, port, rows);
        let mut out = Output::default();
        // What a view has made of rows that it took before is asked for with none: that goes on.
        if self.made > FRAME_BYTES_MAX && !rows.is_empty() {
            out.account.r#in = rows.len() as u64;
            out.account.set_aside = rows.len() as u64;
            let reason = format!("the rows of its block became more than {FRAME_BYTES_MAX} bytes");
            out.refused.push((rows, reason));
        } else {
            self.act(index, ground, |operator| operator.process(port, rows, arrival, &mut out))?;
        }
        let waits = out.waits;
        if let Some(rows) = out.left.take() {
            self.sacks.push(Sack { way: Way::View { index, port }, rows, arrival });
        }
        self.pass_on(index, &out, arrival, ground)?;
        Ok(waits)
    }

    /// Lets a view do something.
    pub(crate) fn act(
        &mut self,
        index: usize,
        ground: &mut Ground,
        act: impl FnOnce(&mut dyn Operator) -> Result<()>,
    ) -> Result<()> {
        let Some(mill) = self.mills.get_mut(index) else { return Ok(()) };
        let started = Instant::now();
        self.busy.begin(&mill.name);
        let place = format!("views.{}", mill.name);
        let done = guarded(&format_args!("{place}"), || {
            act(mill.operator.as_mut()).map_err(|e| e.at(place.clone()))
        });
        if !self.busy.end() {
            return Err(self.busy.left_behind());
        }
        done?;
        ground.took.push((mill.name.to_string(), started.elapsed()));
        Ok(())
    }

    /// Books what a view gave and passes it on.
    pub(crate) fn pass_on(
        &mut self,
        index: usize,
        out: &Output,
        arrival: Timestamp,
        ground: &mut Ground,
    ) -> Result<()> {
        let Some(mill) = self.mills.get_mut(index) else { return Ok(()) };
        assert!(
            out.account.balances(),
            "view `{}` lost count of its rows: {:?}",
            mill.name,
            out.account
        );
        ground.ledger.account(Stage::View, &mill.name).add(&out.account);
        set_aside(&mill.name, &out.refused, arrival, ground)?;
        let onward = mill.ways.clone();
        if onward.late.is_empty() {
            set_late_aside(&mill.name, &out.late, arrival, ground)?;
        }
        for rows in out.late.iter().rev() {
            self.bring(&onward.late, rows, arrival);
        }
        for rows in out.rows.iter().rev() {
            self.bring(&onward.rows, rows, arrival);
        }
        Ok(())
    }
}

/// The bytes of rows, whatever the buffers were made with room for: what is set aside depends on it.
fn bytes(rows: &Rows) -> usize {
    let columns = rows.batch.columns().iter();
    columns.map(|c| c.to_data().get_slice_memory_size().unwrap_or(0)).sum()
}

/// Runs code of a part; a panic becomes an error that names it.
pub(crate) fn guarded<T>(part: &Arguments<'_>, act: impl FnOnce() -> Result<T>) -> Result<T> {
    // After a panic the run ends: nothing half changed is looked at again.
    catch_unwind(AssertUnwindSafe(act))
        .unwrap_or_else(|panic| Err(panicked(&part.to_string(), panic.as_ref())))
}

fn set_aside(
    view: &str,
    refused: &[(Rows, String)],
    arrival: Timestamp,
    ground: &mut Ground,
) -> Result<()> {
    for (rows, reason) in refused {
        for row in 0..rows.len() {
            ground.letters.push(DeadLetter::of_arrow(
                Stage::View,
                view,
                rows.origin.id(row),
                reason.clone(),
                &rows.batch.slice(row, 1),
                arrival,
            )?);
        }
    }
    Ok(())
}

/// A moment for people.
pub(crate) fn moment(at: Timestamp) -> String {
    let moment = arrow_array::temporal_conversions::timestamp_us_to_datetime(at.0);
    moment.map_or_else(|| at.0.to_string(), |moment| format!("{moment:?}Z"))
}

/// Rows that came late are kept too; they count as late.
fn set_late_aside(
    view: &str,
    late: &[Rows],
    arrival: Timestamp,
    ground: &mut Ground,
) -> Result<()> {
    for rows in late {
        for row in 0..rows.len() {
            let upto = rows.origin.watermark(row).unwrap_or(Timestamp::BEGIN);
            ground.letters.push(DeadLetter::of_arrow(
                Stage::View,
                view,
                rows.origin.id(row),
                format!(
                    "late: what it belongs to was complete, as event time had come to {}",
                    moment(upto)
                ),
                &rows.batch.slice(row, 1),
                arrival,
            )?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int64Type;
    use arrow_array::{ArrayRef, BinaryArray, Int64Array, RecordBatch};
    use arrow_schema::SchemaRef;
    use millstream_core::codec::Origin;
    use millstream_core::record::Offset;

    use super::*;

    /// Gives one row a call, beside it a value of so many bytes, and the others back.
    struct One(usize);

    impl Operator for One {
        fn schema(&self) -> SchemaRef {
            rows(&[], 0).batch.schema()
        }

        fn process(&mut self, _: usize, input: Rows, _: Timestamp, out: &mut Output) -> Result<()> {
            let number = input.batch.column(0).as_primitive::<Int64Type>().value(0);
            out.rows.push(rows(&[number], self.0));
            out.account.r#in += 1;
            out.account.out += 1;
            if input.len() > 1 {
                let (from, len) = (1, input.len() - 1);
                let origin = input.origin.slice(from, len);
                out.left = Some(Rows { batch: input.batch.slice(from, len), origin });
            }
            Ok(())
        }
    }

    fn rows(numbers: &[i64], bytes: usize) -> Rows {
        let beside = vec![0; bytes];
        let columns: [(&str, ArrayRef); 2] = [
            ("n", Arc::new(Int64Array::from(numbers.to_vec()))),
            ("b", Arc::new(BinaryArray::from_vec(vec![&beside; numbers.len()]))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        Rows { batch, origin: Origin::new(Offset(0), [0].into(), None) }
    }

    /// Views on each other, the last before a sink, that make values of so many bytes.
    fn mills(high: usize, bytes: usize) -> Mills {
        let views = (0..high).map(|i| {
            let way = if i + 1 < high { Way::View { index: i + 1, port: 0 } } else { Way::Sink(0) };
            let operator = Box::new(One(bytes));
            let ways = Ways { rows: vec![way], late: vec![] };
            (PlannedView::stateless(format!("v{i}"), vec![], operator), ways)
        });
        Mills::new(views, [], Arc::default())
    }

    fn numbers(ground: &Ground) -> Vec<i64> {
        let columns = ground.rows.iter().map(|(_, r)| r.batch.column(0));
        columns.flat_map(|c| c.as_primitive::<Int64Type>().values().to_vec()).collect()
    }

    #[test]
    fn what_a_view_leaves_comes_after_the_rows_it_made() {
        let (mut mills, mut ground) = (mills(3, 0), Ground::default());
        mills.begin(&[Way::View { index: 0, port: 0 }], &rows(&[5, 6, 7], 0), Timestamp(0));
        assert_eq!(mills.grind(&mut ground).unwrap(), Progress::Done);
        assert_eq!(numbers(&ground), [5, 6, 7]);
        let account = ground.ledger.account(Stage::View, "v2");
        assert_eq!((account.r#in, account.out), (3, 3));
    }

    #[test]
    fn views_stand_on_each_other_however_high() {
        let (mut mills, mut ground) = (mills(20_000, 0), Ground::default());
        mills.begin(&[Way::View { index: 0, port: 0 }], &rows(&[5], 0), Timestamp(0));
        assert_eq!(mills.grind(&mut ground).unwrap(), Progress::Done);
        assert_eq!(numbers(&ground), [5]);
    }

    #[test]
    fn many_bytes_are_sent_on_before_more_are_made_and_too_many_are_not_made_at_all() {
        let (mut mills, mut ground) = (mills(1, 65 << 20), Ground::default());
        let numbers: Vec<i64> = (0..12).collect();
        mills.begin(&[Way::View { index: 0, port: 0 }], &rows(&numbers, 0), Timestamp(0));
        let mut sent = 0;
        while mills.grind(&mut ground).unwrap() == Progress::Full {
            assert_eq!(ground.rows.drain(..).count(), 1);
            sent += 1;
        }
        assert_eq!((sent, ground.rows.len(), ground.letters.len()), (8, 0, 4));
        let account = ground.ledger.account(Stage::View, "v0");
        assert_eq!((account.r#in, account.out, account.set_aside), (12, 8, 4));
        assert!(ground.letters.iter().all(|l| l.reason.contains("more than 536870912 bytes")));
    }
}
