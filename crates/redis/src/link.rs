//! One connection, to a server or to a cluster.

use std::collections::BTreeMap;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{
    MultipleNodeRoutingInfo, Route, RoutingInfo, SingleNodeRoutingInfo, Slot, SlotAddr,
};
use redis::{
    Cmd, ErrorKind, FromRedisValue as _, Pipeline, RedisError, RedisFuture, RedisResult, Value,
};

use crate::error::because_of;

/// Which servers a command that names no key is for. Of one server, that one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nodes<'a> {
    /// The primary that has this key.
    Of(&'a str),
    /// All primaries of a cluster.
    All,
}

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

    /// Runs a command that names no key on these primaries: what each answered, by its address where there are several.
    ///
    /// # Errors
    /// What one of them answered, or why there was no answer.
    pub async fn query_nodes(
        &mut self,
        nodes: Nodes<'_>,
        command: Cmd,
    ) -> RedisResult<BTreeMap<String, Value>> {
        if let (Self::Cluster(c), Nodes::All) = (&mut *self, nodes) {
            let all = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
            let answers = c.route_command(command, all).await?.extract_error()?;
            return Ok(BTreeMap::from_redis_value(answers)?);
        }
        let key = match nodes {
            Nodes::Of(key) => key,
            Nodes::All => "",
        };
        let answer = self.query_beside(key, command).await?;
        Ok(BTreeMap::from([(String::new(), answer)]))
    }

    /// Runs a transaction (an atomic pipeline): what its commands answered, each for itself, errors among them.
    ///
    /// # Errors
    /// What the server refused it for, before any of it was done; or why there was no answer.
    pub async fn transact(&mut self, transaction: &Pipeline) -> RedisResult<Vec<Value>> {
        let before = transaction.len() + 1;
        let answer = match self.req_packed_commands(transaction, before, 1).await {
            Ok(mut answers) => answers.pop(),
            // The first that the server would not queue: the others tell nothing new.
            Err(e) => {
                let first = e.clone().into_server_errors().and_then(|all| all.first().cloned());
                return Err(first.map_or(e, |(_, first)| first.into()));
            }
        };
        match answer {
            Some(Value::Array(answers)) => Ok(answers),
            Some(Value::ServerError(e)) => Err(because_of(e)),
            _ => {
                let what = "a transaction without an answer for each of its commands";
                Err(RedisError::from((ErrorKind::Parse, what)))
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
