//! Where to go on after a stop or a crash: what the queue committed held against what the sinks hold.
//!
//! The rule (DESIGN.md §4.4-5): a sink needs every epoch in which it was sent rows and which it does
//! not hold. Processing restarts from the newest checkpoint that lies before all of those, repeats the
//! recorded epochs within their recorded bounds, and sends no sink what it already holds.

use std::collections::BTreeMap;

use millstream_core::queue::{Checkpoint, Epoch, LogId, Mark, Queue};
use millstream_core::record::Offset;
use millstream_core::sink::Held;
use millstream_core::{Error, Result};

/// What is known of one sink when a run starts.
#[derive(Clone, Debug)]
pub struct SinkStand {
    /// Its name.
    pub name: String,
    /// What it says; `None` when it cannot be reached yet.
    pub held: Option<Held>,
    /// The last epoch that waits in its outbox, committed.
    pub outbox: Option<Epoch>,
    /// An operator said to go on from where the queue stands, whatever the sink holds.
    pub resume: bool,
}

/// Where to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restart {
    /// Index into the checkpoints of the one to start from.
    pub from: usize,
    /// Per sink: it is sent rows of epochs after this one only.
    pub after: BTreeMap<String, Epoch>,
}

/// The checkpoints to decide by: those kept, and that of the empty queue while it still counts.
#[must_use]
pub fn with_origin(mut kept: Vec<Checkpoint>) -> Vec<Checkpoint> {
    if kept.first().is_none_or(|c| c.epoch <= Epoch(1)) {
        kept.insert(0, Checkpoint::default());
    }
    kept
}

/// Decides where to go on. The checkpoints are those of [`with_origin`], oldest first.
///
/// # Errors
/// `Stop` when a sink belongs to another queue, is ahead of this one, or lacks what the queue no
/// longer has; the text spells out the choices.
pub fn restart(
    identity: (LogId, u32),
    durable: bool,
    checkpoints: &[Checkpoint],
    sinks: &[SinkStand],
) -> Result<Restart> {
    let Some(latest) = checkpoints.last() else {
        return Err(Error::stop("a restart needs at least the checkpoint of an empty queue"));
    };
    let mut after = BTreeMap::new();
    for sink in sinks {
        after.insert(sink.name.clone(), needs_after(identity, durable, latest, sink)?);
    }
    let mut from = checkpoints.len() - 1;
    for sink in sinks {
        let need = after.get(&sink.name).copied().unwrap_or_default();
        let start = start_for(checkpoints, &sink.name, need)
            .ok_or_else(|| lacks(checkpoints, sink, need))?;
        from = from.min(start);
    }
    Ok(Restart { from, after })
}

/// The newest checkpoint up to which the sink was sent nothing beyond `need`.
fn start_for(checkpoints: &[Checkpoint], sink: &str, need: Epoch) -> Option<usize> {
    checkpoints.iter().rposition(|c| c.sent.get(sink).map_or(Epoch(0), |s| s.epoch) <= need)
}

/// The epoch after which this sink needs rows.
fn needs_after(
    identity: (LogId, u32),
    durable: bool,
    latest: &Checkpoint,
    sink: &SinkStand,
) -> Result<Epoch> {
    let outbox = sink.outbox.unwrap_or(Epoch(0));
    if sink.resume || !durable {
        return Ok(latest.epoch);
    }
    let held = match sink.held {
        // The last epoch may or may not have reached it; those before it did, or wait in the outbox.
        None | Some(Held::Untracked) => latest.flushed,
        Some(Held::Fresh) => {
            // A sink new to this queue begins here; one that was sent rows before has lost them.
            if latest.sent.contains_key(&sink.name) { Epoch(0) } else { latest.epoch }
        }
        Some(Held::Upto(mark)) => {
            if mark.log != identity.0 || mark.incarnation > identity.1 || mark.epoch > latest.epoch
            {
                return Err(foreign_or_ahead(identity, &sink.name, &mark, latest.epoch));
            }
            mark.epoch
        }
    };
    Ok(held.max(outbox))
}

/// Whether a mark can be trusted, as far as the queue knows its own past.
///
/// # Errors
/// `Stop` when the sink holds rows of another queue, or of frames that this one lost.
pub(crate) async fn belongs(
    queue: &dyn Queue,
    sink: &str,
    mark: &Mark,
    latest: Epoch,
) -> Result<()> {
    let identity = queue.identity();
    if !queue.durable() {
        return Ok(());
    }
    if mark.log != identity.0 || mark.incarnation > identity.1 {
        return Err(foreign_or_ahead(identity, sink, mark, latest));
    }
    match queue.lost_from(mark.incarnation).await? {
        Some(lost) if mark.next > lost => Err(holds_lost(sink, mark, lost)),
        _ => Ok(()),
    }
}

fn holds_lost(sink: &str, mark: &Mark, lost: Offset) -> Error {
    Error::stop(format!(
        "sink `{sink}` holds rows up to offset {} (epoch {}), and the queue lost what it had from offset {lost} on: \
         what it has there now is something else",
        mark.next, mark.epoch
    ))
    .fix(format!(
        "run once with `--resume {sink}` to keep the sink's rows and go on from where the queue stands \
         (rows that sources bring again may then be there twice), or point the sink to a fresh place"
    ))
}

fn foreign_or_ahead(identity: (LogId, u32), sink: &str, mark: &Mark, latest: Epoch) -> Error {
    let choices = format!(
        "either put back the queue that belongs to it (or the sink's own backup that belongs to this queue), \
         or point the sink or `queue` to a fresh place, \
         or run once with `--resume {sink}` to keep the sink's rows and go on from where this queue stands \
         (rows between the two may then be missing or repeated)"
    );
    if mark.log == identity.0 {
        Error::stop(format!(
            "sink `{sink}` is ahead of the queue: it holds epoch {} (next offset {}), the queue ends at epoch {latest}: \
             the queue lost its tail or was restored from an older backup",
            mark.epoch, mark.next
        ))
        .fix(choices)
    } else {
        Error::stop(format!(
            "sink `{sink}` holds rows of another queue: it holds epoch {} of queue {}, this queue is {}",
            mark.epoch, mark.log, identity.0
        ))
        .fix(choices)
    }
}

fn lacks(checkpoints: &[Checkpoint], sink: &SinkStand, need: Epoch) -> Error {
    let name = &sink.name;
    let first = checkpoints.first().map_or(Epoch(0), |c| c.epoch);
    let holds = if sink.held == Some(Held::Fresh) {
        "holds nothing".to_owned()
    } else {
        format!("holds epoch {need}")
    };
    Error::stop(format!(
        "sink `{name}` {holds}, but was already sent later rows, and the queue only goes back to epoch {first}: \
         the sink was deleted or restored from an older backup"
    ))
    .fix(format!(
        "either put back what the sink held, \
         or run once with `--resume {name}` to go on from where the queue stands (the rows in between are not delivered again)"
    ))
}

#[cfg(test)]
mod tests {
    use millstream_core::queue::Sent;

    use super::*;

    const ID: (LogId, u32) = (LogId(7), 0);

    fn checkpoint(epoch: u64, sent: &[(&str, u64)]) -> Checkpoint {
        Checkpoint {
            epoch: Epoch(epoch),
            next: Offset(epoch * 10),
            flushed: Epoch(epoch.saturating_sub(1)),
            sent: sent
                .iter()
                .map(|(n, e)| ((*n).to_owned(), Sent { epoch: Epoch(*e), ..Sent::default() }))
                .collect(),
            ..Checkpoint::default()
        }
    }

    fn stand(name: &str, held: Option<Held>) -> SinkStand {
        SinkStand { name: name.into(), held, outbox: None, resume: false }
    }

    fn upto(epoch: u64) -> Option<Held> {
        Some(Held::Upto(Mark { log: ID.0, incarnation: 0, epoch: Epoch(epoch), next: Offset(0) }))
    }

    #[test]
    fn restart_is_from_the_oldest_epoch_that_a_sink_still_needs() {
        let all = [
            checkpoint(4, &[("a", 4), ("b", 2)]),
            checkpoint(5, &[("a", 5), ("b", 2)]),
            checkpoint(6, &[("a", 5), ("b", 6)]),
        ];
        let r = restart(ID, true, &all, &[stand("a", upto(5)), stand("b", upto(6))]).unwrap();
        assert_eq!(r.from, 2);
        let r = restart(ID, true, &all, &[stand("a", upto(5)), stand("b", upto(2))]).unwrap();
        assert_eq!(r.from, 1, "b lacks epoch 6 only: nothing was sent to it in 3 to 5");
        assert_eq!(r.after["b"], Epoch(2));
        let r = restart(ID, true, &all, &[stand("a", upto(4)), stand("b", upto(6))]).unwrap();
        assert_eq!(r.from, 0);
    }

    #[test]
    fn an_untracked_sink_gets_the_last_epoch_again() {
        let all = [checkpoint(4, &[("a", 4)]), checkpoint(5, &[("a", 5)])];
        let r = restart(ID, true, &all, &[stand("a", Some(Held::Untracked))]).unwrap();
        assert_eq!((r.from, r.after["a"]), (0, Epoch(4)));
        let clean = [checkpoint(5, &[("a", 5)]), checkpoint(6, &[("a", 5)])];
        let r = restart(ID, true, &clean, &[stand("a", Some(Held::Untracked))]).unwrap();
        assert_eq!(r.from, 1, "after a stop in good order nothing is repeated");
    }

    #[test]
    fn a_sink_of_another_queue_or_ahead_of_it_stops_with_choices() {
        let all = [checkpoint(4, &[("a", 4)])];
        let other = Some(Held::Upto(Mark {
            log: LogId(8),
            incarnation: 0,
            epoch: Epoch(4),
            next: Offset(0),
        }));
        for held in [other, upto(9)] {
            let e = restart(ID, true, &all, &[stand("a", held)]).unwrap_err().to_string();
            assert!(e.contains("--resume a"), "{e}");
            let resumed = SinkStand { resume: true, ..stand("a", held) };
            assert_eq!(restart(ID, true, &all, &[resumed]).unwrap().from, 0);
        }
        let empty = with_origin(Vec::new());
        restart(ID, true, &empty, &[stand("a", other)]).unwrap_err();
        restart(ID, false, &empty, &[stand("a", other)]).unwrap();
    }

    #[test]
    fn a_sink_that_lost_rows_the_queue_no_longer_has_stops() {
        let all = [checkpoint(4, &[("a", 4)]), checkpoint(5, &[("a", 5)])];
        let e = restart(ID, true, &all, &[stand("a", Some(Held::Fresh))]).unwrap_err().to_string();
        assert!(e.contains("holds nothing"), "{e}");
        let e = restart(ID, true, &all, &[stand("a", upto(2))]).unwrap_err().to_string();
        assert!(e.contains("older backup"), "{e}");
        let new = restart(ID, true, &all, &[stand("new", Some(Held::Fresh))]).unwrap();
        assert_eq!(new.from, 1);
    }

    #[test]
    fn the_first_epoch_can_be_repeated_from_the_empty_queue() {
        let all = with_origin(vec![checkpoint(1, &[("a", 1)])]);
        let r = restart(ID, true, &all, &[stand("a", Some(Held::Fresh))]).unwrap();
        assert_eq!((r.from, r.after["a"]), (0, Epoch(0)));
    }

    #[test]
    fn what_waits_in_the_outbox_is_not_needed_again() {
        let all = [checkpoint(4, &[("a", 4)]), checkpoint(5, &[("a", 5)])];
        let down = SinkStand { outbox: Some(Epoch(5)), ..stand("a", None) };
        assert_eq!(restart(ID, true, &all, &[down]).unwrap().from, 1);
    }
}
