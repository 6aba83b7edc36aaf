//! Rows as a spool keeps them, and spools as files.

use std::io::{self, Write};

use arrow_array::{Array, RecordBatch};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::basic;
use parquet::file::properties::WriterProperties;

use super::disk::Out;
use super::frame::{Frames, ROWS};
use super::{Compression, Format};
use crate::render::{Cell, JsonRows, Style, cell};

/// Bytes a Parquet row group may have in memory while it is written.
const ROW_GROUP_BYTES: usize = 32 * 1024 * 1024;

/// Appends rows in the form that the spool keeps: text, or an Arrow IPC stream.
pub(super) fn encode(format: Format, batch: &RecordBatch, out: &mut Vec<u8>) -> io::Result<()> {
    match format {
        Format::Ndjson => {
            let json = JsonRows::new(batch);
            for row in 0..batch.num_rows() {
                json.write(row, out);
                out.push(b'\n');
            }
        }
        Format::Csv => csv_rows(batch, out),
        Format::Parquet => {
            let mut stream =
                StreamWriter::try_new(out, &batch.schema()).map_err(io::Error::other)?;
            stream.write(batch).and_then(|()| stream.finish()).map_err(io::Error::other)?;
        }
    }
    Ok(())
}

/// Whether several encoded batches can stand behind each other in one frame.
pub(super) fn can_be_joined(format: Format) -> bool {
    match format {
        Format::Ndjson | Format::Csv => true,
        Format::Parquet => false,
    }
}

/// Writes the rows of a spool, up to `end`, as a whole file.
pub(super) fn convert(
    format: Format,
    compression: Compression,
    columns: &[(String, String)],
    frames: &mut Frames,
    end: u64,
    out: &mut dyn Out,
) -> io::Result<()> {
    if format == Format::Parquet {
        return parquet(compression, frames, end, out);
    }
    if format == Format::Csv {
        let mut header = Vec::new();
        for (i, (name, _)) in columns.iter().enumerate() {
            if i > 0 {
                header.push(b',');
            }
            push_field(&mut header, name.as_bytes());
        }
        header.push(b'\n');
        out.append(&header)?;
    }
    while let Some(rows) = next_rows(frames, end)? {
        out.append(&rows)?;
    }
    Ok(())
}

fn next_rows(frames: &mut Frames, end: u64) -> io::Result<Option<Vec<u8>>> {
    while frames.at < end {
        match frames.next()? {
            Some((ROWS, rows)) => return Ok(Some(rows)),
            Some(_) => {}
            None => return Err(io::Error::other("the spool has changed since it was flushed")),
        }
    }
    Ok(None)
}

/// Whether rows of this schema can be Parquet.
pub(super) fn check_parquet(schema: &SchemaRef) -> io::Result<()> {
    ArrowWriter::try_new(Vec::new(), schema.clone(), None).map(drop).map_err(io::Error::other)
}

fn parquet(
    compression: Compression,
    frames: &mut Frames,
    end: u64,
    out: &mut dyn Out,
) -> io::Result<()> {
    let compression = match compression {
        Compression::None => basic::Compression::UNCOMPRESSED,
        Compression::Snappy => basic::Compression::SNAPPY,
        Compression::Zstd => basic::Compression::ZSTD(basic::ZstdLevel::default()),
    };
    let options = WriterProperties::builder()
        .set_compression(compression)
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .build();
    let mut out = Some(io::BufWriter::with_capacity(256 * 1024, Appending(out)));
    let mut writer = None;
    while let Some(rows) = next_rows(frames, end)? {
        for batch in StreamReader::try_new(rows.as_slice(), None).map_err(io::Error::other)? {
            let batch = batch.map_err(io::Error::other)?;
            if let Some(out) = out.take() {
                let new = ArrowWriter::try_new(out, batch.schema(), Some(options.clone()));
                writer = Some(new.map_err(io::Error::other)?);
            }
            if let Some(writer) = &mut writer {
                writer.write(&batch).map_err(io::Error::other)?;
            }
        }
    }
    let Some(writer) = writer else { return Ok(()) };
    writer.into_inner().map_err(io::Error::other)?.flush()
}

struct Appending<'a>(&'a mut dyn Out);

impl Write for Appending<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.append(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn csv_rows(batch: &RecordBatch, out: &mut Vec<u8>) {
    let fields = batch.schema_ref().fields().iter();
    let columns: Vec<(&dyn Array, Cell<'_>)> = fields
        .zip(batch.columns())
        .map(|(field, array)| (array.as_ref(), cell(field, array.as_ref(), Style::Text)))
        .collect();
    let alone = columns.len() == 1;
    let mut text = Vec::new();
    for row in 0..batch.num_rows() {
        for (i, (array, cell)) in columns.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            // Null is nothing and the empty text is `""`; but a line of nothing at all is no row to
            // most readers, so there null is `""` too.
            if !array.is_null(row) || alone {
                text.clear();
                cell(row, &mut text);
                push_field(out, &text);
            }
        }
        out.push(b'\n');
    }
}

/// A CSV field as RFC 4180 has it.
fn push_field(out: &mut Vec<u8>, text: &[u8]) {
    let plain = !text.is_empty()
        && !text.iter().any(|b| matches!(b, b',' | b'"' | b'\n' | b'\r'))
        && text.first() != Some(&b' ')
        && text.last() != Some(&b' ');
    if plain {
        return out.extend_from_slice(text);
    }
    out.push(b'"');
    for byte in text {
        if *byte == b'"' {
            out.push(b'"');
        }
        out.push(*byte);
    }
    out.push(b'"');
}
