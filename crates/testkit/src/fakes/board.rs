//! A reference table in memory, and a view that joins it.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Int64Array, RecordBatch};
use async_trait::async_trait;
use millstream_core::clock::Timestamp;
use millstream_core::codec::{Columns, Rows};
use millstream_core::operator::{Operator, Output};
use millstream_core::reference::{Content, Reference, TableReader};
use millstream_core::{Error, Result};
use parking_lot::Mutex;

use super::{Lines, World};

/// What stands outside: one number, which outlives the process; `None` while it cannot be read.
#[derive(Clone, Debug, Default)]
pub struct Board(Arc<Mutex<(Option<i64>, u64)>>);

impl Board {
    /// A board with this number.
    #[must_use]
    pub fn of(number: i64) -> Self {
        let board = Self::default();
        board.set(Some(number));
        board
    }

    /// Writes another number there, or something that is none.
    pub fn set(&self, number: Option<i64>) {
        let mut stands = self.0.lock();
        stands.0 = number;
        stands.1 += 1;
    }
}

/// Reads a board: a table of one row, with the column `v`.
#[derive(Debug)]
pub struct BoardReader {
    act: String,
    board: Board,
    world: World,
    /// The change that was read last.
    seen: u64,
}

impl BoardReader {
    /// A reader of this name of a board.
    #[must_use]
    pub fn new(name: &str, board: &Board, world: &World) -> Self {
        let (act, board) = (format!("table.{name}.read"), board.clone());
        Self { act, board, world: world.clone(), seen: 0 }
    }
}

#[async_trait]
impl TableReader for BoardReader {
    async fn read(&mut self, _: Option<&Columns>, _: u64) -> Result<Option<Content>> {
        self.world.begin(&self.act).await?;
        let (number, change) = *self.board.0.lock();
        if std::mem::replace(&mut self.seen, change) == change {
            return Ok(None);
        }
        let Some(number) = number else { return Err(Error::stop("it is no number")) };
        let columns = Lines::columns();
        let column = Arc::new(Int64Array::from(vec![number]));
        let rows = RecordBatch::try_new(columns.schema(), vec![column])
            .map_err(|e| Error::stop("the columns are not those of the testkit").because(e))?;
        Ok(Some(Content { columns, rows }))
    }

    fn suits(&self, _: &Columns) -> Result<()> {
        Ok(())
    }

    fn describe(&self) -> String {
        "reads a board".into()
    }
}

/// `with T`: each value, times 1000, plus the number of the table `T`.
pub(super) struct Joiner(pub(super) Arc<dyn Reference>);

impl Operator for Joiner {
    fn schema(&self) -> arrow_schema::SchemaRef {
        Lines::columns().schema()
    }

    fn process(&mut self, _: usize, input: Rows, _: Timestamp, out: &mut Output) -> Result<()> {
        let Some(version) = self.0.version() else {
            return Err(Error::stop("rows came before the table had a version"));
        };
        let number = version.rows.column(0).as_primitive::<Int64Type>().value(0);
        let values = input.batch.column(0).as_primitive::<Int64Type>();
        let made: Int64Array = values.unary(|value| value * 1000 + number);
        out.account.r#in += made.len() as u64;
        out.account.out += made.len() as u64;
        let batch = RecordBatch::try_new(self.schema(), vec![Arc::new(made)])
            .map_err(|e| Error::stop("rows of another shape").because(e))?;
        out.rows.push(Rows { batch, origin: input.origin });
        Ok(())
    }
}
