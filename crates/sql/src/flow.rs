//! Rows through the steps of a chain, each row's result by itself.

use std::ops::Range;

use datafusion_common::{DataFusionError, exec_err};
use millstream_core::codec::Rows;
use millstream_core::operator::Output;

use crate::complain::reason;
use crate::quiet;
use crate::size::{BYTES_MAX, bytes};
use crate::step::{Became, Counts, Step};

/// Runs all steps over all rows. When a step fails, each half is tried alone, down to the rows
/// that fail by themselves: so the result for a row never depends on its neighbours. When there
/// is much of it already, what is left is given back; and so are rows whose answers of a lookup are
/// not at hand. `scan` makes the rows that the first step gets of those that came.
///
/// What went on is accounted for by `deliver`; everything else is here.
pub(crate) fn run<E>(
    steps: &[Step],
    input: &Rows,
    out: &mut Output,
    scan: impl Fn(&Rows) -> Result<Rows, DataFusionError>,
    mut deliver: impl FnMut(Vec<Rows>, &Rows, &mut Output) -> Result<(), E>,
) -> Result<(), E> {
    let mut bytes = 0;
    let mut ranges: Vec<Range<usize>> = std::iter::once(0..input.len()).collect();
    while let Some(range) = ranges.pop() {
        if bytes >= BYTES_MAX {
            out.left = Some(part(input, range.start..input.len()));
            return Ok(());
        }
        let rows = part(input, range.clone());
        match attempt(steps, &rows, &scan) {
            Ok(made) if made.counts.waits => {
                out.left = Some(part(input, range.start..input.len()));
                out.waits = true;
                return Ok(());
            }
            Ok(made) => {
                bytes += made.bytes;
                out.account.r#in += rows.len() as u64;
                out.account.filtered += made.counts.filtered;
                out.account.made += made.counts.made;
                deliver(made.rows, &rows, out)?;
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
    Ok(())
}

/// Runs all steps over all rows, or says why it cannot.
fn attempt(
    steps: &[Step],
    input: &Rows,
    scan: &impl Fn(&Rows) -> Result<Rows, DataFusionError>,
) -> Result<Made, String> {
    let mut made = Made::default();
    // A library function may panic on odd values; that is the row's misfortune, not the process's.
    let attempt = quiet::catch(|| flow(steps, scan(input)?, input.len(), &mut made));
    match attempt {
        Ok(Ok(())) => Ok(made),
        Ok(Err(e)) => Err(reason(&e)),
        Err(panic) => Err(format!("a function panicked: {panic}")),
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

pub(crate) fn part(rows: &Rows, range: Range<usize>) -> Rows {
    if range == (0..rows.len()) {
        return rows.clone();
    }
    let (from, len) = (range.start, range.len());
    Rows { batch: rows.batch.slice(from, len), origin: rows.origin.slice(from, len) }
}
