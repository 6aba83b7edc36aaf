//! One database as one sink sees it: rows and mark in one transaction.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow_schema::SchemaRef;
use millstream_core::codec::{RowId, Rows};
use millstream_core::queue::Mark;
use millstream_core::sink::{Held, Refused};
use millstream_core::{Error, Remedy, Result};
use rusqlite::{Connection, OpenFlags};

use super::error::explain;
use super::insert::Insert;
use super::neighbours::Neighbour;
use super::table::{Table, Trouble};
use super::{Options, mark};
use crate::folder;

/// How long SQLite itself waits for another program before the engine is told to retry.
const BUSY: Duration = Duration::from_millis(500);

/// Pages of a new database: fewer splits and WAL frames than with 4 KiB (perf.md, 10-25 %).
const PAGE_BYTES: u32 = 16 * 1024;

/// How much WAL is let grow before its pages are moved into the database: some 20 ms of work at a time.
const WAL_BYTES: u32 = 16 * 1024 * 1024;

/// The database of one sink.
#[derive(Debug)]
pub(super) struct Database {
    options: Options,
    neighbour: Arc<Neighbour>,
    open: Option<Open>,
    /// It has been open before: rights and folders were right once.
    was_open: bool,
}

#[derive(Debug)]
struct Open {
    conn: Connection,
    file: Option<FileId>,
    table: Table,
    insert: Insert,
    /// The mark that was found when it was opened, or stored since.
    held: Option<Mark>,
    turn: Turn,
}

/// How far this epoch is.
#[derive(Debug)]
enum Turn {
    /// No row yet.
    Idle,
    /// Rows are in the open transaction.
    Writing(Vec<Refused>),
    /// Rows wait in memory, since the database has other writers here.
    Waiting(Vec<Rows>),
    /// Rows and mark are in the open transaction.
    Prepared(Mark),
    /// Rows were tried, and wait in memory; these are refused.
    Tried(Mark, Vec<Rows>, BTreeSet<RowId>),
}

/// Which file it is, so that one that was deleted or replaced is noticed.
type FileId = (u64, u64);

impl Database {
    /// The database of these options; opens nothing.
    pub(super) fn new(options: Options, neighbour: Arc<Neighbour>) -> Self {
        Self { options, neighbour, open: None, was_open: false }
    }

    /// Opens it, rolls back what was not flushed, makes or checks the table, tells what is held.
    pub(super) fn open(&mut self, schema: &SchemaRef) -> Result<Held> {
        // Dropping the connection rolls its transaction back.
        self.open = None;
        let mut table = Table::new(&self.options, schema)?;
        let conn = self.connect(self.options.create)?;
        let held = self.told("cannot open the database", self.set_up(&conn, &mut table))?;
        let file = file_id(&self.options.path);
        let insert = Insert::into(&conn, &table);
        let insert = self.told("cannot open the database", insert.map_err(Trouble::from))?;
        self.open = Some(Open { conn, file, table, insert, held, turn: Turn::Idle });
        self.was_open = true;
        Ok(held.map_or(Held::Fresh, Held::Upto))
    }

    /// Takes rows of the current epoch.
    pub(super) fn write(&mut self, rows: Rows) -> Result<()> {
        let shared = self.neighbour.has_neighbours();
        self.during(|open, options| {
            match &mut open.turn {
                Turn::Idle if shared => open.turn = Turn::Waiting(vec![rows]),
                Turn::Waiting(waiting) => waiting.push(rows),
                Turn::Idle => {
                    open.begin(options)?;
                    open.turn = Turn::Writing(open.rows(options, &rows, &BTreeSet::new())?);
                }
                Turn::Writing(_) => {
                    let more = open.rows(options, &rows, &BTreeSet::new())?;
                    if let Turn::Writing(refused) = &mut open.turn {
                        refused.extend(more);
                    }
                }
                Turn::Prepared(_) | Turn::Tried(..) => {
                    panic!("rows came between prepare and flush")
                }
            }
            Ok(())
        })
    }

    /// Does everything but the commit.
    pub(super) fn prepare(&mut self, mark: Mark) -> Result<Vec<Refused>> {
        self.during(|open, options| match std::mem::replace(&mut open.turn, Turn::Idle) {
            Turn::Idle => {
                open.begin(options)?;
                open.finish(options, mark, Vec::new())
            }
            Turn::Writing(refused) => open.finish(options, mark, refused),
            Turn::Waiting(waiting) => {
                let refused = match open.try_out(options, &waiting) {
                    Ok(refused) => refused,
                    Err(e) => {
                        open.turn = Turn::Waiting(waiting);
                        return Err(e);
                    }
                };
                let ids = refused.iter().map(|r| r.id).collect();
                open.turn = Turn::Tried(mark, waiting, ids);
                Ok(refused)
            }
            Turn::Prepared(_) | Turn::Tried(..) => panic!("an epoch was prepared twice"),
        })
    }

    /// Commits.
    pub(super) fn flush(&mut self, mark: Mark) -> Result<()> {
        self.during(|open, options| {
            match &open.turn {
                Turn::Prepared(prepared) => {
                    assert_eq!(*prepared, mark, "another epoch was prepared")
                }
                Turn::Tried(prepared, waiting, skip) => {
                    assert_eq!(*prepared, mark, "another epoch was prepared");
                    open.begin(options)?;
                    for rows in waiting {
                        if let Some(new) = open.rows(options, rows, skip)?.first() {
                            return Err(Error::reopen(format!(
                                "row {} was fine when it was prepared and is refused now: {}",
                                new.id, new.reason
                            ))
                            .at(options.place()));
                        }
                    }
                    open.hold(options, mark)?;
                }
                Turn::Idle | Turn::Writing(_) | Turn::Waiting(_) => {
                    panic!("an epoch was flushed that was not prepared")
                }
            }
            open.check_file(options)?;
            open.sql(options, "cannot commit to the database", "COMMIT")?;
            open.held = Some(mark);
            open.turn = Turn::Idle;
            Ok(())
        })
    }

    /// Forgets the mark and leaves the rows.
    pub(super) fn forget(&mut self) -> Result<()> {
        self.open = None;
        if !self.options.path.exists() {
            return Ok(());
        }
        let conn = self.connect(false)?;
        let forgotten = mark::forget(&conn, &self.options);
        self.told("cannot forget what is held", forgotten.map_err(Trouble::from))
    }

    /// Does something with the open database. Whatever fails half-way is rolled back at once, so that
    /// nobody is kept out meanwhile.
    fn during<R>(&mut self, act: impl FnOnce(&mut Open, &Options) -> Result<R>) -> Result<R> {
        let Some(open) = &mut self.open else {
            return Err(Error::reopen("the database is not open").at(self.options.place()));
        };
        let error = match act(open, &self.options) {
            Ok(result) => return Ok(result),
            Err(error) => error,
        };
        if !open.conn.is_autocommit() {
            // It may have been rolled back already; closing the connection does so too.
            drop(open.conn.execute_batch("ROLLBACK"));
        }
        let nothing_lost = matches!(open.turn, Turn::Idle | Turn::Waiting(_) | Turn::Tried(..));
        if nothing_lost && open.conn.is_autocommit() {
            return Err(error);
        }
        self.open = None;
        Err(match error.remedy() {
            Remedy::Retry => error.with_remedy(Remedy::Reopen),
            Remedy::Reopen | Remedy::SetAside | Remedy::Stop => error,
        })
    }

    fn connect(&self, create: bool) -> Result<Connection> {
        let path = &self.options.path;
        let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        if create {
            flags |= OpenFlags::SQLITE_OPEN_CREATE;
            let folder = path.parent().unwrap_or(Path::new(""));
            folder::make(folder).map_err(|e| self.no_folder(e))?;
        } else if !path.exists() {
            return Err(Error::stop("there is no such database")
                .at(self.options.place())
                .fix("set `create: true`, or correct `path`"));
        }
        let opened = Connection::open_with_flags(path, flags).and_then(|conn| {
            conn.busy_timeout(BUSY)?;
            Ok(conn)
        });
        self.told("cannot open the database", opened.map_err(Trouble::from))
    }

    fn no_folder(&self, cause: std::io::Error) -> Error {
        let error = if self.was_open { Error::reopen } else { Error::stop };
        error("cannot make the folder of the database".to_owned())
            .at(self.options.place())
            .because(cause)
            .fix("make the folder, writable for this user, or correct `path`")
    }

    fn set_up(&self, conn: &Connection, table: &mut Table) -> Result<Option<Mark>, Trouble> {
        conn.set_prepared_statement_cache_capacity(16);
        conn.pragma_update(None, "page_size", PAGE_BYTES)?;
        let journal: String = conn.query_row("PRAGMA journal_mode = WAL", [], |r| r.get(0))?;
        let wal = journal.eq_ignore_ascii_case("wal");
        // Without WAL, which some file systems cannot do, only EXTRA makes a commit survive power loss.
        conn.pragma_update(None, "synchronous", if wal { "FULL" } else { "EXTRA" })?;
        let page_bytes: u32 = conn.query_row("PRAGMA page_size", [], |r| r.get(0))?;
        conn.pragma_update(None, "wal_autocheckpoint", WAL_BYTES / page_bytes.max(512))?;
        conn.pragma_update(None, "journal_size_limit", 4 * WAL_BYTES)?;
        conn.pragma_update(None, "cache_size", -16_384)?;
        conn.pragma_update(None, "temp_store", "MEMORY")?;
        conn.pragma_update(None, "foreign_keys", true)?;
        let place = self.options.place();
        if !table.is_there(conn, &place)? || !mark::has_table(conn)? {
            conn.execute_batch("BEGIN IMMEDIATE")?;
            if !table.is_there(conn, &place)? {
                if let Some(mark) = mark::held(conn, &self.options)? {
                    return Err(self.table_is_gone(mark).into());
                }
                if !self.options.create {
                    return Err(Error::stop(format!("there is no table `{}`", self.options.table))
                        .at(place)
                        .fix(format!("set `create: true`, or make it: {}", table.create_sql()))
                        .into());
                }
                conn.execute_batch(&table.create_sql())?;
            }
            mark::make_table(conn)?;
            table.check(conn, &place)?;
            conn.execute_batch("COMMIT")?;
        } else {
            table.check(conn, &place)?;
        }
        mark::held(conn, &self.options)
    }

    fn table_is_gone(&self, mark: Mark) -> Error {
        let Options { table, sink, .. } = &self.options;
        Error::stop(format!(
            "table `{table}` is gone, and rows up to epoch {} were stored in it",
            mark.epoch
        ))
        .at(self.options.place())
        .mended_by_forgetting()
        .fix(format!(
            "either put the table back (from a backup, or under the name it had), or run once with `--resume {sink}` to \
             make it anew and go on from where the queue stands (what was stored is not delivered again)"
        ))
    }

    /// Puts trouble into words.
    fn told<R>(&self, what: &str, result: Result<R, Trouble>) -> Result<R> {
        result.map_err(|trouble| match trouble {
            Trouble::Told(error) => error,
            Trouble::Sqlite(cause) => explain(what, &self.options.path, self.was_open, cause),
        })
    }
}

impl Open {
    /// Begins the transaction of an epoch.
    fn begin(&self, options: &Options) -> Result<()> {
        self.check_file(options)?;
        self.sql(options, "cannot begin a transaction", "BEGIN IMMEDIATE")
    }

    fn rows(&self, options: &Options, rows: &Rows, skip: &BTreeSet<RowId>) -> Result<Vec<Refused>> {
        let skip = |row| !skip.is_empty() && skip.contains(&rows.origin.id(row));
        self.insert.rows(&self.conn, &self.table, &options.path, rows, skip)
    }

    /// Inserts rows to learn which are refused, and takes them back.
    fn try_out(&self, options: &Options, waiting: &[Rows]) -> Result<Vec<Refused>> {
        self.begin(options)?;
        let mut refused = Vec::new();
        for rows in waiting {
            refused.extend(self.rows(options, rows, &BTreeSet::new())?);
        }
        self.sql(options, "cannot take rows back", "ROLLBACK")?;
        Ok(refused)
    }

    fn finish(
        &mut self,
        options: &Options,
        mark: Mark,
        refused: Vec<Refused>,
    ) -> Result<Vec<Refused>> {
        // Until it is done, an error leaves nothing to go on with.
        self.turn = Turn::Prepared(mark);
        self.hold(options, mark)?;
        Ok(refused)
    }

    /// Stores the mark in the transaction, unless another process has stored one since this sink did.
    fn hold(&self, options: &Options, mark: Mark) -> Result<()> {
        let found = mark::held(&self.conn, options).map_err(|trouble| match trouble {
            Trouble::Told(error) => error,
            Trouble::Sqlite(cause) => {
                explain("cannot read what is held", &options.path, true, cause)
            }
        })?;
        if found != self.held {
            let told = |mark: Option<Mark>| {
                mark.map_or("nothing".to_owned(), |m| format!("epoch {}", m.epoch))
            };
            // Of the same queue: this process takes over from that one, or that one from this. What is held now
            // decides, so it is looked at anew.
            let same = found.is_some_and(|found| found.log == mark.log);
            let remedy = if same { Remedy::Reopen } else { Remedy::Stop };
            return Err(Error::new(remedy, format!(
                "another process writes rows of this sink: the database holds {}, this process left it at {}",
                told(found),
                told(self.held)
            ))
            .at(options.place())
            .fix("let only one of them run; started again, it goes on from what the database holds. Pipelines that are not one need other names"));
        }
        let what = "cannot store what is held";
        mark::store(&self.conn, options, mark).map_err(|e| explain(what, &options.path, true, e))
    }

    fn sql(&self, options: &Options, what: &str, sql: &str) -> Result<()> {
        self.conn.execute_batch(sql).map_err(|e| explain(what, &options.path, true, e))
    }

    /// A file that was deleted takes writes as before, and they are lost.
    fn check_file(&self, options: &Options) -> Result<()> {
        if file_id(&options.path) == self.file {
            return Ok(());
        }
        Err(Error::reopen("the database was deleted or replaced while it was open")
            .at(options.place())
            .fix("leave it in place while the pipeline runs; it is made anew or opened again"))
    }
}

#[cfg(unix)]
fn file_id(path: &Path) -> Option<FileId> {
    use std::os::unix::fs::MetadataExt as _;
    let found = std::fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

/// Where an open file cannot be deleted, there is nothing to notice.
#[cfg(not(unix))]
fn file_id(_: &Path) -> Option<FileId> {
    None
}
