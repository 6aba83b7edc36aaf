//! A CSV file as a table.

use std::path::{Path, PathBuf};

use millstream_core::codec::{Codec as _, Column, ColumnType, Columns};
use millstream_core::plugin::{Config, Env};
use millstream_core::record::{Block, Record};
use millstream_core::reference::{Content, TableReader};
use millstream_core::{Error, Result};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{FileTable, Format, all_there, missing, no_columns, whole};
use crate::codec::csv::{Csv, CsvCodec};

/// Reads a CSV file whose first line names the columns. Values are those of the codec `csv`; every row has to fit the columns, else
/// the file is no new version of the table.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CsvTable {
    /// The file.
    path: PathBuf,
    /// What stands between fields: one ASCII character, such as `;` or a tab.
    #[serde(default = "comma")]
    delimiter: char,
    /// What encloses fields that hold delimiters or line breaks: one ASCII character.
    #[serde(default = "quote")]
    quote: char,
    /// Texts that stand for null.
    #[serde(default = "empty")]
    null: Vec<String>,
}

fn comma() -> char {
    ','
}

fn quote() -> char {
    '"'
}

fn empty() -> Vec<String> {
    vec![String::new()]
}

impl Config<dyn TableReader> for CsvTable {
    const NAME: &'static str = "csv";

    fn build(self, env: &Env) -> Result<Box<dyn TableReader>> {
        let Self { path, delimiter, quote, null } = self;
        let codec = CsvCodec::new(Csv { header: true, delimiter, quote, null })?;
        Ok(FileTable::open(env, &path, CsvFormat(codec)))
    }
}

#[derive(Debug)]
struct CsvFormat(CsvCodec);

impl Format for CsvFormat {
    fn read(&self, path: &Path, columns: Option<&Columns>, _: u64) -> Result<Content> {
        let bytes = std::fs::read(path).map_err(|e| missing(path, e))?;
        let names = self.0.header(&bytes).ok_or_else(|| {
            Error::stop("it is empty").fix("its first line has to name the columns")
        })?;
        let block = Block::pack(&[Record::new(bytes)])?;
        let columns = match columns {
            Some(columns) => columns.clone(),
            None => match self.0.infer(std::slice::from_ref(&block))? {
                Some(columns) => columns,
                // There is no row that could tell more.
                None => Columns(
                    names.iter().map(|name| Column::new(name, ColumnType::String)).collect(),
                ),
            },
        };
        if columns.0.is_empty() {
            return Err(no_columns());
        }
        all_there(&columns, &names)?;
        let rows = whole(self.0.decoder(&columns, None)?.decode(&block)?)?;
        Ok(Content { columns, rows })
    }

    fn suits(&self, columns: &Columns) -> Result<()> {
        self.0.decoder(columns, None).map(drop)
    }

    fn describe(&self) -> String {
        self.0.describe()
    }
}
