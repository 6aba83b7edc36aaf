//! What a query gives in an SQLite database, as a table.

use std::path::{Path, PathBuf};
use std::time::Duration;

use millstream_core::codec::{Codec as _, ColumnType, Columns};
use millstream_core::plugin::{Config, Env};
use millstream_core::record::{Block, Form, Record};
use millstream_core::reference::{Content, TableReader};
use millstream_core::{Error, Result};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{FileTable, Format, all_there, name_in_file, no_columns, too_large, whole};
use crate::codec::json::JsonCodec;

/// How long another program may hold the database.
const BUSY: Duration = Duration::from_secs(5);

/// Reads what a query gives in an SQLite database, which is opened for reading only. It is asked again when the database, or its
/// write-ahead log, has changed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SqliteTable {
    /// The database file.
    path: PathBuf,
    /// The query, such as `SELECT id, name FROM devices`. With `ORDER BY` several rows that match stand in its order.
    query: String,
}

impl Config<dyn TableReader> for SqliteTable {
    const NAME: &'static str = "sqlite";

    fn build(self, env: &Env) -> Result<Box<dyn TableReader>> {
        let codec = JsonCodec::plain();
        Ok(FileTable::open(env, &self.path, SqliteFormat { query: self.query, codec }))
    }
}

#[derive(Debug)]
struct SqliteFormat {
    query: String,
    /// What makes columns of values: the same as of those of a source.
    codec: JsonCodec,
}

impl Format for SqliteFormat {
    fn read(&self, path: &Path, columns: Option<&Columns>, bytes_max: u64) -> Result<Content> {
        let bad = |e: rusqlite::Error| Error::retry(format!("the query cannot be run: {e}"));
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(path, flags).map_err(bad)?;
        conn.busy_timeout(BUSY).map_err(bad)?;
        let mut query = conn.prepare(&self.query).map_err(bad)?;
        if !query.readonly() {
            return Err(Error::stop("the query would change the database").fix("write a `SELECT`"));
        }
        let names: Vec<String> = query.column_names().map(str::to_owned).collect();
        if let Some(columns) = columns {
            all_there(columns, &names)?;
        }
        let is_bool = |name: &String| {
            let mut columns = columns.iter().flat_map(|c| &c.0);
            columns
                .any(|c| c.r#type == ColumnType::Bool && name_in_file(c).is_ok_and(|n| n == *name))
        };
        let bools: Vec<bool> = names.iter().map(is_bool).collect();
        let (mut records, mut bytes) = (Vec::new(), 0_u64);
        let mut rows = query.query([]).map_err(bad)?;
        while let Some(row) = rows.next().map_err(bad)? {
            let mut object = Map::new();
            for (i, (name, is_bool)) in names.iter().zip(&bools).enumerate() {
                let value = row.get_ref(i).map_err(bad)?;
                object.insert(name.clone(), json(value, *is_bool, name, records.len())?);
            }
            let text = Value::Object(object).to_string();
            bytes += text.len() as u64;
            if bytes > bytes_max.saturating_mul(4) {
                return Err(too_large(path, bytes, bytes_max));
            }
            records.push(Record::new(text));
        }
        let block = Block::pack_as(Form::Rows, &records)?;
        let columns = match columns {
            Some(columns) => columns.clone(),
            None => self.codec.infer(std::slice::from_ref(&block))?.ok_or_else(no_columns)?,
        };
        let rows = whole(self.codec.decoder(&columns, None)?.decode(&block)?)?;
        Ok(Content { columns, rows })
    }

    fn suits(&self, columns: &Columns) -> Result<()> {
        for column in &columns.0 {
            name_in_file(column)?;
        }
        self.codec.decoder(columns, None).map(drop)
    }

    fn describe(&self) -> String {
        format!("sqlite, {}", self.query.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    fn beside(&self) -> &'static [&'static str] {
        &["-wal"]
    }
}

fn json(value: ValueRef<'_>, is_bool: bool, name: &str, row: usize) -> Result<Value> {
    let bad = |what: &str| {
        Err(Error::stop(format!("row {}: column `{name}` is {what}", row + 1))
            .fix("leave the column out, or cast it in the query"))
    };
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number @ (0 | 1)) if is_bool => Value::Bool(number == 1),
        ValueRef::Integer(number) => number.into(),
        ValueRef::Real(number) => match serde_json::Number::from_f64(number) {
            Some(number) => Value::Number(number),
            None => return bad("no finite number"),
        },
        ValueRef::Text(text) => match std::str::from_utf8(text) {
            Ok(text) => text.into(),
            Err(_) => return bad("text that is not UTF-8"),
        },
        ValueRef::Blob(_) => return bad("a blob"),
    })
}
