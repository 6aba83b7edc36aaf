//! What of a query's text reads nothing but reference tables.

use std::collections::BTreeSet;

use datafusion_common::DataFusionError;
use datafusion_sql::sqlparser::ast::{Query, SetExpr, TableFactor};
use datafusion_sql::sqlparser::keywords::Keyword;

use crate::complain::said_at;
use crate::windowed::Known;

/// The names of all reference tables.
pub(crate) fn names(known: &Known) -> BTreeSet<String> {
    let tables = known.tables.iter().filter(|(_, facts)| facts.is_reference);
    tables.map(|(name, _)| name.clone()).collect()
}

/// Whether this is a reference table, or a query over one alone.
pub(crate) fn is_read(table: &TableFactor, names: &BTreeSet<String>) -> bool {
    match table {
        TableFactor::Table { name, args: None, .. } => {
            let name = name.0.last().and_then(|part| part.as_ident());
            name.is_some_and(|name| names.contains(&name.value))
        }
        TableFactor::Derived { lateral: false, subquery, .. } => is_of(subquery, names),
        _ => false,
    }
}

/// Whether a query reads one reference table and nothing else.
fn is_of(query: &Query, names: &BTreeSet<String>) -> bool {
    match query.body.as_ref() {
        SetExpr::Select(select) => match select.from.as_slice() {
            [one] => one.joins.is_empty() && is_read(&one.relation, names),
            _ => false,
        },
        SetExpr::Query(inner) => is_of(inner, names),
        _ => false,
    }
}

/// Adds the names of `WITH` that stand for such queries, and takes away those that hide a table.
pub(crate) fn add_named(query: &Query, names: &mut BTreeSet<String>) {
    for named in query.with.iter().flat_map(|w| &w.cte_tables) {
        let name = &named.alias.name.value;
        if is_of(&named.query, names) {
            names.insert(name.clone());
        } else {
            names.remove(name);
        }
    }
}

/// Complains of a reference table that rows are read from.
pub(crate) fn reference_alone(table: &str) -> DataFusionError {
    said_at(
        format!(
            "`{table}` is a reference table: no rows of it stream by, so a view cannot be made of it alone"
        ),
        &format!(
            "read a source, and join the table to it: `FROM readings r JOIN {table} t ON t.… = r.…`, or ask `WHERE … IN (SELECT … FROM {table})`"
        ),
        &[Keyword::FROM],
    )
}
