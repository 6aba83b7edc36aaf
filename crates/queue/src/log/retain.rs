//! What may go: never what is still needed, and of the rest what the options do not keep.

use std::collections::VecDeque;
use std::sync::Arc;

use millstream_core::Timestamp;
use millstream_core::queue::Checkpoint;

use super::Retain;
use super::segment::Segment;
use super::state::State;

/// Holds a trim back from what the kept checkpoints need, and from going backwards.
pub(crate) fn clamp(state: &State, asked: (u64, u64)) -> (u64, u64) {
    let (was_before, was_epoch) = state.trimmed;
    let last = state.checkpoints.back().map_or(0, |c| c.epoch.0);
    let epoch = asked.1.min(last).max(was_epoch);
    let oldest = state.checkpoints.iter().find(|c| c.epoch.0 >= epoch);
    let before = asked.0.min(oldest.map_or(0, |c| c.next.0)).max(was_before);
    (before, epoch)
}

/// Drops the checkpoints that are not needed any more and returns them.
pub(crate) fn drop_checkpoints(
    checkpoints: &mut VecDeque<Checkpoint>,
    trimmed: (u64, u64),
) -> Vec<Checkpoint> {
    let mut gone = Vec::new();
    while checkpoints.len() > 1 && checkpoints.front().is_some_and(|c| c.epoch.0 < trimmed.1) {
        gone.extend(checkpoints.pop_front());
    }
    gone
}

/// Takes out the segments that can go: sealed, not needed, and not kept by age and bytes either
/// (which does not count when the room is needed).
pub(crate) fn spent(
    state: &mut State,
    retain: &Retain,
    bytes: u64,
    now: Timestamp,
    for_room: bool,
) -> Vec<Arc<Segment>> {
    let mut spent = Vec::new();
    let mut bytes = bytes;
    while let (Some(oldest), Some(next)) = (state.segments.front(), state.segments.get(1)) {
        let needed = next.first_offset > state.trimmed.0;
        let young = now.since(next.at) < retain.age.0;
        let few = retain.bytes.is_none_or(|max| bytes <= max.0);
        if needed || (young && few && !for_room) {
            break;
        }
        bytes = bytes.saturating_sub(oldest.bytes());
        spent.extend(state.segments.pop_front());
    }
    spent
}
