//! Planning a view, and finding everything that is wrong with it when that fails.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use datafusion_common::config::ConfigOptions;
use datafusion_common::{Column, DataFusionError, Result, plan_err};
use datafusion_sql::sqlparser::ast::{Expr, Query};
use datafusion_sql::sqlparser::keywords::Keyword;
use millstream_core::Error;
use millstream_core::operator::Windows;

use crate::catalog::{Catalog, Functions};
use crate::complain::{Complaint, as_said, missing_column, root, translate};
use crate::lookup::Lookups;
use crate::lower::{Lowered, lower};
use crate::parse::Tokens;
use crate::plan::plan;
use crate::quiet;
use crate::rewrite::{Spot, blame, expressions, replace, without};
use crate::windowed::{Known, UNREAD};

/// No more errors of one view are looked for.
const ERRORS_MAX: usize = 20;
/// No more names of one view are mended.
const MENDED_MAX: usize = 2000;
/// Beyond so many expressions, errors are not traced to one: each try plans the query anew.
const EXPRESSIONS_MAX: usize = 400;

/// What a query is planned over.
pub(crate) struct Search<'a> {
    pub tables: &'a BTreeMap<String, SchemaRef>,
    pub lookups: &'a Lookups,
    pub functions: &'a Functions,
    pub options: &'a Arc<ConfigOptions>,
    pub tokens: &'a Tokens,
    pub known: &'a Arc<Known>,
    pub windows: &'a Windows,
}

impl Search<'_> {
    /// What a query becomes, or all that is wrong with it.
    ///
    /// The planner stops at the first error, so what is to blame is made `NULL` and the rest is
    /// planned again. A column that differs from the one written only in case is mended.
    pub(crate) fn lowered(&self, query: &Query) -> Result<Lowered, Vec<Complaint>> {
        let mut query = query.clone();
        let mut complaints = Vec::new();
        for _ in 0..MENDED_MAX {
            let e = match self.attempt(&query) {
                Ok(lowered) if complaints.is_empty() => return Ok(lowered),
                Ok(_) => break,
                Err(e) => e,
            };
            if let Some(mended) = mended(&query, &e) {
                query = mended;
                continue;
            }
            if let Some(column) = ungrouped(&e) {
                let what = format!("`{column}` is neither in `GROUP BY` nor in an aggregate");
                let fix = format!("add it to `GROUP BY`, or write `first_value({column})`");
                let error = Error::stop(what).fix(fix);
                complaints.push(Complaint::new(self.tokens.name(&column), error));
                break;
            }
            let spot = self.blame(&query, &e);
            let place = spot.as_ref().and_then(|s| s.place);
            let place = place.or_else(|| match missing_column(&e) {
                Some((column, _)) => self.tokens.name(&column.name),
                None if as_said(&e).is_some() => {
                    let words = as_said(&e).map(|s| s.at).unwrap_or_default();
                    words.iter().find_map(|at| self.tokens.from(*at, None))
                }
                None if root(&e).to_string().contains("UNION") => {
                    self.tokens.from(Keyword::UNION, None)
                }
                None => None,
            });
            let error = translate(&e, spot.as_ref().map(|s| s.text.as_str()));
            complaints.push(Complaint::new(place, error));
            match spot {
                Some(spot) if complaints.len() < ERRORS_MAX => {
                    // A name can be missing beside others; what else is wrong spoils the whole.
                    let missing = missing_column(&e).is_some();
                    query = without(&query, if missing { spot.number } else { spot.whole });
                }
                _ => break,
            }
        }
        complaints.sort_by_key(|c| c.place);
        Err(complaints)
    }

    fn attempt(&self, query: &Query) -> Result<Lowered> {
        // Constants are computed while planning, by functions that may panic.
        let attempt = quiet::catch(|| {
            let functions = self.functions.clone();
            let catalog =
                Catalog::new(self.tables, functions, self.known.clone(), self.options.clone());
            let plan = plan(query, &catalog, self.lookups, self.known)?;
            lower(&plan, self.lookups, self.known, self.windows, self.options)
        });
        attempt.unwrap_or_else(|panic| plan_err!("a function panicked: {panic}"))
    }

    fn blame(&self, query: &Query, e: &DataFusionError) -> Option<Spot> {
        if let Some((column, _)) = missing_column(e) {
            return spots(query, column).into_iter().next();
        }
        if as_said(e).is_some_and(|s| !s.at.is_empty()) {
            return None;
        }
        if expressions(query).len() > EXPRESSIONS_MAX {
            return None;
        }
        let text = root(e).to_string();
        blame(query, |q| match self.attempt(q) {
            Ok(_) => false,
            // The table that a window is over is not to blame for the window.
            Err(e) => as_said(&e).is_some_and(|s| s.what == UNREAD) || root(&e).to_string() == text,
        })
    }
}

/// The column that stands beside groups without being the same for all rows of one.
fn ungrouped(e: &DataFusionError) -> Option<String> {
    let text = root(e).to_string();
    let (_, rest) = text.split_once(", column \"").or_else(|| text.split_once("Column \""))?;
    let (column, rest) = rest.split_once('"')?;
    let column = column.rsplit('.').next()?;
    rest.contains("must appear in the GROUP BY clause").then(|| column.to_owned())
}

/// Where a column is named.
fn spots(query: &Query, column: &Column) -> Vec<Spot> {
    let name = match &column.relation {
        Some(r) => format!("{}.{}", r.table(), column.name),
        None => column.name.clone(),
    };
    let plain = |text: &str| text.replace(['"', '`'], "");
    let all = expressions(query).into_iter().map(|(_, s)| s);
    all.filter(|s| s.place.is_some() && plain(&s.text) == name).collect()
}

/// The query with a column's name in the case that the column has, if only one fits.
fn mended(query: &Query, e: &DataFusionError) -> Option<Query> {
    let (column, valid) = missing_column(e)?;
    let same = |c: &&Column| {
        c.name.to_lowercase() == column.name.to_lowercase()
            && column.relation.as_ref().is_none_or(|r| c.relation.as_ref() == Some(r))
    };
    let mut fits = valid.iter().filter(same);
    let (Some(meant), None) = (fits.next(), fits.next()) else { return None };
    let spot = spots(query, column).into_iter().next()?;
    Some(replace(query, spot.number, |e| match e {
        Expr::Identifier(i) => i.value.clone_from(&meant.name),
        Expr::CompoundIdentifier(parts) => {
            if let Some(last) = parts.last_mut() {
                last.value.clone_from(&meant.name);
            }
        }
        _ => {}
    }))
}
