//! Rows into the table, many to a statement.

use std::path::Path;

use millstream_core::codec::Rows;
use millstream_core::sink::Refused;
use millstream_core::{Error, Result};
use rusqlite::Connection;

use super::cells::Cells;
use super::error::{explain, is_of_a_row, reason};
use super::feed::Feed;
use super::table::{Table, Trouble};

/// Rows to a statement. More gain nothing (`bench/src/bin/sqlite.rs`), and SQLite keeps a copy of every page
/// that a statement changes until it ends: at most 16 MiB, if each row changes another one.
const ROWS_MAX: usize = 1024;

/// The statement that puts rows into a table.
#[derive(Debug)]
pub(super) struct Insert {
    feed: Feed,
    sql: String,
}

impl Insert {
    /// The statement for this table on this connection.
    pub(super) fn into(conn: &Connection, table: &Table) -> rusqlite::Result<Self> {
        let feed = Feed::attach(conn, table.columns.len())?;
        Ok(Self { feed, sql: table.insert_sql() })
    }

    /// Inserts the rows, but those `skip` names; gives back those that the table refuses. The order of
    /// rows is kept.
    pub(super) fn rows(
        &self,
        conn: &Connection,
        table: &Table,
        path: &Path,
        rows: &Rows,
        skip: impl Fn(usize) -> bool,
    ) -> Result<Vec<Refused>> {
        if rows.batch.num_columns() != table.columns.len() {
            return Err(Error::stop("rows have other columns than the sink was opened with")
                .at(path.display().to_string()));
        }
        let (cells, unfit) = Cells::of(&rows.batch, table.timestamps, &table.not_null)?;
        // What is skipped is told of already.
        let mut unfit = unfit.into_iter().filter(|(at, _)| !skip(*at)).peekable();
        let mut refused = Vec::new();
        let mut left = Vec::with_capacity(rows.len());
        for row in (0..rows.len()).filter(|row| !skip(*row)) {
            match unfit.next_if(|(at, _)| *at <= row) {
                Some(unfit) => refused.push(unfit),
                None => left.push(row),
            }
        }
        for rows in left.chunks(ROWS_MAX) {
            self.chunk(conn, table, &cells, rows, &mut refused)
                .map_err(|e| failed(conn, path, e))?;
        }
        refused.sort_by_key(|(row, _)| *row);
        let whole = |(row, reason)| {
            let id = rows.origin.id(row);
            Refused { id, reason, row: rows.batch.slice(row, 1) }
        };
        Ok(refused.into_iter().map(whole).collect())
    }

    /// Inserts rows; those that are refused one by one are added to `refused`.
    ///
    /// A statement is undone as a whole when one of its rows is refused. The row that was read last is
    /// most likely that one, so what is before it is inserted again, then it is tried alone, and so on
    /// behind it: however many are refused, each row is tried some three times. Should another one have been
    /// the cause (a trigger makes SQLite read all rows first), halves find it.
    fn chunk(
        &self,
        conn: &Connection,
        table: &Table,
        cells: &Cells,
        mut rows: &[usize],
        refused: &mut Vec<(usize, String)>,
    ) -> Result<(), Trouble> {
        while !rows.is_empty() {
            let (result, at) = self.all(conn, table, cells, rows);
            let e = match result {
                Ok(changes) if changes == rows.len() || !table.changes_by_each_row() => {
                    return Ok(());
                }
                Ok(_) => return self.one_by_one(conn, table, cells, rows, refused),
                Err(e) => e,
            };
            if !is_of_a_row(&e) || conn.is_autocommit() {
                return Err(e.into());
            }
            if let [row] = rows {
                refused.push((*row, reason(&e)));
                return Ok(());
            }
            // The last one read, if it can be that; else the middle.
            let cut = if at < rows.len() { at } else { rows.len() / 2 };
            let (before, from) = rows.split_at(cut);
            self.chunk(conn, table, cells, before, refused)?;
            let (suspect, behind) = from.split_at(from.len().min(1));
            self.chunk(conn, table, cells, suspect, refused)?;
            rows = behind;
        }
        Ok(())
    }

    /// Inserts rows by one statement; tells how many rows of the table it has changed. Where a trigger has left
    /// some out, none is inserted.
    fn all(
        &self,
        conn: &Connection,
        table: &Table,
        cells: &Cells,
        rows: &[usize],
    ) -> (rusqlite::Result<usize>, usize) {
        let insert = || conn.prepare_cached(&self.sql)?.raw_execute();
        self.feed.with(cells, rows, || {
            if !table.has_triggers || rows.len() == 1 {
                return insert();
            }
            conn.prepare_cached("SAVEPOINT chunk")?.raw_execute()?;
            let changes = insert();
            if conn.is_autocommit() {
                return changes;
            }
            if !matches!(changes, Ok(n) if n == rows.len()) && table.changes_by_each_row() {
                conn.prepare_cached("ROLLBACK TO chunk")?.raw_execute()?;
            }
            conn.prepare_cached("RELEASE chunk")?.raw_execute()?;
            changes
        })
    }

    /// Finds the rows that a trigger leaves out.
    fn one_by_one(
        &self,
        conn: &Connection,
        table: &Table,
        cells: &Cells,
        rows: &[usize],
        refused: &mut Vec<(usize, String)>,
    ) -> Result<(), Trouble> {
        if !table.has_triggers {
            return Err(Error::reopen("the table was given a trigger that leaves out rows").into());
        }
        for row in rows {
            match self.all(conn, table, cells, std::slice::from_ref(row)).0 {
                Ok(0) => refused.push((*row, "a trigger leaves it out, by RAISE(IGNORE)".into())),
                Ok(_) => {}
                Err(e) if is_of_a_row(&e) && !conn.is_autocommit() => {
                    refused.push((*row, reason(&e)));
                }
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }
}

fn failed(conn: &Connection, path: &Path, trouble: Trouble) -> Error {
    let place = path.display().to_string();
    match trouble {
        Trouble::Told(error) => error.at(place),
        // Every act here is inside a transaction.
        Trouble::Sqlite(cause) if is_of_a_row(&cause) && conn.is_autocommit() => Error::reopen(
            "a trigger has rolled back the whole transaction, by RAISE(ROLLBACK)",
        )
        .at(place)
        .because(reason(&cause))
        .fix("write RAISE(ABORT) in the trigger, which refuses only the row; rows wait until then"),
        Trouble::Sqlite(cause) => explain("cannot write rows to the database", path, true, cause),
    }
}
