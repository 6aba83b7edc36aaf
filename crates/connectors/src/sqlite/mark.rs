//! The table of marks: how far each sink of each pipeline has come.

use millstream_core::Error;
use millstream_core::queue::{Epoch, LogId, Mark};
use millstream_core::record::Offset;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::Options;
use super::table::Trouble;

/// What it is called.
const TABLE: &str = "_millstream_held";

/// Makes it, if it is not there.
pub(super) fn make_table(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch(&format!(
        "CREATE TABLE IF NOT EXISTS {TABLE} (pipeline TEXT NOT NULL, sink TEXT NOT NULL, \
         log TEXT NOT NULL, incarnation INTEGER NOT NULL, epoch INTEGER NOT NULL, \
         next_offset INTEGER NOT NULL, PRIMARY KEY (pipeline, sink)) WITHOUT ROWID"
    ))
}

/// Whether it is there.
pub(super) fn has_table(conn: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT count(*) > 0 FROM sqlite_schema WHERE type = 'table' AND name = ?1";
    conn.query_row(sql, [TABLE], |r| r.get(0))
}

/// The mark of a sink.
pub(super) fn held(conn: &Connection, options: &Options) -> Result<Option<Mark>, Trouble> {
    if !has_table(conn)? {
        return Ok(None);
    }
    let sql = format!(
        "SELECT log, incarnation, epoch, next_offset FROM {TABLE} WHERE pipeline = ?1 AND sink = ?2"
    );
    let row = conn.prepare_cached(&sql)?.query_row(params![options.pipeline, options.sink], |r| {
        let (log, incarnation): (String, u32) = (r.get(0)?, r.get(1)?);
        let (epoch, next): (i64, i64) = (r.get(2)?, r.get(3)?);
        Ok((log, incarnation, epoch, next))
    });
    let Some((log, incarnation, epoch, next)) = row.optional()? else { return Ok(None) };
    let mark = u128::from_str_radix(&log, 16).ok().and_then(|log| {
        let (epoch, next) = (u64::try_from(epoch).ok()?, u64::try_from(next).ok()?);
        Some(Mark { log: LogId(log), incarnation, epoch: Epoch(epoch), next: Offset(next) })
    });
    let damaged = || {
        Error::stop(format!("table `{TABLE}` holds something else than marks"))
            .at(options.place())
            .mended_by_forgetting()
            .fix("restore the database from a backup, or drop that table to begin afresh")
    };
    Ok(Some(mark.ok_or_else(damaged)?))
}

/// Stores the mark of a sink.
pub(super) fn store(conn: &Connection, options: &Options, mark: Mark) -> rusqlite::Result<()> {
    let sql = format!("INSERT OR REPLACE INTO {TABLE} VALUES (?1, ?2, ?3, ?4, ?5, ?6)");
    let small = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let (epoch, next) = (small(mark.epoch.0), small(mark.next.0));
    let log = mark.log.to_string();
    conn.prepare_cached(&sql)?
        .execute(params![options.pipeline, options.sink, log, mark.incarnation, epoch, next])
        .map(drop)
}

/// Removes the mark of a sink.
pub(super) fn forget(conn: &Connection, options: &Options) -> rusqlite::Result<()> {
    if !has_table(conn)? {
        return Ok(());
    }
    let sql = format!("DELETE FROM {TABLE} WHERE pipeline = ?1 AND sink = ?2");
    conn.execute(&sql, params![options.pipeline, options.sink]).map(drop)
}
