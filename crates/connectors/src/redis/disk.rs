//! Whether what a server takes will last: told at open, and waited for where the server can be asked to.

use std::time::Duration;

use millstream_core::Result;
use millstream_core::plugin::Env;
use millstream_redis::{Nodes, Persistence, Session, Stake, wait_for_disk};

/// What a part knows of its server's disk.
#[derive(Debug, Default)]
pub(super) struct Disk {
    waits: bool,
    /// Told already: a part is opened again after every error.
    told: Vec<String>,
}

impl Disk {
    /// Asks the server, and warns of what it would lose.
    pub(super) async fn look(
        &mut self,
        session: &Session,
        stake: &Stake<'_>,
        env: &Env,
    ) -> Result<()> {
        let found = Persistence::of(session, stake).await?;
        self.waits = found.waits();
        let warnings = found.warnings(stake);
        for warning in warnings.iter().filter(|warning| !self.told.contains(warning)) {
            tracing::warn!(part = env.name, server = session.server().place(), "{warning}");
        }
        self.told = warnings;
        Ok(())
    }

    /// Waits until all is there that was written over this session's connection, if that needs a wait.
    pub(super) async fn wait(
        &self,
        session: &Session,
        nodes: Nodes<'_>,
        timeout: Duration,
    ) -> Result<()> {
        if self.waits { wait_for_disk(session, nodes, timeout).await } else { Ok(()) }
    }
}
