//! The table rows go to: made from the schema, or checked against it.

use arrow_schema::Schema;
use millstream_core::{Error, Result};
use rusqlite::{Connection, OptionalExtension as _};

use super::cells::Kind;
use super::feed;
use super::{Mode, Options, Timestamps};

/// The table as rows will meet it.
#[derive(Debug)]
pub(super) struct Table {
    name: String,
    mode: Mode,
    /// Its columns that rows fill, in the order of the schema.
    pub(super) columns: Vec<(String, Kind)>,
    /// Those of them that tell rows apart.
    key: Vec<usize>,
    /// Those of them that may never be null: SQLite would make up a rowid, or find no conflict.
    pub(super) not_null: Vec<usize>,
    /// How moments are stored.
    pub(super) timestamps: Timestamps,
    /// Whether it has triggers, which can leave out rows without a word.
    pub(super) has_triggers: bool,
}

/// `SQLITE_MAX_COLUMN` as SQLite is built unless told otherwise.
const COLUMNS_MAX: usize = 2_000;

/// A column that is there already.
struct Existing {
    name: String,
    declared: String,
    not_null: bool,
    has_default: bool,
    primary: u32,
    generated: bool,
}

impl Table {
    /// The table of these options for rows of this schema; opens nothing.
    pub(super) fn new(options: &Options, schema: &Schema) -> Result<Self> {
        let stop = |what: String| Err(Error::stop(what).at(options.place()));
        let mut columns: Vec<(String, Kind)> = Vec::new();
        for field in schema.fields() {
            if let Some((twin, _)) =
                columns.iter().find(|(n, _)| n.eq_ignore_ascii_case(field.name()))
            {
                return stop(format!(
                    "columns `{twin}` and `{}` are one to SQLite, which ignores case",
                    field.name()
                ));
            }
            columns.push((field.name().clone(), Kind::of(field.data_type(), options.timestamps)));
        }
        if columns.is_empty() {
            return stop("there are no columns to store".into());
        }
        if columns.len() > COLUMNS_MAX {
            let what = format!("rows have {} columns, SQLite takes {COLUMNS_MAX}", columns.len());
            return Err(Error::stop(what)
                .at(options.place())
                .fix("choose the columns to store in a view, or nest them into structs or json"));
        }
        let mut key = Vec::new();
        for name in &options.key {
            match columns.iter().position(|(n, _)| n.eq_ignore_ascii_case(name)) {
                Some(i) => key.push(i),
                None => {
                    let known: Vec<_> = columns.iter().map(|(n, _)| format!("`{n}`")).collect();
                    return Err(Error::stop(format!(
                        "key column `{name}` is not among the rows' columns"
                    ))
                    .at(options.place())
                    .fix(format!("choose from {}", known.join(", "))));
                }
            }
        }
        let Options { table, mode, timestamps, .. } = options;
        let not_null = if *mode == Mode::Upsert { key.clone() } else { Vec::new() };
        let (name, mode, timestamps) = (table.clone(), *mode, *timestamps);
        Ok(Self { name, mode, columns, key, not_null, timestamps, has_triggers: false })
    }

    /// `CREATE TABLE`.
    pub(super) fn create_sql(&self) -> String {
        let mut sql = format!("CREATE TABLE {} (", quoted(&self.name));
        let alone = (self.key.len() == 1).then(|| self.key.first().copied()).flatten();
        for (i, (name, kind)) in self.columns.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            let constraint = match (alone == Some(i), self.key.contains(&i)) {
                (true, _) => " PRIMARY KEY NOT NULL",
                (false, true) => " NOT NULL",
                (false, false) => "",
            };
            append(
                &mut sql,
                format_args!("{comma}{} {}{constraint}", quoted(name), kind.declared()),
            );
        }
        if self.key.len() > 1 {
            append(&mut sql, format_args!(", PRIMARY KEY ({})", self.names(self.key.iter())));
        }
        sql.push(')');
        sql
    }

    /// The statement that inserts the rows that are fed.
    pub(super) fn insert_sql(&self) -> String {
        let fed: Vec<String> = (0..self.columns.len()).map(|i| format!("c{i}")).collect();
        // `OR ABORT`: whatever the table itself says, a conflict is told, never swallowed. `WHERE true`: else
        // `ON` would be taken for that of a join.
        let mut sql = format!(
            "INSERT OR ABORT INTO {} ({}) SELECT {} FROM {} WHERE true",
            quoted(&self.name),
            self.names(0..self.columns.len()),
            fed.join(", "),
            feed::TABLE,
        );
        if self.mode == Mode::Upsert {
            append(&mut sql, format_args!(" ON CONFLICT ({}) DO ", self.names(self.key.iter())));
            let rest = (0..self.columns.len()).filter(|i| !self.key.contains(i));
            let set: Vec<String> = rest
                .filter_map(|i| self.columns.get(i))
                .map(|(name, _)| format!("{0} = excluded.{0}", quoted(name)))
                .collect();
            if set.is_empty() {
                sql.push_str("NOTHING");
            } else {
                append(&mut sql, format_args!("UPDATE SET {}", set.join(", ")));
            }
        }
        sql
    }

    /// Whether each row that is not refused changes one row of the table.
    pub(super) fn changes_by_each_row(&self) -> bool {
        self.mode == Mode::Insert || self.key.len() < self.columns.len()
    }

    fn names(&self, which: impl Iterator<Item = impl std::borrow::Borrow<usize>>) -> String {
        let names = which.filter_map(|i| self.columns.get(*i.borrow()));
        names.map(|(name, _)| quoted(name)).collect::<Vec<_>>().join(", ")
    }

    /// Whether there is a table of that name; refuses anything else of that name.
    pub(super) fn is_there(&self, conn: &Connection, place: &str) -> Result<bool, Trouble> {
        let sql =
            "SELECT type FROM pragma_table_list WHERE schema = 'main' AND name = ?1 COLLATE NOCASE";
        let found: Option<String> = conn.query_row(sql, [&self.name], |r| r.get(0)).optional()?;
        match found.as_deref() {
            None => Ok(false),
            Some("table") => Ok(true),
            Some(other) => Err(Error::stop(format!("`{}` is a {other}, not a table", self.name))
                .at(place)
                .fix("choose another `table`")
                .into()),
        }
    }

    /// Checks the table that is there, and learns which columns may not be null.
    pub(super) fn check(&mut self, conn: &Connection, place: &str) -> Result<(), Trouble> {
        let sql = "SELECT strict FROM pragma_table_list WHERE schema = 'main' AND name = ?1 COLLATE NOCASE";
        let strict: bool = conn.query_row(sql, [&self.name], |r| r.get(0))?;
        let sql = "SELECT count(*) > 0 FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ?1 COLLATE NOCASE";
        self.has_triggers = conn.query_row(sql, [&self.name], |r| r.get(0))?;
        let existing = self.existing(conn)?;
        let primary = existing.iter().filter(|e| e.primary > 0).count();
        let is_rowid = |e: &Existing| {
            primary == 1 && e.primary > 0 && e.declared.eq_ignore_ascii_case("INTEGER")
        };
        let mut wrong = Vec::new();
        for (i, (name, kind)) in self.columns.iter().enumerate() {
            let Some(there) = existing.iter().find(|e| e.name.eq_ignore_ascii_case(name)) else {
                wrong.push(format!("it has no column `{name}`"));
                continue;
            };
            if there.generated {
                wrong.push(format!("its column `{name}` is generated and takes no value"));
            } else if !Affinity::of(&there.declared, strict).keeps(*kind) {
                wrong.push(format!(
                    "its column `{name}` is `{}` and would not keep {} as it is",
                    there.declared,
                    kind.declared()
                ));
            }
            if is_rowid(there) && !self.not_null.contains(&i) {
                self.not_null.push(i);
            }
        }
        for there in &existing {
            let filled = self.columns.iter().any(|(n, _)| n.eq_ignore_ascii_case(&there.name));
            let needed = there.not_null && !there.has_default && !there.generated;
            if !filled && needed && !is_rowid(there) {
                wrong.push(format!(
                    "its column `{}` is NOT NULL without a default, and rows have no such column",
                    there.name
                ));
            }
        }
        if self.mode == Mode::Upsert && !self.has_unique_key(conn, &existing)? {
            let key = self.upsert_key().join("`, `");
            wrong.push(format!(
                "it has no unique index on exactly `{key}`, as `mode: upsert` needs"
            ));
        }
        if wrong.is_empty() {
            return Ok(());
        }
        let what = format!("table `{}` does not fit the rows: {}", self.name, wrong.join("; "));
        Err(Error::stop(what).at(place).fix(format!(
            "choose another `table`, rename or cast columns in the view's SELECT, or alter the table; a new one would be: {}",
            self.create_sql()
        )).into())
    }

    fn existing(&self, conn: &Connection) -> rusqlite::Result<Vec<Existing>> {
        let sql = r#"SELECT name, type, "notnull", dflt_value IS NOT NULL, pk, hidden FROM pragma_table_xinfo(?1)"#;
        let mut statement = conn.prepare(sql)?;
        let rows = statement.query_map([&self.name], |r| {
            let hidden: u32 = r.get(5)?;
            Ok(Existing {
                name: r.get(0)?,
                declared: r.get(1)?,
                not_null: r.get(2)?,
                has_default: r.get(3)?,
                primary: r.get(4)?,
                generated: hidden >= 2,
            })
        })?;
        rows.collect()
    }

    fn upsert_key(&self) -> Vec<String> {
        self.key.iter().filter_map(|i| self.columns.get(*i)).map(|(n, _)| n.clone()).collect()
    }

    fn has_unique_key(&self, conn: &Connection, existing: &[Existing]) -> rusqlite::Result<bool> {
        let lower = |mut names: Vec<String>| {
            names.iter_mut().for_each(|n| n.make_ascii_lowercase());
            names.sort();
            names
        };
        let wanted = lower(self.upsert_key());
        let primary = existing.iter().filter(|e| e.primary > 0).map(|e| e.name.clone()).collect();
        if lower(primary) == wanted {
            return Ok(true);
        }
        let sql = r#"SELECT name FROM pragma_index_list(?1) WHERE "unique" AND NOT partial"#;
        let indexes: Vec<String> =
            conn.prepare(sql)?.query_map([&self.name], |r| r.get(0))?.collect::<Result<_, _>>()?;
        for index in indexes {
            let sql = "SELECT coalesce(name, '') FROM pragma_index_info(?1)";
            let columns: Vec<String> =
                conn.prepare(sql)?.query_map([&index], |r| r.get(0))?.collect::<Result<_, _>>()?;
            if lower(columns) == wanted {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// SQLite's own error, or ours.
#[derive(Debug)]
pub(super) enum Trouble {
    /// To be explained by whoever knows the place.
    Sqlite(rusqlite::Error),
    /// Already in words.
    Told(Error),
}

impl From<rusqlite::Error> for Trouble {
    fn from(e: rusqlite::Error) -> Self {
        Self::Sqlite(e)
    }
}

impl From<Error> for Trouble {
    fn from(e: Error) -> Self {
        Self::Told(e)
    }
}

/// What a column does to values, by the rules of <https://sqlite.org/datatype3.html>, section 3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Affinity {
    Integer,
    Text,
    None,
    Real,
    Numeric,
}

impl Affinity {
    fn of(declared: &str, strict: bool) -> Self {
        let upper = declared.to_ascii_uppercase();
        let has = |part: &str| upper.contains(part);
        if strict && upper == "ANY" {
            Self::None
        } else if has("INT") {
            Self::Integer
        } else if has("CHAR") || has("CLOB") || has("TEXT") {
            Self::Text
        } else if has("BLOB") || upper.is_empty() {
            Self::None
        } else if has("REAL") || has("FLOA") || has("DOUB") {
            Self::Real
        } else {
            Self::Numeric
        }
    }

    /// Whether values of this kind come back as they went in.
    fn keeps(self, kind: Kind) -> bool {
        match kind {
            Kind::Integer => matches!(self, Self::Integer | Self::Numeric | Self::None),
            Kind::Real => matches!(self, Self::Real | Self::Numeric | Self::None),
            Kind::Text => matches!(self, Self::Text | Self::None),
            // `TIMESTAMP` and `DATE`, as many tools declare them, are numeric to SQLite.
            Kind::WordyText => matches!(self, Self::Text | Self::None | Self::Numeric),
            Kind::Blob => true,
        }
    }
}

/// A name as SQL takes it, whatever it contains.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn append(sql: &mut String, part: std::fmt::Arguments<'_>) {
    sql.push_str(&part.to_string());
}
