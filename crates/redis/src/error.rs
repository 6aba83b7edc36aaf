//! What an error of Redis means for whoever met it.

use millstream_core::{Error, Remedy};
use redis::{ErrorKind, RedisError, ServerError};

/// The error in the words of Millstream, with what to do about it.
#[must_use]
pub fn explain(what: &str, place: &str, cause: RedisError) -> Error {
    let (remedy, fix) = remedy(&cause);
    let failed = cause.clone().into_server_errors().filter(|all| all.len() > 1);
    let error = Error::new(remedy, what).at(place);
    let error = match failed.as_deref() {
        // One stands for all: there may be thousands.
        Some([(_, first), ..]) => error.because(first.to_string()),
        Some([]) | None => error.because(cause),
    };
    match fix {
        Some(fix) => error.fix(fix),
        None => error,
    }
}

fn remedy(cause: &RedisError) -> (Remedy, Option<&'static str>) {
    let code = code(cause);
    let code = code.as_str();
    match cause.kind() {
        ErrorKind::AuthenticationFailed => (Remedy::Stop, Some("check the user and the password")),
        _ if matches!(code, "WRONGPASS" | "NOAUTH") => {
            (Remedy::Stop, Some("check the user and the password"))
        }
        _ if code == "NOPERM" || is_refused_in_script(cause) => (
            Remedy::Stop,
            Some(
                "give the user the commands, keys and channels that docs/redis.md, and for the queue docs/redis-queue.md, lists (ACL SETUSER)",
            ),
        ),
        ErrorKind::InvalidClientConfig => (Remedy::Stop, None),
        _ if code == "READONLY" => (
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
        // Cut in the middle of an answer, what there is of it cannot be read.
        ErrorKind::Io
        | ErrorKind::Parse
        | ErrorKind::ClusterConnectionNotFound
        | ErrorKind::MasterNameNotFoundBySentinel
        | ErrorKind::NoValidReplicasFoundBySentinel => (Remedy::Retry, None),
        _ if RETRY.contains(&code) => (Remedy::Retry, None),
        _ => (Remedy::Stop, None),
    }
}

/// What passes by itself.
const RETRY: &[&str] = &[
    "ASK",
    "BUSY",
    "CLUSTERDOWN",
    "LOADING",
    "MASTERDOWN",
    "MOVED",
    "NOREPLICAS",
    "TRYAGAIN",
    "UNBLOCKED",
];

/// The server's code, also of the first command that failed of several, in a transaction or not.
fn code(cause: &RedisError) -> String {
    let failed = cause.clone().into_server_errors();
    let first = failed.as_deref().and_then(<[_]>::first);
    first.map(|(_, e)| e.code()).or(cause.code()).unwrap_or_default().to_owned()
}

/// Whether a script did what the user may not do. There is no code for that: Redis 7.0 says the one, Redis 7.2 and Valkey
/// the other.
fn is_refused_in_script(cause: &RedisError) -> bool {
    const SAID: [&str; 2] = ["The user executing the script can't", "ACL failure in script"];
    cause.detail().is_some_and(|text| SAID.iter().any(|said| text.starts_with(said)))
}

/// Whether the connection is of no more use: it is closed, out of step, or to a server that is no primary.
pub(crate) fn breaks(cause: &RedisError) -> bool {
    cause.is_io_error()
        || cause.is_unrecoverable_error()
        || matches!(cause.kind(), ErrorKind::Parse | ErrorKind::ClusterConnectionNotFound)
        || is_read_only(cause)
        // The cluster's own connection follows a single command there, but not a transaction.
        || code(cause) == "MOVED"
}

/// The error of a transaction that was refused as a whole; with the code of what it was refused for, if that is told.
pub(crate) fn because_of(refused: ServerError) -> RedisError {
    let why = refused.details().and_then(|text| text.split_once("discarded because of: "));
    match why.and_then(|(_, why)| why.split_once(' ')) {
        Some((code, text)) if code.chars().all(|c| c.is_ascii_uppercase()) => {
            redis::make_extension_error(code.to_owned(), Some(text.to_owned()))
        }
        _ => refused.into(),
    }
}

/// Whether the server answered that it did not do it. Otherwise the answer is not known: it may have done it.
#[must_use]
pub fn is_refusal(cause: &RedisError) -> bool {
    matches!(cause.kind(), ErrorKind::Server(_) | ErrorKind::Extension)
}

/// Whether the server is a replica, which takes no writes.
#[must_use]
pub(crate) fn is_read_only(cause: &RedisError) -> bool {
    code(cause) == "READONLY"
}

#[cfg(test)]
mod tests {
    use redis::{Value, parse_redis_value};

    use super::*;

    #[test]
    fn a_transaction_that_was_refused_says_what_for() {
        let refused = |answer: &str| {
            let answer = format!("-EXECABORT Transaction discarded because of{answer}\r\n");
            let Ok(Value::ServerError(e)) = parse_redis_value(answer.as_bytes()) else {
                unreachable!("{answer}")
            };
            because_of(e)
        };
        let e = refused(": OOM command not allowed when used memory > 'maxmemory'.");
        assert!(is_refusal(&e) && code(&e) == "OOM", "{e}");
        let told = explain("cannot append", "redis://h:1", e);
        assert_eq!(told.remedy(), Remedy::Retry);
        assert!(told.to_string().contains("OOM") && told.to_string().contains("give it more"));
        // Those before it have said what for.
        let e = refused(" previous errors.");
        assert!(is_refusal(&e) && code(&e) == "EXECABORT", "{e}");
    }
}
