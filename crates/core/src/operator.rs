//! What happens to rows between decoding and delivery: views, and the operators they become.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::ArrayRef;
use arrow_schema::{DataType, SchemaRef};
use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::codec::Rows;
use crate::error::{Error, Result};
use crate::ledger::Account;
use crate::lookup::Answers;
use crate::reference::Reference;

/// What an operator gives back: rows, in order, and rows it could not compute.
#[derive(Debug, Default)]
pub struct Output {
    /// Rows that go on.
    pub rows: Vec<Rows>,
    /// Rows that failed alone (a cast, a division by zero), with the reason: set aside.
    pub refused: Vec<(Rows, String)>,
    /// The end of the input, where the rows made of its beginning are as many as should be held at
    /// once: once those have gone on, it is given to the same port again. It does not count as `in` yet.
    pub left: Option<Rows>,
    /// Rows are left because answers of a lookup are not at hand: they are given again once these are.
    pub waits: bool,
    /// Rows that came when all windows they belong to were closed. They count as `late`. Where the view says
    /// [`Late::Stream`] they are as they came, with the columns of [`PlannedView::late`]. For what [`Operator::advance`]
    /// makes no window is closed yet, so it gives none.
    pub late: Vec<Rows>,
    /// Of [`Operator::advance`] and [`Operator::settle`]: more rows are due than should be made at once. Once those have gone on, it is
    /// called again as before.
    pub more: bool,
    /// What became of what came in. The operator counts; the engine adds up and checks.
    pub account: Account,
}

/// Changed state chunks by key; `None` means the chunk is gone.
pub type Chunks = BTreeMap<String, Option<Bytes>>;

/// A pure state machine: state and input in, the same output out, every time.
///
/// No clock, no I/O, no hash order. `now()` in a query is the arrival time passed with the rows.
pub trait Operator: Send {
    /// The columns of its rows.
    fn schema(&self) -> SchemaRef;

    /// Takes rows from one of its inputs. `arrival` is the arrival time of the frame they came in.
    ///
    /// # Errors
    /// `Stop` for what is wrong with the query or the program; a bad row goes to `out.refused`.
    fn process(
        &mut self,
        port: usize,
        input: Rows,
        arrival: Timestamp,
        out: &mut Output,
    ) -> Result<()>;

    /// Event time has come this far: what ended by then is complete. It is called after all rows of a frame with
    /// which it rose, and never falls but after [`Timestamp::END`], when all that feeds the view had ended and then
    /// something came again. `arrival` is the arrival time of
    /// that frame. The engine gives the rows their names: whatever origin they have here is replaced.
    ///
    /// # Errors
    /// As `process`.
    fn advance(
        &mut self,
        watermark: Timestamp,
        arrival: Timestamp,
        out: &mut Output,
    ) -> Result<()> {
        let _ = (watermark, arrival, out);
        Ok(())
    }

    /// A frame ends that brought rows or time to what feeds it: rows that changed with it go out, after all that was due. Called only
    /// of views that say [`PlannedView::settles`]. With `out.more` it is called again.
    ///
    /// # Errors
    /// As `process`.
    fn settle(&mut self, arrival: Timestamp, out: &mut Output) -> Result<()> {
        let _ = (arrival, out);
        Ok(())
    }

    /// It begins amid a stream, without state: rows before `whole_from` have gone by unseen. Windows that begin before
    /// it are not whole, so no row is made of them; what comes for them counts as `expired`. Says from which event time on
    /// the rows that it gives are all there: for whoever reads them.
    ///
    /// # Errors
    /// `Stop`.
    fn begin(&mut self, whole_from: Timestamp) -> Result<Timestamp> {
        Ok(whole_from)
    }

    /// How many pieces of state a snapshot would have to write now. Before there are more than the engine wants to wait
    /// for, it takes one.
    fn changed(&self) -> usize {
        0
    }

    /// How many bytes of state it holds in memory.
    fn state_bytes(&self) -> u64 {
        0
    }

    /// State chunks that changed since the last snapshot.
    ///
    /// # Errors
    /// `Stop`.
    fn snapshot(&mut self, out: &mut Chunks) -> Result<()> {
        let _ = out;
        Ok(())
    }

    /// Goes back to a state made of all chunks of a checkpoint.
    ///
    /// # Errors
    /// `Stop` when the chunks do not fit this operator.
    fn restore(&mut self, chunks: &BTreeMap<String, Bytes>) -> Result<()> {
        let _ = chunks;
        Ok(())
    }
}

/// A table that a view can read: a source with its columns, a lookup, or a reference table.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// All its columns; `None` while they are not pinned, so that no view over it can be planned yet.
    pub schema: Option<SchemaRef>,
    /// The column that has its rows' event time, if there is one.
    pub event_time: Option<String>,
    /// Of a lookup: what its rows are asked of. It has no rows of its own, and can only be joined by its key.
    pub lookup: Option<Arc<dyn Answers>>,
    /// Of a reference table: where its rows are. None of them streams by, so it can only be joined.
    pub reference: Option<Arc<dyn Reference>>,
}

impl Table {
    /// A source with its columns, if they are known.
    #[must_use]
    pub fn source(name: impl Into<String>, schema: Option<SchemaRef>) -> Self {
        Self { name: name.into(), schema, event_time: None, lookup: None, reference: None }
    }
}

/// A view as the file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Its name.
    pub name: String,
    /// Its SQL.
    pub sql: String,
    /// For windows.
    pub windows: Windows,
}

/// What follows the name of a view where its late rows are meant. No name has a dot.
const LATE: &str = ".late";

impl View {
    /// What a sink takes to have the rows that come late for the windows of this view.
    #[must_use]
    pub fn late_rows(view: &str) -> String {
        format!("{view}{LATE}")
    }

    /// The view whose late rows these are, if they are any.
    #[must_use]
    pub fn of_late(rows: &str) -> Option<&str> {
        rows.strip_suffix(LATE)
    }

    /// A view with the default bounds.
    #[must_use]
    pub fn new(name: impl Into<String>, sql: impl Into<String>) -> Self {
        Self { name: name.into(), sql: sql.into(), windows: Windows::default() }
    }
}

/// Bounds of a view's windows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Windows {
    /// For so long after its end a window takes rows that come late, and gives its row anew.
    pub allowed_lateness: Duration,
    /// What is kept of a row, or for a key, goes once the watermark is so far past its event time.
    pub state_ttl: Option<Duration>,
    /// The most bytes of state.
    pub state_bytes: u64,
    /// So many threads share the keys. No row depends on it.
    pub threads: usize,
    /// What becomes of rows that come later than that.
    pub late: Late,
    /// State that is more than `state_bytes` is spilled to files in this folder, which may not be there yet; without
    /// one the view stops at the bound.
    pub spill: Option<Arc<Path>>,
}

/// What becomes of rows that come too late for their windows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Late {
    /// They are set aside, with the reason `late`.
    #[default]
    SetAside,
    /// They go, as they came, to the sinks with `rows: VIEW.late`.
    Stream,
}

impl Default for Windows {
    fn default() -> Self {
        Self {
            allowed_lateness: Duration::ZERO,
            state_ttl: None,
            state_bytes: 1 << 30,
            threads: 1,
            late: Late::default(),
            spill: None,
        }
    }
}

/// A view, ready to run.
pub struct PlannedView {
    /// Its name.
    pub name: String,
    /// What feeds each port: names of sources or views. A view that reads one table twice has two ports.
    pub inputs: Vec<String>,
    /// Its columns.
    pub schema: SchemaRef,
    /// Its operator.
    pub operator: Box<dyn Operator>,
    /// The plan for people: one line a step, indented.
    pub explain: String,
    /// For a view that keeps state: what that is made for. State made for the same text can be gone on with.
    pub state: Option<String>,
    /// For a view that may give a row anew: the columns by which a row takes the place of one before it.
    pub updates: Option<Vec<String>>,
    /// It has rows to give at the end of frames: [`Operator::settle`].
    pub settles: bool,
    /// For a view that says [`Late::Stream`]: the columns of the rows that come late, which are those of what it reads. It has to
    /// be given all of them.
    pub late: Option<SchemaRef>,
}

impl PlannedView {
    /// A view that keeps no state.
    #[must_use]
    pub fn stateless(name: String, inputs: Vec<String>, operator: Box<dyn Operator>) -> Self {
        let (schema, explain) = (operator.schema(), String::new());
        Self {
            name,
            inputs,
            schema,
            operator,
            explain,
            state: None,
            updates: None,
            settles: false,
            late: None,
        }
    }
}

impl fmt::Debug for PlannedView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlannedView")
            .field("name", &self.name)
            .field("inputs", &self.inputs)
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

/// What is wrong with a view, and where in its text.
#[derive(Debug)]
pub struct ViewError {
    /// Which view.
    pub view: String,
    /// Line and column in its SQL, both from 1, if known.
    pub place: Option<(usize, usize)>,
    /// What is wrong and how to mend it.
    pub error: Error,
}

/// All views of a pipeline, planned.
#[derive(Debug, Default)]
pub struct Planned {
    /// In an order in which every view comes after what it reads. Views that wait for a table's
    /// columns are left out.
    pub views: Vec<PlannedView>,
    /// The columns of each table that some view reads (top-level names, in the table's order).
    pub used: BTreeMap<String, BTreeSet<String>>,
    /// Views left out, with the tables each waits for.
    pub waiting: BTreeMap<String, BTreeSet<String>>,
    /// Everything that is wrong, in all views.
    pub errors: Vec<ViewError>,
}

/// Turns views into operators.
pub trait Planner: Send + Sync {
    /// Plans all views over all tables. Opens nothing, and never fails as a whole: every view's errors are listed.
    fn plan(&self, tables: &[Table], views: &[View], functions: &[Arc<dyn Function>]) -> Planned;

    /// What a source or view is read for by sinks that take its rows as they are needs no planning;
    /// this gives the names of tables and views a view reads, without needing any columns.
    ///
    /// # Errors
    /// The text cannot be parsed.
    fn reads(&self, view: &View) -> Result<BTreeSet<String>, ViewError>;
}

/// A scalar SQL function of one's own, over whole Arrow columns.
pub trait Function: Send + Sync + fmt::Debug {
    /// The name it is called by, in lower case.
    fn name(&self) -> &str;

    /// The types of its arguments; the planner casts to them where SQL allows.
    fn arguments(&self) -> Vec<DataType>;

    /// The type of its result.
    fn result(&self) -> DataType;

    /// Computes one result per row. Must be pure: the same arguments, the same result.
    ///
    /// # Errors
    /// Text for people; the row is then set aside.
    fn call(&self, arguments: &[ArrayRef], rows: usize) -> Result<ArrayRef>;
}
