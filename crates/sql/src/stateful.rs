//! What keeps state in a view: rows in, rows out at once or when their time has come.

use arrow_array::RecordBatch;
use bytes::Bytes;
use datafusion_common::Result;
use millstream_core::clock::Timestamp;
use millstream_core::codec::Rows;
use millstream_core::operator::Chunks;

/// What became of rows that were taken.
#[derive(Default)]
pub(crate) struct Taken {
    /// So many are in the state now, or in rows that were made of them.
    pub absorbed: u64,
    /// They came too late to have all that belongs to them.
    pub late: Vec<Rows>,
    /// Rows that cannot be computed, or that a sum cannot take, and why.
    pub refused: Vec<(Rows, String)>,
}

/// A part of a view with state: an aggregation, a join.
///
/// What it gives depends on the rows, the watermarks before them, and the ends of frames alone: not on how rows were cut into batches,
/// and not on snapshots.
pub(crate) trait Stateful: Send {
    /// Takes rows in that come by one of its inputs. It may be called several times for the same input before `made` is asked.
    ///
    /// # Errors
    /// The bound of state would be passed; then none of the rows is taken.
    fn take(&mut self, input: usize, rows: &Rows) -> Result<Taken>;

    /// The next rows made of those that were taken, a few thousand at once, until there are none. Their origin is that of
    /// the rows which had them made.
    ///
    /// # Errors
    /// As `due`.
    fn made(&mut self) -> Result<Option<Rows>> {
        Ok(None)
    }

    /// Whether each row may have it make any number of others: then it is given a few hundred at once, so that there is an end to what
    /// is made before the engine says that it is too much.
    fn multiplies(&self) -> bool {
        false
    }

    /// The next rows that are due at this watermark, until there are none.
    ///
    /// # Errors
    /// They cannot be computed.
    fn due(&mut self, watermark: Timestamp) -> Result<Option<RecordBatch>>;

    /// The next rows that changed with the frame, at its end and after all that was due, until there are none.
    ///
    /// # Errors
    /// As `due`.
    fn settled(&mut self) -> Result<Option<RecordBatch>> {
        Ok(None)
    }

    /// It begins amid a stream, of which rows before this have gone by unseen. Says from which event time on what it gives is all
    /// there.
    fn begin(&mut self, whole_from: Timestamp) -> Timestamp;

    /// How many pieces of state a snapshot would have to write.
    fn changed(&self) -> usize;

    /// How many bytes of state it holds in memory.
    fn bytes(&self) -> u64;

    /// Chunks that changed since the last time, under names that begin with `prefix`. All that is made, due and settled has been
    /// given before.
    ///
    /// # Errors
    /// State that lies in a file cannot be read.
    fn snapshot(&mut self, prefix: &str, out: &mut Chunks) -> millstream_core::Result<()>;

    /// Goes back to the state that these chunks have, by their names behind the prefix.
    ///
    /// # Errors
    /// They do not fit.
    fn restore(&mut self, chunks: &[(&str, &Bytes)]) -> millstream_core::Result<()>;
}
