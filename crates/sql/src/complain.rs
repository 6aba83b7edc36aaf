//! What is wrong with a view's text, and where, in our words.

use std::fmt;

use datafusion_common::{Column, DataFusionError, SchemaError};
use datafusion_sql::sqlparser::keywords::Keyword;
use millstream_core::Error;
use millstream_core::operator::ViewError;

use crate::names;

/// Line and column in a view's SQL, both from 1.
pub(crate) type Place = (usize, usize);

/// One thing that is wrong with one view.
#[derive(Debug)]
pub(crate) struct Complaint {
    pub place: Option<Place>,
    pub error: Error,
}

impl Complaint {
    pub(crate) fn new(place: Option<Place>, error: Error) -> Self {
        Self { place, error }
    }

    pub(crate) fn of(self, view: &str) -> ViewError {
        ViewError { view: view.to_owned(), place: self.place, error: self.error }
    }
}

/// The error at the root of another: without context, diagnostics and its later siblings.
pub(crate) fn root(e: &DataFusionError) -> &DataFusionError {
    match e {
        DataFusionError::Context(_, e) | DataFusionError::Diagnostic(_, e) => root(e),
        DataFusionError::Shared(e) => root(e),
        DataFusionError::Collection(all) => all.first().map_or(e, root),
        e => e,
    }
}

/// An error that is in our words already.
#[derive(Debug)]
pub(crate) struct Said {
    pub what: String,
    fix: String,
    /// The word in the text that it is about, rather than an expression: the first of these that there is.
    pub at: &'static [Keyword],
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Said {}

/// An error in our words, for whatever expression is to blame.
pub(crate) fn said(what: impl Into<String>, fix: &str) -> DataFusionError {
    let said = Said { what: what.into(), fix: fix.to_owned(), at: &[] };
    DataFusionError::External(Box::new(said))
}

/// An error in our words, about a word of the text.
pub(crate) fn said_at(
    what: impl Into<String>,
    fix: &str,
    at: &'static [Keyword],
) -> DataFusionError {
    let said = Said { what: what.into(), fix: fix.to_owned(), at };
    DataFusionError::External(Box::new(said))
}

/// An error that is in our words, if it is.
pub(crate) fn as_said(e: &DataFusionError) -> Option<&Said> {
    match root(e) {
        DataFusionError::External(e) => e.downcast_ref(),
        _ => None,
    }
}

/// The column that is missing, and those there are.
pub(crate) fn missing_column(e: &DataFusionError) -> Option<(&Column, &[Column])> {
    match root(e) {
        DataFusionError::SchemaError(e, _) => match e.as_ref() {
            SchemaError::FieldNotFound { field, valid_fields } => Some((field, valid_fields)),
            _ => None,
        },
        _ => None,
    }
}

/// An error of the planner in our words. `spot` is the text of the expression to blame.
pub(crate) fn translate(e: &DataFusionError, spot: Option<&str>) -> Error {
    if let Some((field, valid)) = missing_column(e) {
        return unknown_column(field, valid);
    }
    if let Some(said) = as_said(e) {
        return Error::stop(said.what.clone()).fix(said.fix.clone());
    }
    if let DataFusionError::SchemaError(e, _) = root(e) {
        return schema_error(e);
    }
    let text = raw(root(e));
    let candidates = candidates(&text);
    let text = clean(&text);
    let subject = spot.map(shorten);
    let error = special(&text, subject.as_deref());
    let error = error.unwrap_or_else(|| {
        Error::stop(match &subject {
            Some(s) => format!("`{s}` cannot be computed: {text}"),
            None => text.clone(),
        })
    });
    match candidates {
        Some(c) if error.how_to_fix().is_none() => error.fix(format!("call it as {c}")),
        _ => error,
    }
}

/// Why a row could not be computed, in our words.
pub(crate) fn reason(e: &DataFusionError) -> String {
    clean(&raw(root(e)))
}

fn unknown_column(field: &Column, valid: &[Column]) -> Error {
    let known = valid.iter().map(|c| c.name.as_str());
    if let Some(table) = &field.relation {
        let mut tables: Vec<&str> =
            valid.iter().filter_map(|c| c.relation.as_ref()).map(|r| r.table()).collect();
        tables.dedup();
        let table = table.table();
        if !tables.contains(&table) {
            return Error::stop(format!("`{table}.{}` names no table in `FROM`", field.name))
                .fix(names::fix(table, tables, NAMES_MAX));
        }
        return Error::stop(format!("there is no column `{}` in `{table}`", field.name))
            .fix(names::fix(&field.name, known, NAMES_MAX));
    }
    Error::stop(format!("there is no column `{}`", field.name)).fix(names::fix(
        &field.name,
        known,
        NAMES_MAX,
    ))
}

/// More columns than this are not listed in an error.
const NAMES_MAX: usize = 40;

fn schema_error(e: &SchemaError) -> Error {
    match e {
        SchemaError::AmbiguousReference { field } => {
            Error::stop(format!("`{}` could be several columns", field.name))
                .fix("write the table before it: `table.column`")
        }
        SchemaError::DuplicateQualifiedField { name, .. }
        | SchemaError::DuplicateUnqualifiedField { name } => {
            Error::stop(format!("two columns are called `{name}`"))
                .fix("give one another name with `AS`")
        }
        SchemaError::FieldNotFound { field, valid_fields } => unknown_column(field, valid_fields),
    }
}

/// What the library says, without its own frames around it.
fn raw(e: &DataFusionError) -> String {
    match e {
        DataFusionError::ArrowError(e, _) => e.to_string(),
        DataFusionError::External(e) => e.to_string(),
        DataFusionError::Plan(t)
        | DataFusionError::Execution(t)
        | DataFusionError::NotImplemented(t)
        | DataFusionError::Internal(t)
        | DataFusionError::Configuration(t) => t.clone(),
        other => other.strip_backtrace(),
    }
}

/// How a function wants to be called, from the library's list.
fn candidates(text: &str) -> Option<String> {
    let (_, list) = text.split_once("Candidate functions:")?;
    let calls = list.lines().map(str::trim).filter(|l| !l.is_empty());
    let calls = calls.filter(|l| !l.contains("UserDefined") && !l.contains("Any"));
    let calls = calls.take(4).map(|l| format!("`{}`", plain_types(l))).collect::<Vec<_>>();
    (!calls.is_empty()).then(|| calls.join(" or "))
}

const FRAMES: &[&str] = &[
    "Error during planning: ",
    "Execution error: ",
    "Internal error: ",
    "This feature is not implemented: ",
    "Arrow error: ",
    "Cast error: ",
    "External error: ",
    "Schema error: ",
    "Parser error: ",
    "Invalid argument error: ",
    "Compute error: ",
    "Arithmetic overflow: ",
    "type_coercion\ncaused by\n",
];
const ENDS: &[&str] =
    &["\nThis issue was likely caused", " No function matches", "\n\tCandidate", "\n\nbacktrace"];

/// One line in lower case, values in backticks, types by the names that the pipeline file has.
fn clean(text: &str) -> String {
    let mut text = text.to_owned();
    for end in ENDS {
        if let Some((before, _)) = text.split_once(end) {
            text = before.to_owned();
        }
    }
    for frame in FRAMES {
        text = text.replace(frame, "");
    }
    for (theirs, ours) in WORDS {
        text = text.replace(theirs, ours);
    }
    let mut text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    while text.ends_with(['.', ' ']) {
        text.pop();
    }
    text = once(&plain_types(&quotes(&text)));
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(a), Some(b)) if a.is_uppercase() && b.is_lowercase() => {
            let rest = text.get(a.len_utf8()..).unwrap_or_default();
            format!("{}{rest}", a.to_lowercase())
        }
        _ => text,
    }
}

/// What the library says twice, once: `` `f`: `f` wants a,`f` wants a `` becomes `` `f` wants a ``.
fn once(text: &str) -> String {
    let mut parts = text.split(",`").collect::<Vec<_>>();
    let start = parts.first().and_then(|p| p.split_once(": `")).map(|(_, p)| p);
    parts.dedup_by(|b, a| Some(*b) == start || b == a);
    let text = parts.join(",`");
    match text.split_once(": ") {
        Some((name, rest)) if name.starts_with('`') && rest.starts_with(name) => rest.to_owned(),
        _ => text,
    }
}

/// `'x'` becomes `` `x` `` where the quotes stand around a word.
fn quotes(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let edge = |c: Option<&char>| c.is_none_or(|c| !c.is_alphanumeric());
    let before = |i: usize| i.checked_sub(1).and_then(|i| chars.get(i));
    let quote = |(i, c): (usize, &char)| {
        let outer = edge(before(i)) || edge(chars.get(i + 1));
        if *c == '\'' && outer { '`' } else { *c }
    };
    chars.iter().enumerate().map(quote).collect()
}

const WORDS: &[(&str, &str)] = &[
    ("Divide by zero error", "division by zero"),
    ("Int64Array overflow", "overflow happened"),
    ("does not support zero arguments", "needs arguments"),
    ("expects 1 arguments", "expects 1 argument"),
    (" user-defined coercion failed with:", ":"),
    (" failed to match any signature, errors:", ":"),
    ("Function '", "'"),
    (" requires String, but received ", " needs a string, not "),
];

const TYPES: &[(&str, &str)] = &[
    ("Timestamp(µs, \"UTC\")", "timestamp"),
    ("Timestamp(ns, \"+00:00\")", "timestamp"),
    ("Timestamp(ns, \"+00\")", "timestamp"),
    ("Timestamp(ns)", "timestamp"),
    ("LargeUtf8", "string"),
    ("Utf8View", "string"),
    ("Utf8", "string"),
    ("Boolean", "bool"),
    ("Float64", "float64"),
    ("Int64", "int64"),
    ("Int32", "int32"),
    ("Date32", "date"),
    ("Struct(", "struct("),
    ("List(", "list("),
    ("Numeric(1)", "number"),
    ("Numeric", "number"),
    ("String", "string"),
];

pub(crate) fn plain_types(text: &str) -> String {
    let mut text = text.to_owned();
    for (theirs, ours) in TYPES {
        text = text.replace(theirs, ours);
    }
    text
}

fn shorten(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    if text.chars().count() <= CHARS_MAX {
        return text.to_owned();
    }
    let start: String = text.chars().take(CHARS_MAX).collect();
    format!("{start}…")
}

/// The commonest errors, said in full.
fn special(text: &str, subject: Option<&str>) -> Option<Error> {
    let cast = "cast one side: `CAST(… AS …)`";
    let here = subject.map_or(String::new(), |s| format!("`{s}` cannot be computed: "));
    if let Some(rest) = text.strip_prefix("cannot coerce arithmetic expression ") {
        let types = rest.trim_end_matches(" to valid types");
        return Some(Error::stop(format!("{here}there is no `{types}`")).fix(cast));
    }
    if let Some((_, of)) = text
        .strip_prefix("cannot create filter with non-boolean predicate ")
        .and_then(|t| t.rsplit_once(" returning "))
    {
        let what = format!("`WHERE` needs a condition, and this is of type {of}");
        return Some(Error::stop(what).fix("compare it with something: `… > 0`"));
    }
    if let Some(types) =
        text.strip_prefix("cannot infer common argument type for comparison operation ")
    {
        return Some(Error::stop(format!("{here}there is no `{types}`")).fix(cast));
    }
    if text.starts_with("too many columns! The subquery should only return one column") {
        let what = "`IN (SELECT …)` compares one column";
        let fix = "of several write `EXISTS (SELECT 1 FROM … AS b WHERE b.x = a.x AND b.y = a.y)`, and `NOT EXISTS` for `NOT IN`";
        return Some(Error::stop(what).fix(fix));
    }
    if let Some(name) = text.strip_prefix("unsupported SQL type ") {
        let meant = match name.to_lowercase().as_str() {
            "datetime" | "datetime2" | "smalldatetime" | "timestamp_ntz" => {
                "did you mean TIMESTAMP? "
            }
            _ => "",
        };
        let fix = "known: BIGINT, INT, DOUBLE, VARCHAR, BOOLEAN, TIMESTAMP, DATE, TIME, INTERVAL, DECIMAL(p, s), BYTEA";
        let error = Error::stop(format!("there is no type `{name}`"));
        return Some(error.fix(format!("{meant}{fix}")));
    }
    if text.starts_with("projections require unique expression names") {
        let what = "two columns have the same name";
        return Some(Error::stop(what).fix("give one another name with `AS`"));
    }
    if text.starts_with("UNION queries have different number of columns") {
        let what = "the two sides of `UNION ALL` have different numbers of columns";
        return Some(Error::stop(what).fix("give both the same columns, in the same order"));
    }
    if let Some((types, column)) = text
        .strip_prefix("incompatible inputs for Union: Previous inputs were of type ")
        .and_then(|t| t.rsplit_once(" on column "))
    {
        let types = types.replace(", but got incompatible type ", " before and ");
        let what = format!("the sides of `UNION ALL` do not fit: {column} is {types} here");
        return Some(Error::stop(what).fix(cast));
    }
    None
}
