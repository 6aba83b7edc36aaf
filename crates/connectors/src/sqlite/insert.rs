//! Rows into the table, many to a statement.

use std::path::Path;

use millstream_core::codec::Rows;
use millstream_core::sink::Refused;
use millstream_core::{Error, Result};
use rusqlite::Connection;

use super::cells::Cells;
use super::error::{explain, is_of_a_row, reason};
use super::feed::Feed;
use super::table::Table;

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
        let mut unfit = unfit.into_iter().peekable();
        let mut refused = Vec::new();
        let mut left = Vec::with_capacity(rows.len());
        for row in (0..rows.len()).filter(|row| !skip(*row)) {
            match unfit.next_if(|(at, _)| *at <= row) {
                Some(unfit) => refused.push(unfit),
                None => left.push(row),
            }
        }
        for rows in left.chunks(ROWS_MAX) {
            self.chunk(conn, &cells, rows, &mut refused).map_err(|e| failed(path, e))?;
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
        cells: &Cells,
        mut rows: &[usize],
        refused: &mut Vec<(usize, String)>,
    ) -> rusqlite::Result<()> {
        while !rows.is_empty() {
            let (result, at) = self
                .feed
                .with(cells, rows, || conn.prepare_cached(&self.sql)?.raw_execute().map(drop));
            let Err(e) = result else { return Ok(()) };
            if !is_of_a_row(&e) {
                return Err(e);
            }
            if let [row] = rows {
                refused.push((*row, reason(&e)));
                return Ok(());
            }
            // The last one read, if it can be that; else the middle.
            let cut = if at < rows.len() { at } else { rows.len() / 2 };
            let (before, from) = rows.split_at(cut);
            self.chunk(conn, cells, before, refused)?;
            let (suspect, behind) = from.split_at(from.len().min(1));
            self.chunk(conn, cells, suspect, refused)?;
            rows = behind;
        }
        Ok(())
    }
}

fn failed(path: &Path, cause: rusqlite::Error) -> Error {
    explain("cannot write rows to the database", path, true, cause)
}
