//! What SQLite's errors mean to the engine, and in words.

use std::path::Path;

use millstream_core::{Error, Remedy};
use rusqlite::ErrorCode;

/// Whether it is one row that is at fault.
pub(super) fn is_of_a_row(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig)
    )
}

/// SQLite's words for why a row is refused, without its error numbers.
pub(super) fn reason(error: &rusqlite::Error) -> String {
    if let rusqlite::Error::SqliteFailure(_, Some(text)) = error {
        return text.clone();
    }
    error.to_string()
}

/// The error of an act on the database at `path`. `was_open`: it has worked before, so that a
/// missing right or folder is likely to come back by itself.
pub(super) fn explain(what: &str, path: &Path, was_open: bool, cause: rusqlite::Error) -> Error {
    let away = if was_open { Remedy::Reopen } else { Remedy::Stop };
    let (remedy, fix) = match cause.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            Remedy::Retry,
            "another program is writing to it; end its transaction, and rows go on by themselves",
        ),
        Some(ErrorCode::DiskFull) => {
            (Remedy::Reopen, "free some space on its disk; rows go on by themselves")
        }
        Some(ErrorCode::SystemIoFailure) => {
            (Remedy::Reopen, "look at its disk; rows go on by themselves once it works again")
        }
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            (away, "make its folder and file readable and writable for this user")
        }
        Some(ErrorCode::ReadOnly) => (away, "make its file and folder writable for this user"),
        Some(ErrorCode::DatabaseCorrupt) => (
            Remedy::Stop,
            "restore it from a backup, or move it away; `sqlite3 FILE .recover` saves what can be read",
        ),
        Some(ErrorCode::NotADatabase) => {
            (Remedy::Stop, "choose another `path`: this file is something else, or encrypted")
        }
        // SQL that SQLite does not take, which asking again does not mend.
        Some(ErrorCode::Unknown) => (away, "look at the cause"),
        _ => (Remedy::Reopen, "look at the cause"),
    };
    Error::new(remedy, what).at(path.display().to_string()).because(cause).fix(fix)
}
