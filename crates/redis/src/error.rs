//! What an error of Redis means for whoever met it.

use millstream_core::{Error, Remedy};
use redis::{ErrorKind, RedisError, ServerErrorKind};

/// The error in the words of Millstream, with what to do about it.
#[must_use]
pub fn explain(what: &str, place: &str, cause: RedisError) -> Error {
    let (remedy, fix) = remedy(&cause);
    let error = Error::new(remedy, what).at(place).because(cause);
    match fix {
        Some(fix) => error.fix(fix),
        None => error,
    }
}

fn remedy(cause: &RedisError) -> (Remedy, Option<&'static str>) {
    let code = cause.code().unwrap_or_default();
    match cause.kind() {
        ErrorKind::AuthenticationFailed => (Remedy::Stop, Some("check the user and the password")),
        _ if matches!(code, "WRONGPASS" | "NOAUTH") => {
            (Remedy::Stop, Some("check the user and the password"))
        }
        ErrorKind::Server(ServerErrorKind::NoPerm) => (
            Remedy::Stop,
            Some(
                "give the user the commands, keys and channels that docs/redis.md, and for the queue docs/redis-queue.md, lists (ACL SETUSER)",
            ),
        ),
        ErrorKind::InvalidClientConfig => (Remedy::Stop, None),
        ErrorKind::Server(ServerErrorKind::ReadOnly) => (
            Remedy::Retry,
            Some(
                "this is a read-only replica: name the primary, or let Sentinel or the cluster name it",
            ),
        ),
        _ if code == "OOM" => (
            Remedy::Retry,
            Some(
                "the server is at its `maxmemory`: give it more, or let what reads from it catch up",
            ),
        ),
        _ if code == "MISCONF" => (
            Remedy::Retry,
            Some(
                "the server cannot write to its disk and takes no writes until it can: see its log",
            ),
        ),
        _ if code == "WRONGTYPE" => {
            (Remedy::Stop, Some("the key holds another type of value: use another key"))
        }
        ErrorKind::Io
        | ErrorKind::ClusterConnectionNotFound
        | ErrorKind::MasterNameNotFoundBySentinel
        | ErrorKind::NoValidReplicasFoundBySentinel
        | ErrorKind::Server(
            ServerErrorKind::BusyLoading
            | ServerErrorKind::TryAgain
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown
            | ServerErrorKind::Moved
            | ServerErrorKind::Ask,
        ) => (Remedy::Retry, None),
        _ if matches!(code, "NOREPLICAS" | "UNBLOCKED" | "BUSY" | "LOADING") => {
            (Remedy::Retry, None)
        }
        _ => (Remedy::Stop, None),
    }
}

/// Whether the connection is of no more use: it is closed, out of step, or to a server that is no primary.
pub(crate) fn breaks(cause: &RedisError) -> bool {
    cause.is_io_error()
        || cause.is_unrecoverable_error()
        || matches!(cause.kind(), ErrorKind::Parse | ErrorKind::ClusterConnectionNotFound)
        || is_read_only(cause)
}

/// Whether the server answered that it did not do it. Otherwise the answer is not known: it may have done it.
#[must_use]
pub fn is_refusal(cause: &RedisError) -> bool {
    matches!(cause.kind(), ErrorKind::Server(_) | ErrorKind::Extension)
}

/// Whether the server refused it for lack of memory.
#[must_use]
pub fn is_out_of_memory(cause: &RedisError) -> bool {
    cause.code() == Some("OOM")
}

/// Whether the server is a replica, which takes no writes.
#[must_use]
pub fn is_read_only(cause: &RedisError) -> bool {
    cause.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
}
