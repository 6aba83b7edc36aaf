//! Rows that come too late for their windows: as they came, whatever was done with them on the way to the window.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions, UInt64Array};
use arrow_schema::{Field, Schema, SchemaRef};
use datafusion_sql::sqlparser::keywords::Keyword;
use millstream_core::codec::Rows;
use millstream_core::operator::{Late, View};
use millstream_core::{Error, Result};

use crate::chain::{Chain, Feed};
use crate::complain::Complaint;
use crate::grown::Grown;
use crate::parse::Tokens;
use crate::step::Step;

/// The columns of rows that come late, where the view says that sinks may take these.
pub(crate) fn columns(
    view: &View,
    chains: &[Chain],
    grown: &[Grown],
    tables: &BTreeMap<String, SchemaRef>,
    tokens: &Tokens,
) -> Result<Option<SchemaRef>, Complaint> {
    if view.windows.late == Late::SetAside {
        return Ok(None);
    }
    if grown.is_empty() {
        let what = "the view says `late: stream`, and has no window that rows could be late for";
        let error = Error::stop(what).fix("leave it out, or give it to the view with the windows");
        return Err(Complaint::new(None, error));
    }
    let ports = chains.iter().filter(|c| c.to.is_some()).filter_map(|c| match &c.from {
        Feed::Table(name) => Some((c, name.as_str())),
        Feed::Node(_) => None,
    });
    let mut all: Option<(&str, SchemaRef)> = None;
    for (chain, name) in ports {
        if let Some(step) = chain.steps.iter().find(|s| !s.makes_no_rows()) {
            return Err(several_of_one(step, tokens));
        }
        let Some(columns) = tables.get(name) else { continue };
        all = Some(match all {
            None => (name, columns.clone()),
            Some((first, before)) => match joined(&before, columns) {
                Some(joined) => (first, joined),
                None => return Err(differ(first, name)),
            },
        });
    }
    Ok(all.map(|(_, columns)| columns))
}

/// The columns of both, if these are the same but for whether they may be null.
fn joined(one: &SchemaRef, other: &SchemaRef) -> Option<SchemaRef> {
    if one == other {
        return Some(one.clone());
    }
    let both = one.fields().iter().zip(other.fields());
    let fields = both.map(|(a, b)| {
        let same = a.name() == b.name() && a.data_type() == b.data_type();
        let null = a.is_nullable() || b.is_nullable();
        same.then(|| Field::new(a.name(), a.data_type().clone(), null))
    });
    let fields = fields.collect::<Option<Vec<_>>>()?;
    (one.fields().len() == other.fields().len()).then(|| Arc::new(Schema::new(fields)))
}

fn several_of_one(step: &Step, tokens: &Tokens) -> Complaint {
    let (word, place) = match step {
        Step::Unnest(_) => ("`UNNEST`", tokens.from(Keyword::UNNEST, None)),
        _ => ("a window without `GROUP BY`", None),
    };
    let what = format!(
        "rows that come late are given as they came, and {word} before the window makes several of one, of which some may be late and others not"
    );
    let fix = format!("let a view of its own do {word}, and this one read that");
    Complaint::new(place, Error::stop(what).fix(fix))
}

fn differ(one: &str, other: &str) -> Complaint {
    let what = format!(
        "rows that come late are given as they came, and those of `{one}` and `{other}` have different columns"
    );
    let fix = "make views of them that have the same columns in the same order, and read those";
    Complaint::new(None, Error::stop(what).fix(fix))
}

/// Rows as they came, to find again those that others were made of, each of one.
pub(crate) struct Came<'a> {
    rows: &'a Rows,
    numbered: bool,
}

impl<'a> Came<'a> {
    /// `numbered` says that what was made of these has their places for ordinals, as several of these have one name.
    pub(crate) fn new(rows: &'a Rows, numbered: bool) -> Self {
        Self { rows, numbered }
    }

    /// The rows that these were made of.
    pub(crate) fn behind(&self, made: &Rows) -> Option<Rows> {
        let places = (0..made.len()).map(|i| self.place(made.origin.ordinal(i)));
        let places = places.collect::<Option<Vec<usize>>>()?;
        let index = UInt64Array::from_iter_values(places.iter().map(|i| *i as u64));
        let batch = arrow_select::take::take_record_batch(&self.rows.batch, &index).ok()?;
        Some(Rows { batch, origin: self.rows.origin.take(places.into_iter()) })
    }

    fn place(&self, ordinal: u32) -> Option<usize> {
        let (origin, len) = (&self.rows.origin, self.rows.len());
        if self.numbered {
            return usize::try_from(ordinal).ok().filter(|place| *place < len);
        }
        // Names rise from row to row.
        let (mut from, mut upto) = (0, len);
        while from < upto {
            let half = from + (upto - from) / 2;
            match origin.ordinal(half).cmp(&ordinal) {
                std::cmp::Ordering::Less => from = half + 1,
                std::cmp::Ordering::Equal => return Some(half),
                std::cmp::Ordering::Greater => upto = half,
            }
        }
        None
    }
}

/// Rows for those that take what came late, with the columns that these were told of.
pub(crate) fn given(rows: Rows, columns: &SchemaRef) -> Result<Rows> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    let cells = rows.batch.columns().to_vec();
    let batch = RecordBatch::try_new_with_options(columns.clone(), cells, &options);
    let batch = batch.map_err(|e| {
        Error::stop("rows that came late have other columns than were planned for").because(e)
    })?;
    Ok(Rows { batch, origin: rows.origin })
}
