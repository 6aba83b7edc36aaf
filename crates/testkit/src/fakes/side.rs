//! A side stream on a [`Disk`].

use async_trait::async_trait;
use bytes::Bytes;
use millstream_core::Result;
use millstream_core::queue::{SideExtent, SideStream};

use super::Disk;
use super::disk::Side;

pub(super) struct DiskSide {
    disk: Disk,
    tenant: u64,
    name: String,
}

impl DiskSide {
    pub(super) fn new(disk: &Disk, tenant: u64, name: &str) -> Self {
        Self { disk: disk.clone(), tenant, name: name.to_owned() }
    }

    fn with<T>(&self, write: bool, act: impl FnOnce(&mut Side) -> T) -> T {
        let mut state = self.disk.state.lock();
        assert!(
            !write || state.tenant == self.tenant,
            "`{}` was written to after the end",
            self.name
        );
        act(state.sides.entry(self.name.clone()).or_default())
    }

    async fn begin(&self, act: &str) -> Result<()> {
        self.disk.world.begin(&format!("side.{}.{act}", self.name)).await?;
        if self.disk.world.chance(self.disk.world.odds().queue) {
            return Err(millstream_core::Error::retry(format!(
                "`{}`: no space left on device",
                self.name
            )));
        }
        Ok(())
    }
}

#[async_trait]
impl SideStream for DiskSide {
    async fn append(&self, entries: &[Bytes]) -> Result<u64> {
        self.begin("append").await?;
        let first = self.with(true, |side| {
            let first = side.end();
            side.entries.extend_from_slice(entries);
            first
        });
        self.disk.world.moment().await;
        Ok(first)
    }

    async fn read(&self, from: u64, bytes_max: usize) -> Result<Vec<(u64, Bytes)>> {
        let bytes_max = match self.disk.world.odds().slow {
            0 => bytes_max,
            _ => usize::try_from(self.disk.world.below(2000)).unwrap_or(1),
        };
        self.disk.world.moment().await;
        Ok(self.with(false, |side| {
            let from = from.max(side.first);
            let skip = usize::try_from(from - side.base).unwrap_or(usize::MAX);
            let mut bytes = 0;
            let mut read = Vec::new();
            for (number, entry) in (from..).zip(side.entries.iter().skip(skip)) {
                if !read.is_empty() && bytes + entry.len() > bytes_max {
                    break;
                }
                bytes += entry.len();
                read.push((number, entry.clone()));
            }
            read
        }))
    }

    fn extent(&self) -> SideExtent {
        self.with(false, |side| SideExtent { first: side.first, end: side.end() })
    }

    fn bytes(&self) -> u64 {
        self.with(false, |side| {
            let skip = usize::try_from(side.first - side.base).unwrap_or(usize::MAX);
            side.entries.iter().skip(skip).map(|e| e.len() as u64).sum()
        })
    }

    async fn trim(&self, before: u64) -> Result<()> {
        self.begin("trim").await?;
        self.with(true, |side| side.first = side.first.max(before.min(side.end())));
        Ok(())
    }

    async fn sync(&self) -> Result<()> {
        self.disk.world.moment().await;
        self.with(true, |side| side.synced = side.end());
        Ok(())
    }
}
