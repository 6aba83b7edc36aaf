//! One connection, to a server or to a cluster.

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{Route, RoutingInfo, SingleNodeRoutingInfo, Slot, SlotAddr};
use redis::{Cmd, Pipeline, RedisFuture, RedisResult, Value};

/// A connection. Clones share it; commands of all of them are answered in order.
///
/// A command that blocks (`BLMOVE`, `XREAD BLOCK`) holds up the others: give it a connection of its own.
#[derive(Clone)]
pub enum Link {
    /// To one server.
    One(MultiplexedConnection),
    /// To all of a cluster; a command goes where its keys are.
    Cluster(ClusterConnection),
}

impl Link {
    /// Runs a command that names no key (`INFO`, `WAITAOF`, `FUNCTION LOAD`) on the primary that has this key.
    ///
    /// # Errors
    /// What the server answered, or why there was no answer.
    pub async fn query_beside(&mut self, key: &str, command: Cmd) -> RedisResult<Value> {
        match self {
            Self::One(c) => c.send_packed_command(&command).await?.extract_error(),
            Self::Cluster(c) => {
                let route = Route::with_slot(Slot::for_key(key.as_bytes()), SlotAddr::Master);
                let there = SingleNodeRoutingInfo::SpecificNode(route);
                c.route_command(command, RoutingInfo::SingleNode(there)).await?.extract_error()
            }
        }
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::One(_) => "Link(one)",
            Self::Cluster(_) => "Link(cluster)",
        })
    }
}

impl ConnectionLike for Link {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(c) => c.req_packed_command(cmd),
            Self::Cluster(c) => c.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One(c) => c.req_packed_commands(pipeline, offset, count),
            Self::Cluster(c) => c.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::One(c) => c.get_db(),
            Self::Cluster(c) => c.get_db(),
        }
    }
}
