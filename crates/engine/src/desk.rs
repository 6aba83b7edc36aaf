//! What one does with dead letters: list, drop, replay; by a running pipeline or on a queue at rest.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use millstream_core::clock::Clock;
use millstream_core::queue::{Queue, SideStream};
use millstream_core::{Error, Result};

use crate::dead_letters::{self, DeadLetter, Entry, Payload};

/// Which letters.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pick {
    /// These numbers only; empty: all.
    pub numbers: BTreeSet<u64>,
    /// Those of this source, view or sink only.
    pub part: Option<String>,
    /// At most so many.
    pub limit: Option<usize>,
}

/// What became of the letters picked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Dropped or replayed.
    pub done: usize,
    /// Left as they were.
    pub left: usize,
    /// Why those were left.
    pub why: Option<String>,
}

impl Outcome {
    pub(crate) fn of(letters: &[(u64, DeadLetter)]) -> Self {
        Self { done: letters.len(), left: 0, why: None }
    }
}

/// The dead letters of one queue.
pub(crate) struct Desk<'a> {
    dead: &'a dyn SideStream,
    queue: &'a dyn Queue,
    clock: &'a dyn Clock,
}

impl<'a> Desk<'a> {
    pub(crate) fn new(
        dead: &'a dyn SideStream,
        queue: &'a dyn Queue,
        clock: &'a dyn Clock,
    ) -> Self {
        Self { dead, queue, clock }
    }

    pub(crate) async fn list(&self, pick: &Pick) -> Result<Vec<(u64, DeadLetter)>> {
        let mut letters = Vec::new();
        dead_letters::each(self.dead, |number, letter| {
            let wanted = (pick.numbers.is_empty() || pick.numbers.contains(&number))
                && pick.part.as_ref().is_none_or(|p| *p == letter.part)
                && pick.limit.is_none_or(|l| letters.len() < l);
            if wanted {
                letters.push((number, letter));
            }
            Ok(())
        })
        .await?;
        Ok(letters)
    }

    /// Appends records and rows to the queue again; gives back the numbers that are thereby done with.
    pub(crate) async fn replay(&self, pick: &Pick) -> Result<(Vec<u64>, Outcome)> {
        let (mut numbers, mut outcome) = (Vec::new(), Outcome::default());
        let mut frames = Vec::new();
        for (number, letter) in self.list(pick).await? {
            match letter.frame(self.clock.now())? {
                Some(frame) => {
                    frames.push(frame);
                    numbers.push(number);
                    outcome.done += 1;
                }
                None => {
                    outcome.left += 1;
                    outcome.why = Some(
                        "rows set aside by a view or a sink cannot be replayed yet: mend the view or target, \
                         take them with `millstream dead show --json`, then drop them"
                            .into(),
                    );
                }
            }
        }
        if !frames.is_empty() {
            self.queue.append(&frames).await?;
        }
        Ok((numbers, outcome))
    }
}

/// The first entry to be kept once `numbers` are gone.
pub(crate) async fn first_after(dead: &dyn SideStream, numbers: &[u64]) -> Result<u64> {
    let gone: BTreeSet<u64> = numbers.iter().copied().collect();
    // Letters may come while this reads: what was not there at its beginning is kept whatever it sees.
    let end = dead.extent().end;
    let mut first = None;
    dead_letters::each(dead, |number, _| {
        if !gone.contains(&number) {
            first.get_or_insert(number);
        }
        Ok(())
    })
    .await?;
    Ok(first.map_or(end, |first| first.min(end)))
}

/// The note that letters are gone.
pub(crate) fn gone(numbers: Vec<u64>) -> Entry {
    Entry::Gone(numbers)
}

/// Does on a queue at rest what a running pipeline would do when asked.
///
/// # Errors
/// `Stop` when the queue cannot be read or written.
pub async fn at_rest(
    queue: &dyn Queue,
    clock: &dyn Clock,
    request: crate::control::Request,
) -> Result<crate::control::Answer> {
    use crate::control::{Answer, Request};
    let dead = queue.side(dead_letters::STREAM)?;
    let desk = Desk::new(dead.as_ref(), queue, clock);
    let (numbers, outcome) = match request {
        Request::List(pick) => return Ok(Answer::Letters(desk.list(&pick).await?)),
        Request::Status => return Err(Error::stop("the pipeline does not run")),
        Request::Drop(pick) => {
            let letters = desk.list(&pick).await?;
            (letters.iter().map(|(n, _)| *n).collect::<Vec<_>>(), Outcome::of(&letters))
        }
        Request::Replay(pick) => desk.replay(&pick).await?,
    };
    if !numbers.is_empty() {
        let first = first_after(dead.as_ref(), &numbers).await?;
        dead.append(&[gone(numbers).encode()?]).await?;
        dead.sync().await?;
        dead.trim(first).await?;
        let mut checkpoint = queue.checkpoints().await?.pop().unwrap_or_default();
        checkpoint.epoch = checkpoint.epoch.next();
        checkpoint.sides.insert(dead_letters::STREAM.into(), dead.extent());
        checkpoint.at = clock.now();
        queue.commit(&checkpoint).await?;
    }
    Ok(Answer::Done(outcome))
}

/// A letter's payload in words: what kind, and how many bytes.
#[must_use]
pub fn describe(payload: &Payload) -> (&'static str, usize) {
    match payload {
        Payload::Record(b) => ("record", b.len()),
        Payload::Row(b) => ("row", b.len()),
        Payload::Arrow(b) => ("arrow", b.len()),
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use bytes::Bytes;
    use millstream_core::clock::Timestamp;
    use millstream_core::codec::RowId;
    use millstream_core::ledger::Stage;
    use millstream_core::queue::SideExtent;
    use millstream_core::record::Offset;
    use parking_lot::Mutex;

    use super::*;

    /// A stream to which somebody adds an entry each time it was read to its end.
    struct Busy(Mutex<Vec<Bytes>>);

    fn letter(row: u32) -> Bytes {
        let id = RowId { offset: Offset(1), record: 0, row };
        let letter = DeadLetter {
            stage: Stage::Decode,
            part: "a".into(),
            id,
            reason: "bad".into(),
            split: String::new(),
            arrival: Timestamp(0),
            payload: Payload::Row(Bytes::from_static(b"x")),
        };
        Entry::Letter(letter).encode().unwrap()
    }

    #[async_trait]
    impl SideStream for Busy {
        async fn append(&self, _: &[Bytes]) -> Result<u64> {
            Ok(0)
        }

        async fn read(&self, from: u64, _: usize) -> Result<Vec<(u64, Bytes)>> {
            let mut entries = self.0.lock();
            let found: Vec<_> =
                (0..).zip(entries.iter().cloned()).skip_while(|(n, _)| *n < from).collect();
            if found.is_empty() {
                let row = u32::try_from(entries.len()).unwrap();
                entries.push(letter(row));
            }
            Ok(found)
        }

        fn extent(&self) -> SideExtent {
            SideExtent { first: 0, end: self.0.lock().len() as u64 }
        }

        fn bytes(&self) -> u64 {
            0
        }

        async fn trim(&self, _: u64) -> Result<()> {
            Ok(())
        }

        async fn sync(&self) -> Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn letters_that_come_while_others_are_dropped_stay() {
        let stream = Busy(Mutex::new(vec![letter(0), letter(1)]));
        assert_eq!(first_after(&stream, &[0, 1]).await.unwrap(), 2);
        assert!(stream.extent().end > 2, "some did come");
    }
}
