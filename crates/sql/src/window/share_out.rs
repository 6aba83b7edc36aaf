//! Groups go to other parts when another number of threads shares the keys than did before.

use std::collections::BTreeMap;

use datafusion_common::Result;

use super::aggregator::Aggregator;
use super::bytes::short;
use super::groups::{Groups, Shape};
use super::keys::unfit;
use super::panes::Panes;
use super::part::{Part, State, part_of};
use super::sessions::Sessions;

impl Aggregator {
    /// Takes the groups of these parts into its own, which have none. They count as changed.
    pub(super) fn share_out(&mut self, before: Vec<Part>) -> Result<()> {
        let done = before.iter().filter_map(|part| match &part.state {
            State::Panes(panes) => Some(panes.done),
            State::Sessions(_) => None,
        });
        let done = done.max();
        let mut sessions: Vec<Vec<Vec<u8>>> = self.parts.iter().map(|_| vec![]).collect();
        for part in before {
            match part.state {
                State::Panes(mut panes) => {
                    // A row before which windows had to be closed for one part closes them for all: whatever comes
                    // after it is late for them.
                    if let Some(done) = done.filter(|done| panes.done < *done) {
                        panes.seal(done)?;
                    }
                    self.take_panes(&panes)?;
                }
                State::Sessions(before) => self.sort_sessions(&before, &mut sessions)?,
            }
        }
        for (part, entries) in self.parts.iter_mut().zip(&sessions) {
            match &mut part.state {
                State::Panes(panes) => {
                    panes.done = done.unwrap_or(i64::MIN);
                    panes.sums_max = panes.panes.values().map(|g| g.sums_max).sum();
                    panes.weigh();
                }
                State::Sessions(sessions) => {
                    sessions.load(entries.iter().map(Vec::as_slice)).ok_or_else(unfit)?;
                }
            }
        }
        Ok(())
    }

    fn take_panes(&mut self, before: &Panes) -> Result<()> {
        let count = self.parts.len();
        for (number, part) in self.parts.iter_mut().enumerate() {
            let State::Panes(panes) = &mut part.state else { return Err(unfit()) };
            for (pane, groups) in &before.panes {
                take(&mut panes.panes, *pane, groups, (number, count), panes.shape.as_ref())?;
            }
            for (end, groups) in &before.ready {
                take(&mut panes.ready, *end, groups, (number, count), panes.shape.as_ref())?;
                panes.ready_new.insert(*end);
            }
            for (end, keys) in &before.redo {
                for bytes in keys {
                    let key = self.shape.keys.parse(bytes).ok_or_else(unfit)?;
                    if part_of(key, count) == number {
                        panes.redo.entry(*end).or_default().insert(bytes.clone());
                    }
                }
            }
        }
        Ok(())
    }

    /// Adds what is kept of each session to those of its part.
    fn sort_sessions(&self, before: &Sessions, to: &mut [Vec<Vec<u8>>]) -> Result<()> {
        let count = self.parts.len();
        for (key, number) in before.live() {
            let mut entry = vec![];
            before.save(number, &mut entry);
            let key = self.shape.keys.parse(key).ok_or_else(unfit)?;
            to.get_mut(part_of(key, count)).ok_or_else(unfit)?.push(entry);
        }
        Ok(())
    }
}

/// Takes the groups of a pane that belong to a part.
fn take(
    to: &mut BTreeMap<i64, Groups>,
    at: i64,
    from: &Groups,
    (part, parts): (usize, usize),
    shape: &Shape,
) -> Result<()> {
    let all = 0..short(from.len());
    let own: Vec<_> = all.filter(|group| part_of(from.key(*group), parts) == part).collect();
    if own.is_empty() {
        return Ok(());
    }
    let groups = to.entry(at).or_insert_with(|| Groups::new(shape));
    groups.take_over(from, &own)?;
    groups.sums_max = groups.sums();
    Ok(())
}
