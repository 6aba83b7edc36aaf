//! What errors of the disk mean to the engine, and in words.

use std::io;

use millstream_core::{Error, Remedy};

/// The error of an act on the spool at `place`. `was_open`: it has worked before, so that a missing right or folder
/// is likely to come back by itself.
#[expect(clippy::wildcard_enum_match_arm, reason = "other kinds are mended by opening again")]
pub(super) fn explain(
    what: &str,
    place: &str,
    sink: &str,
    was_open: bool,
    cause: io::Error,
) -> Error {
    use io::ErrorKind as K;
    let away = if was_open { Remedy::Reopen } else { Remedy::Stop };
    let (remedy, fix) = match cause.kind() {
        K::StorageFull | K::QuotaExceeded => {
            (Remedy::Retry, "free some space on its disk; rows go on by themselves")
        }
        K::NotADirectory => {
            (away, "name a folder in `path`, or move away the file that stands there")
        }
        K::PermissionDenied | K::ReadOnlyFilesystem | K::NotFound => {
            (away, "make the folder, writable for this user, or correct `path`")
        }
        K::InvalidData => {
            let error = Error::stop(what).at(place).because(cause).mended_by_forgetting();
            return error.fix(format!(
                "either restore it from a backup, or run once with `--resume {sink}`: it is moved aside, and the sink \
                 goes on from where the queue stands; rows that stand only in it are then in no file"
            ));
        }
        _ => (Remedy::Reopen, "look at the folder and its disk"),
    };
    Error::new(remedy, what).at(place).because(cause).fix(fix)
}
