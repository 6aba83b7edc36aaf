//! Rows as a table that SQL can read: `INSERT … SELECT` takes them straight from Arrow's buffers.
//!
//! This is SQLite's virtual table interface, <https://sqlite.org/vtab.html>, as an eponymous table that
//! exists only in this connection. Its one promise to SQLite: text and bytes it hands out stay where they
//! are until the statement has ended. [`Feed::with`] keeps it, since it borrows the rows for as long.
#![expect(
    unsafe_code,
    reason = "bench/src/bin/sqlite.rs: 141 ns a row here against some 290 by one-row statements; 50-row VALUES, which \
              need no unsafe code, cost 1.15 to 1.3 times the CPU of this"
)]

use std::ffi::{CString, c_char, c_int, c_void};
use std::ptr;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::Relaxed};

use rusqlite::Connection;
use rusqlite::ffi;
use rusqlite::types::ValueRef;

use super::cells::Cells;

/// What the table is called in SQL; its columns are `c0`, `c1` and so on.
pub(super) const TABLE: &str = "_millstream_rows";

/// The rows that the table has at the moment.
#[derive(Debug)]
pub(super) struct Feed(Arc<Source>);

/// Shared with SQLite. It is used by one thread at a time; atomics only spare proving that.
#[derive(Debug, Default)]
struct Source {
    /// `CREATE TABLE`, as SQLite asks for it.
    declaration: CString,
    cells: AtomicPtr<Cells>,
    /// The rows of `cells` that the table has, in order.
    rows: AtomicPtr<usize>,
    len: AtomicUsize,
    /// Which of them was read last.
    at: AtomicUsize,
}

impl Feed {
    /// Makes the table known to a connection.
    pub(super) fn attach(conn: &Connection, columns: usize) -> rusqlite::Result<Self> {
        let names: Vec<String> = (0..columns).map(|i| format!("c{i}")).collect();
        let declaration = format!("CREATE TABLE x({})", names.join(","));
        let declaration = CString::new(declaration).map_err(rusqlite::Error::NulError)?;
        let name = CString::new(TABLE).map_err(rusqlite::Error::NulError)?;
        let source = Arc::new(Source { declaration, ..Source::default() });
        let shared = Arc::into_raw(source.clone()).cast_mut().cast::<c_void>();
        // SAFETY: the connection is open; the name is copied; the module lives for ever; `shared` is given
        // back to `drop_source` exactly once, also if this fails.
        let code = unsafe {
            ffi::sqlite3_create_module_v2(
                conn.handle(),
                name.as_ptr(),
                &raw const MODULE.0,
                shared,
                Some(drop_source),
            )
        };
        if code == ffi::SQLITE_OK {
            Ok(Self(source))
        } else {
            Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None))
        }
    }

    /// Runs a statement to its end while the table has these rows of `cells`. Also tells the index in
    /// `rows` of the row that was read last, or their number if the end was reached.
    pub(super) fn with<R>(
        &self,
        cells: &Cells,
        rows: &[usize],
        run: impl FnOnce() -> R,
    ) -> (R, usize) {
        /// Empties the table again, whatever happens.
        struct Emptied<'a>(&'a Source);
        impl Drop for Emptied<'_> {
            fn drop(&mut self) {
                self.0.len.store(0, Relaxed);
                self.0.cells.store(ptr::null_mut(), Relaxed);
                self.0.rows.store(ptr::null_mut(), Relaxed);
            }
        }
        let source = &*self.0;
        source.cells.store(ptr::from_ref(cells).cast_mut(), Relaxed);
        source.rows.store(rows.as_ptr().cast_mut(), Relaxed);
        source.len.store(rows.len(), Relaxed);
        source.at.store(0, Relaxed);
        let emptied = Emptied(source);
        let result = run();
        drop(emptied);
        (result, source.at.load(Relaxed))
    }
}

/// What SQLite is told to call.
struct Module(ffi::sqlite3_module);

static MODULE: LazyLock<Module> = LazyLock::new(|| {
    Module(ffi::sqlite3_module {
        iVersion: 1,
        // No xCreate: the table is there by itself and cannot be made.
        xCreate: None,
        xConnect: Some(connect),
        xBestIndex: Some(best_index),
        xDisconnect: Some(disconnect),
        xDestroy: None,
        xOpen: Some(open),
        xClose: Some(close),
        xFilter: Some(filter),
        xNext: Some(next),
        xEof: Some(eof),
        xColumn: Some(column),
        xRowid: Some(rowid),
        xUpdate: None,
        xBegin: None,
        xSync: None,
        xCommit: None,
        xRollback: None,
        xFindFunction: None,
        xRename: None,
        xSavepoint: None,
        xRelease: None,
        xRollbackTo: None,
        xShadowName: None,
        xIntegrity: None,
    })
});

/// A table as SQLite holds it; its own part has to come first.
#[repr(C)]
struct Table {
    base: ffi::sqlite3_vtab,
    source: *const Source,
}

/// A walk over the rows; SQLite's part has to come first.
#[repr(C)]
struct Cursor {
    base: ffi::sqlite3_vtab_cursor,
    cells: *const Cells,
    rows: *const usize,
    len: usize,
    at: usize,
    source: *const Source,
}

// SAFETY, for all that follows: SQLite calls these as its documentation says, with pointers it was given by
// `attach`, `connect` and `open`, on the thread that runs the statement. The source lives until the
// connection drops the module, after its tables and cursors. A cursor lives no longer than one run of a
// statement, and the rows it points to are borrowed by `Feed::with` for just that.

unsafe extern "C" fn drop_source(shared: *mut c_void) {
    // SAFETY: see above.
    drop(unsafe { Arc::from_raw(shared.cast::<Source>().cast_const()) });
}

unsafe extern "C" fn connect(
    db: *mut ffi::sqlite3,
    shared: *mut c_void,
    _: c_int,
    _: *const *const c_char,
    table: *mut *mut ffi::sqlite3_vtab,
    _: *mut *mut c_char,
) -> c_int {
    // SAFETY: see above.
    unsafe {
        let source = shared.cast::<Source>().cast_const();
        let code = ffi::sqlite3_declare_vtab(db, (*source).declaration.as_ptr());
        if code == ffi::SQLITE_OK {
            let new = Box::new(Table { base: ffi::sqlite3_vtab::default(), source });
            *table = Box::into_raw(new).cast();
        }
        code
    }
}

unsafe extern "C" fn best_index(
    _: *mut ffi::sqlite3_vtab,
    plan: *mut ffi::sqlite3_index_info,
) -> c_int {
    // SAFETY: see above.
    unsafe { (*plan).estimatedCost = 1.0 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn disconnect(table: *mut ffi::sqlite3_vtab) -> c_int {
    // SAFETY: see above.
    drop(unsafe { Box::from_raw(table.cast::<Table>()) });
    ffi::SQLITE_OK
}

unsafe extern "C" fn open(
    table: *mut ffi::sqlite3_vtab,
    cursor: *mut *mut ffi::sqlite3_vtab_cursor,
) -> c_int {
    // SAFETY: see above.
    unsafe {
        let new = Box::new(Cursor {
            base: ffi::sqlite3_vtab_cursor::default(),
            cells: ptr::null(),
            rows: ptr::null(),
            len: 0,
            at: 0,
            source: (*table.cast::<Table>()).source,
        });
        *cursor = Box::into_raw(new).cast();
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn close(cursor: *mut ffi::sqlite3_vtab_cursor) -> c_int {
    // SAFETY: see above.
    drop(unsafe { Box::from_raw(cursor.cast::<Cursor>()) });
    ffi::SQLITE_OK
}

unsafe extern "C" fn filter(
    cursor: *mut ffi::sqlite3_vtab_cursor,
    _: c_int,
    _: *const c_char,
    _: c_int,
    _: *mut *mut ffi::sqlite3_value,
) -> c_int {
    // SAFETY: see above.
    unsafe {
        let cursor = &mut *cursor.cast::<Cursor>();
        let source = &*cursor.source;
        cursor.cells = source.cells.load(Relaxed);
        cursor.rows = source.rows.load(Relaxed);
        cursor.len = source.len.load(Relaxed);
        cursor.at = 0;
        source.at.store(0, Relaxed);
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn next(cursor: *mut ffi::sqlite3_vtab_cursor) -> c_int {
    // SAFETY: see above.
    unsafe {
        let cursor = &mut *cursor.cast::<Cursor>();
        cursor.at += 1;
        (*cursor.source).at.store(cursor.at, Relaxed);
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn eof(cursor: *mut ffi::sqlite3_vtab_cursor) -> c_int {
    // SAFETY: see above.
    let cursor = unsafe { &*cursor.cast::<Cursor>() };
    c_int::from(cursor.at >= cursor.len)
}

unsafe extern "C" fn column(
    cursor: *mut ffi::sqlite3_vtab_cursor,
    context: *mut ffi::sqlite3_context,
    i: c_int,
) -> c_int {
    // SAFETY: see above; SQLite asks for a column only where `eof` has said that there is a row.
    unsafe {
        let cursor = &*cursor.cast::<Cursor>();
        let row = *cursor.rows.add(cursor.at);
        match (*cursor.cells).value(usize::try_from(i).unwrap_or(usize::MAX), row) {
            ValueRef::Null => ffi::sqlite3_result_null(context),
            ValueRef::Integer(value) => ffi::sqlite3_result_int64(context, value),
            ValueRef::Real(value) => ffi::sqlite3_result_double(context, value),
            // An empty slice may point nowhere, which SQLite would take for NULL.
            ValueRef::Text([]) => {
                ffi::sqlite3_result_text(context, c"".as_ptr(), 0, ffi::SQLITE_STATIC());
            }
            ValueRef::Text(text) => ffi::sqlite3_result_text64(
                context,
                text.as_ptr().cast(),
                text.len() as u64,
                ffi::SQLITE_STATIC(),
                UTF8,
            ),
            ValueRef::Blob([]) => ffi::sqlite3_result_zeroblob(context, 0),
            ValueRef::Blob(bytes) => ffi::sqlite3_result_blob64(
                context,
                bytes.as_ptr().cast(),
                bytes.len() as u64,
                ffi::SQLITE_STATIC(),
            ),
        }
    }
    ffi::SQLITE_OK
}

/// `SQLITE_UTF8`, of the type that results take.
const UTF8: u8 = 1;

unsafe extern "C" fn rowid(
    cursor: *mut ffi::sqlite3_vtab_cursor,
    rowid: *mut ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: see above.
    unsafe { *rowid = i64::try_from((*cursor.cast::<Cursor>()).at).unwrap_or(i64::MAX) };
    ffi::SQLITE_OK
}
