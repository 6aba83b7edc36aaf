//! The commands of a consumer group.

use std::time::Duration;

use millstream_core::{Error, Result};
use millstream_redis::Session;
use millstream_redis::redis::{Cmd, Pipeline, Value, cmd};

use super::entry::Fields;
use super::place::At;
use crate::redis::disk::Disk;
use crate::redis::source::{Place, RedisReadStream, StreamStart};
use crate::redis::{own_name, text};

/// How long one wait for an entry lasts before the next begins.
pub(super) const WAIT: Duration = Duration::from_secs(2);
/// Pending entries of others that are looked at in one go.
const LOOK: usize = 1_000;
/// Ids in one command.
const IDS: usize = 1_000;

/// An entry; its fields are gone if it was deleted while it was pending.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) fields: Option<Fields>,
}

/// A consumer group of a stream.
pub(super) struct Group {
    session: Session,
    /// For commands that wait, which would hold up others.
    waiter: Session,
    key: String,
    group: String,
    from: StreamStart,
}

impl Group {
    pub(super) fn new(place: &Place, options: &RedisReadStream) -> Self {
        Self {
            session: Session::new(place.server.clone()),
            waiter: Session::new(place.patient(WAIT)),
            key: options.key.clone(),
            group: options.group.clone().unwrap_or_else(|| own_name(&place.env)),
            from: options.from,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.group
    }

    /// Makes the group, and the stream, if they are not there.
    pub(super) async fn make(&self) -> Result<()> {
        let from = match self.from {
            StreamStart::Start => "0",
            StreamStart::End => "$",
        };
        let mut make = cmd("XGROUP");
        make.arg("CREATE").arg(&self.key).arg(&self.group).arg(from).arg("MKSTREAM");
        let (number, mut link) = self.session.link().await?;
        match make.query_async::<Value>(&mut link).await {
            Ok(_) => Ok(()),
            Err(e) if e.code() == Some("BUSYGROUP") => Ok(()),
            Err(e) => Err(self.session.failed("cannot make the consumer group", number, e).await),
        }
    }

    /// Warns of what the server would lose.
    pub(super) async fn look_at_disk(&self, disk: &mut Disk, place: &Place) -> Result<()> {
        place.look_at_disk(disk, &self.session, &self.key).await
    }

    /// Where to go on: acknowledges what is in the queue by now.
    pub(super) async fn resume(
        &self,
        known: Option<At>,
        consumer: Option<&str>,
        place: &Place,
    ) -> Result<At> {
        let start = |name: &str| At::start(name.to_owned());
        let Some(at) = known else {
            let new = || format!("{}-{:08x}", own_name(&place.env), fastrand::u32(..));
            return Ok(consumer.map_or_else(|| At::start(new()), start));
        };
        self.acknowledge_upto(&at.consumer, &at.last).await?;
        self.acknowledge_upto(&at.claimer(), &at.claimed).await?;
        // Under another name in the file, what is left under the old one is taken over like anybody's.
        Ok(consumer.filter(|name| **name != at.consumer).map_or(at, start))
    }

    async fn acknowledge_upto(&self, consumer: &str, last: &str) -> Result<()> {
        loop {
            let mut pending = cmd("XPENDING");
            pending.arg(&self.key).arg(&self.group).arg("-").arg(last).arg(LOOK).arg(consumer);
            let pending = self.ask(&self.session, "cannot list pending entries", &pending).await?;
            let ids: Vec<String> = pending_of(pending).into_iter().map(|(id, _)| id).collect();
            if ids.is_empty() {
                return Ok(());
            }
            self.acknowledge(&ids).await?;
        }
    }

    /// Takes entries off the pending list.
    pub(super) async fn acknowledge(&self, ids: &[String]) -> Result<()> {
        let mut all = Pipeline::new();
        for some in ids.chunks(IDS) {
            all.cmd("XACK").arg(&self.key).arg(&self.group).arg(some);
        }
        if all.is_empty() {
            return Ok(());
        }
        self.session.ask_all::<Value>("cannot acknowledge entries", &all).await.map(drop)
    }

    fn read(&self, consumer: &str, count: usize) -> Cmd {
        let mut read = cmd("XREADGROUP");
        read.arg("GROUP").arg(&self.group).arg(consumer).arg("COUNT").arg(count);
        read
    }

    /// Entries that were delivered to this member before, after `last`.
    pub(super) async fn pending(
        &self,
        consumer: &str,
        last: &str,
        count: usize,
    ) -> Result<Vec<Entry>> {
        let mut read = self.read(consumer, count);
        read.arg("STREAMS").arg(&self.key).arg(last);
        self.entries(&self.session, &read).await
    }

    /// Waits some time for entries that nobody was given yet.
    pub(super) async fn new_entries(
        &self,
        consumer: &str,
        count: usize,
        wait: Duration,
    ) -> Result<Vec<Entry>> {
        let mut read = self.read(consumer, count);
        read.arg("BLOCK").arg(wait.as_millis().to_string());
        read.arg("STREAMS").arg(&self.key).arg(">");
        self.entries(&self.waiter, &read).await
    }

    /// Entries of the one stream in an answer of `XREADGROUP`.
    async fn entries(&self, session: &Session, read: &Cmd) -> Result<Vec<Entry>> {
        let answer = self.ask(session, "cannot read the stream", read).await?;
        let Value::Array(streams) = answer else { return Ok(Vec::new()) };
        let Some(Value::Array(stream)) = streams.into_iter().next() else { return Ok(Vec::new()) };
        Ok(entries_of(stream.into_iter().nth(1).unwrap_or_default()))
    }

    async fn ask(&self, session: &Session, what: &str, command: &Cmd) -> Result<Value> {
        let (number, mut link) = session.link().await?;
        match command.query_async(&mut link).await {
            Ok(answer) => Ok(answer),
            // Somebody has deleted the stream, or the server has lost it: it is made anew.
            Err(e) if matches!(e.code(), Some("NOGROUP" | "UNBLOCKED")) => {
                Err(Error::reopen("the consumer group is gone").at(self.place()).because(e))
            }
            Err(e) => Err(session.failed(what, number, e).await),
        }
    }

    /// The next entries of this round of claims: those that are claimed already, or else some that other members have
    /// left for `after`.
    pub(super) async fn claim(&self, at: &At, after: Duration, count: usize) -> Result<Vec<Entry>> {
        let more = self.pending(&at.claimer(), &at.claimed, count).await?;
        if !more.is_empty() {
            return Ok(more);
        }
        if at.clone().end_round() {
            // The caller begins the next round, and asks again.
            return Ok(Vec::new());
        }
        let after = after.as_millis().to_string();
        let own = [at.consumer.clone(), format!("{}~0", at.consumer), format!("{}~1", at.consumer)];
        let mut from = "-".to_owned();
        loop {
            let mut look = cmd("XPENDING");
            look.arg(&self.key).arg(&self.group).arg("IDLE").arg(&after);
            look.arg(&from).arg("+").arg(LOOK);
            let left = self.ask(&self.session, "cannot list pending entries", &look).await?;
            let left = pending_of(left);
            let Some((last, _)) = left.last() else { return Ok(Vec::new()) };
            from = format!("({last}");
            let of_others = left.iter().filter(|(_, consumer)| !own.contains(consumer));
            let mut claim = cmd("XCLAIM");
            claim.arg(&self.key).arg(&self.group).arg(at.claimer()).arg(&after);
            let mut claims = 0;
            for (id, _) in of_others.take(count) {
                claim.arg(id);
                claims += 1;
            }
            if claims > 0 {
                let claimed =
                    self.ask(&self.session, "cannot take over pending entries", &claim).await?;
                let claimed = entries_of(claimed);
                if !claimed.is_empty() {
                    return Ok(claimed);
                }
            }
        }
    }

    fn place(&self) -> String {
        format!("{} of {}", self.key, self.session.server().place())
    }
}

/// Id and consumer of each entry in an answer of `XPENDING`.
fn pending_of(answer: Value) -> Vec<(String, String)> {
    let Value::Array(entries) = answer else { return Vec::new() };
    let entries = entries.into_iter().filter_map(|entry| {
        let Value::Array(entry) = entry else { return None };
        let mut entry = entry.into_iter();
        Some((text(entry.next()?)?, text(entry.next()?)?))
    });
    entries.collect()
}

fn entries_of(answer: Value) -> Vec<Entry> {
    let Value::Array(entries) = answer else { return Vec::new() };
    let entries = entries.into_iter().filter_map(|entry| {
        let Value::Array(entry) = entry else { return None };
        let mut entry = entry.into_iter();
        let id = text(entry.next()?)?;
        let fields = match entry.next() {
            Some(Value::Array(fields)) => Some(fields_of(fields)),
            _ => None,
        };
        Some(Entry { id, fields })
    });
    entries.collect()
}

fn fields_of(fields: Vec<Value>) -> Fields {
    let mut fields = fields.into_iter();
    let mut pairs = Vec::with_capacity(fields.len() / 2);
    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
        if let (Value::BulkString(name), Value::BulkString(value)) = (name, value) {
            pairs.push((name, value));
        }
    }
    pairs
}
