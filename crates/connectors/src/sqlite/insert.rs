//! Rows into the table, as many to a statement as pays.

use std::path::Path;

use millstream_core::codec::Rows;
use millstream_core::sink::Refused;
use millstream_core::{Error, Result};
use rusqlite::Connection;
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};

use super::cells::Cells;
use super::error::{explain, is_of_a_row, reason};
use super::table::Table;

/// Rows to a statement. `bench/src/bin/sqlite.rs` finds no gain beyond, and a row that is refused
/// sends its whole statement the slow way.
const ROWS: usize = 50;

/// Rows to a statement for the rest of a batch, so that few statements serve every length.
const ROWS_OF_REST: usize = 8;

/// SQLite's bound on parameters of a statement.
const PARAMETERS_MAX: usize = 32_766;

/// The statements that put 50, 8 and 1 rows into a table.
#[derive(Debug)]
pub(super) struct Insert {
    statements: Vec<(usize, String)>,
}

struct Bound<'a>(ValueRef<'a>);

impl ToSql for Bound<'_> {
    #[inline]
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(self.0))
    }
}

impl Insert {
    /// Statements for this table.
    pub(super) fn into(table: &Table) -> Self {
        let columns = table.columns.len().max(1);
        let fit = |rows: usize| rows.min(PARAMETERS_MAX / columns).max(1);
        let mut sizes = vec![fit(ROWS), fit(ROWS_OF_REST), 1];
        sizes.dedup();
        let statements = sizes.into_iter().map(|rows| (rows, table.insert_sql(rows))).collect();
        Self { statements }
    }

    /// Inserts the rows, but those `skip` names; gives back those that the table refuses.
    ///
    /// The order of rows is kept. Each statement is undone as a whole when one of its rows is
    /// refused, and its rows are then tried one by one.
    pub(super) fn rows(
        &self,
        conn: &Connection,
        table: &Table,
        path: &Path,
        rows: &Rows,
        skip: impl Fn(usize) -> bool,
    ) -> Result<Vec<Refused>> {
        let (cells, unfit) = Cells::of(&rows.batch, table.timestamps, &table.not_null)?;
        let mut unfit = unfit.into_iter().peekable();
        let mut refused = Vec::new();
        let mut refuse = |row: usize, reason: String| {
            let id = rows.origin.id(row);
            refused.push(Refused { id, reason, row: rows.batch.slice(row, 1) });
        };
        let mut left = Vec::with_capacity(rows.len());
        for row in (0..rows.len()).filter(|row| !skip(*row)) {
            match unfit.next_if(|(at, _)| *at <= row) {
                Some((_, why)) => refuse(row, why),
                None => left.push(row),
            }
        }
        let mut left = left.as_slice();
        for (size, sql) in &self.statements {
            while let Some((chunk, rest)) = left.split_at_checked(*size) {
                left = rest;
                let Err(e) = execute(conn, sql, &cells, chunk) else { continue };
                if !is_of_a_row(&e) {
                    return Err(failed(path, e));
                }
                if let [row] = chunk {
                    refuse(*row, reason(&e));
                } else {
                    self.one_by_one(conn, path, &cells, chunk, &mut refuse)?;
                }
            }
        }
        refused.sort_by_key(|r| r.id);
        Ok(refused)
    }

    fn one_by_one(
        &self,
        conn: &Connection,
        path: &Path,
        cells: &Cells,
        chunk: &[usize],
        refuse: &mut impl FnMut(usize, String),
    ) -> Result<()> {
        let Some((_, sql)) = self.statements.last() else { return Ok(()) };
        for row in chunk {
            match execute(conn, sql, cells, &[*row]) {
                Ok(()) => {}
                Err(e) if is_of_a_row(&e) => refuse(*row, reason(&e)),
                Err(e) => return Err(failed(path, e)),
            }
        }
        Ok(())
    }
}

fn failed(path: &Path, cause: rusqlite::Error) -> Error {
    explain("cannot write rows to the database", path, true, cause)
}

/// Runs one statement with the values of these rows.
fn execute(conn: &Connection, sql: &str, cells: &Cells, rows: &[usize]) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached(sql)?;
    let mut parameter = 0;
    for row in rows {
        for value in cells.row(*row) {
            parameter += 1;
            statement.raw_bind_parameter(parameter, Bound(value))?;
        }
    }
    statement.raw_execute()?;
    Ok(())
}
