//! Sinks over a target in memory that outlives them.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use millstream_core::codec::{RowId, Rows};
use millstream_core::queue::Mark;
use millstream_core::sink::{Held, Promise, Refused, Sink};
use millstream_core::{Error, Result};
use parking_lot::Mutex;

use super::World;

#[derive(Debug, Default)]
struct Kept {
    rows: Vec<(RowId, i64)>,
    held: Option<Mark>,
    /// So many acts fail before it works again.
    down: u64,
    /// Values that this divides are refused.
    refuses: Option<i64>,
}

/// What a sink writes to: rows that survive, and the mark beside them.
#[derive(Clone, Debug, Default)]
pub struct Target(Arc<Mutex<Kept>>);

impl Target {
    /// A target that refuses values divided by `refuses`.
    #[must_use]
    pub fn refusing(refuses: Option<i64>) -> Self {
        let target = Self::default();
        target.0.lock().refuses = refuses;
        target
    }

    /// The rows it holds, in order.
    #[must_use]
    pub fn rows(&self) -> Vec<(RowId, i64)> {
        self.0.lock().rows.clone()
    }

    /// The values it holds, in order.
    #[must_use]
    pub fn values(&self) -> Vec<i64> {
        self.0.lock().rows.iter().map(|(_, v)| *v).collect()
    }

    /// The mark it holds.
    #[must_use]
    pub fn held(&self) -> Option<Mark> {
        self.0.lock().held
    }

    /// Puts another mark there, as a restored backup would.
    pub fn set_held(&self, held: Option<Mark>) {
        self.0.lock().held = held;
    }

    /// From now on so many acts fail; 0: it works.
    pub fn set_down(&self, acts: u64) {
        self.0.lock().down = acts;
    }

    /// Whether it refuses this value.
    #[must_use]
    pub fn refuses(&self, value: i64) -> bool {
        self.0.lock().refuses.is_some_and(|k| value % k == 0)
    }

    /// An act of a sink on this target begins.
    async fn begin(&self, world: &World, name: &str) -> Result<()> {
        world.begin(name).await?;
        let mut kept = self.0.lock();
        if kept.down == 0 && world.chance(world.odds().sink) {
            kept.down = 1 + world.below(12);
        }
        if kept.down > 0 {
            kept.down -= 1;
            let error = format!("`{name}`: the target is down");
            return Err(if world.chance(500) { Error::retry(error) } else { Error::reopen(error) });
        }
        Ok(())
    }

    async fn end(&self, world: &World, name: &str) -> Result<()> {
        world.end(name).await?;
        if world.chance(world.odds().after) {
            return Err(Error::reopen(format!("`{name}`: the answer was lost")));
        }
        Ok(())
    }
}

fn read(rows: &Rows) -> Vec<(RowId, i64)> {
    let values = rows.batch.column(0).as_primitive::<Int64Type>();
    values.values().iter().enumerate().map(|(i, v)| (rows.origin.id(i), *v)).collect()
}

/// Rows of a batch that the target refuses, and the others.
fn part(target: &Target, rows: &Rows) -> (Vec<Refused>, Vec<(RowId, i64)>) {
    let (mut refused, mut good) = (Vec::new(), Vec::new());
    for (i, (id, value)) in read(rows).into_iter().enumerate() {
        if target.refuses(value) {
            let reason = format!("the target does not like {value}");
            refused.push(Refused { id, reason, row: rows.batch.slice(i, 1) });
        } else {
            good.push((id, value));
        }
    }
    (refused, good)
}

/// Keeps its mark with its rows.
pub struct TrackingSink {
    name: String,
    target: Target,
    world: World,
    staged: Vec<(RowId, i64)>,
    refused: Vec<Refused>,
    prepared: Option<Mark>,
    forgetful: bool,
}

/// Keeps rows only: each is there as soon as it is written.
pub struct UntrackedSink {
    name: String,
    target: Target,
    world: World,
    refused: Vec<Refused>,
}

impl std::fmt::Debug for TrackingSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TrackingSink({})", self.name)
    }
}

impl std::fmt::Debug for UntrackedSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "UntrackedSink({})", self.name)
    }
}

impl TrackingSink {
    /// A sink of this name over a target.
    #[must_use]
    pub fn new(name: &str, target: &Target, world: &World) -> Self {
        Self {
            name: format!("sink.{name}"),
            target: target.clone(),
            world: world.clone(),
            staged: Vec::new(),
            refused: Vec::new(),
            prepared: None,
            forgetful: false,
        }
    }

    /// The same, saying that it holds nothing whatever it holds: a test of tests.
    #[must_use]
    pub fn forgetful(mut self, forgetful: bool) -> Self {
        self.forgetful = forgetful;
        self
    }

    fn act(&self, act: &str) -> String {
        format!("{}.{act}", self.name)
    }
}

impl UntrackedSink {
    /// A sink of this name over a target.
    #[must_use]
    pub fn new(name: &str, target: &Target, world: &World) -> Self {
        let name = format!("sink.{name}");
        Self { name, target: target.clone(), world: world.clone(), refused: Vec::new() }
    }

    fn act(&self, act: &str) -> String {
        format!("{}.{act}", self.name)
    }
}

#[async_trait]
impl Sink for TrackingSink {
    async fn open(&mut self, _: SchemaRef) -> Result<Held> {
        (self.staged, self.refused, self.prepared) = (Vec::new(), Vec::new(), None);
        self.target.begin(&self.world, &self.act("open")).await?;
        let held = self.target.held().filter(|_| !self.forgetful);
        Ok(held.map_or(Held::Fresh, Held::Upto))
    }

    async fn write(&mut self, rows: &Rows) -> Result<()> {
        let act = self.act("write");
        self.target.begin(&self.world, &act).await?;
        let (refused, good) = part(&self.target, rows);
        self.refused.extend(refused);
        self.staged.extend(good);
        self.target.end(&self.world, &act).await
    }

    async fn prepare(&mut self, mark: &Mark) -> Result<Vec<Refused>> {
        let act = self.act("prepare");
        self.target.begin(&self.world, &act).await?;
        self.prepared = Some(*mark);
        self.target.end(&self.world, &act).await?;
        Ok(std::mem::take(&mut self.refused))
    }

    async fn flush(&mut self, mark: &Mark) -> Result<()> {
        let act = self.act("flush");
        self.target.begin(&self.world, &act).await?;
        assert_eq!(self.prepared, Some(*mark), "`{}` flushes what it prepared", self.name);
        {
            let mut kept = self.target.0.lock();
            let held = kept.held.map(|m| m.epoch);
            assert!(held < Some(mark.epoch), "`{}` holds {held:?} and gets {mark:?}", self.name);
            kept.rows.append(&mut self.staged);
            kept.held = Some(*mark);
        }
        self.target.end(&self.world, &act).await
    }

    async fn forget(&mut self) -> Result<()> {
        self.target.begin(&self.world, &self.act("forget")).await?;
        self.target.set_held(None);
        Ok(())
    }

    fn promise(&self) -> Promise {
        Promise::EffectivelyOnce
    }

    fn describe(&self) -> String {
        format!("keeps rows and mark for `{}`", self.name)
    }
}

#[async_trait]
impl Sink for UntrackedSink {
    async fn open(&mut self, _: SchemaRef) -> Result<Held> {
        self.refused.clear();
        self.target.begin(&self.world, &self.act("open")).await?;
        Ok(Held::Untracked)
    }

    async fn write(&mut self, rows: &Rows) -> Result<()> {
        let act = self.act("write");
        self.target.begin(&self.world, &act).await?;
        let (refused, good) = part(&self.target, rows);
        self.refused.extend(refused);
        self.target.0.lock().rows.extend(good);
        self.target.end(&self.world, &act).await
    }

    async fn prepare(&mut self, _: &Mark) -> Result<Vec<Refused>> {
        let act = self.act("prepare");
        self.target.begin(&self.world, &act).await?;
        self.target.end(&self.world, &act).await?;
        Ok(std::mem::take(&mut self.refused))
    }

    async fn flush(&mut self, _: &Mark) -> Result<()> {
        let act = self.act("flush");
        self.target.begin(&self.world, &act).await?;
        self.target.end(&self.world, &act).await
    }

    async fn forget(&mut self) -> Result<()> {
        Ok(())
    }

    fn promise(&self) -> Promise {
        Promise::AtLeastOnce
    }

    fn describe(&self) -> String {
        format!("keeps rows for `{}`", self.name)
    }
}
