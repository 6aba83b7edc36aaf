//! Joins as of event time that cannot be, as far as their text tells.

use datafusion_sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, Join, JoinConstraint, JoinOperator, Spanned, TableFactor,
};
use datafusion_sql::sqlparser::keywords::Keyword;
use millstream_core::Error;

use super::MARK;
use super::spell::FORM;
use crate::complain::Complaint;
use crate::lookup::{self, Lookups};
use crate::parse::{Tokens, place};

/// Whether it is the mark of such a join.
pub(crate) fn is_mark(f: &Function) -> bool {
    match f.name.0.as_slice() {
        [only] => only.as_ident().is_some_and(|i| i.value == MARK),
        _ => false,
    }
}

/// Whether this is a join as of event time.
pub(crate) fn is_marked(join: &Join) -> bool {
    condition(join).is_some_and(has_mark)
}

fn condition(join: &Join) -> Option<&Expr> {
    match &join.join_operator {
        JoinOperator::Join(JoinConstraint::On(on))
        | JoinOperator::Inner(JoinConstraint::On(on))
        | JoinOperator::Left(JoinConstraint::On(on))
        | JoinOperator::LeftOuter(JoinConstraint::On(on)) => Some(on),
        _ => None,
    }
}

/// Whether the first of what is bound together is the mark.
fn has_mark(on: &Expr) -> bool {
    match on {
        Expr::BinaryOp { left, .. } => has_mark(left),
        Expr::Function(f) => is_mark(f),
        _ => false,
    }
}

/// Complains of a join as of event time that cannot be.
pub(crate) fn refuse_join(join: &Join, lookups: &Lookups, tokens: &Tokens) -> Option<Complaint> {
    let at = place(join.relation.span());
    let at = tokens.before(Keyword::JOIN, at).or(at);
    if let TableFactor::Table { name, .. } = &join.relation
        && lookup::named(&join.relation, lookups).is_some()
    {
        let what = format!("`{name}` is a lookup: what it answers has no event time");
        let fix = format!("write `… LEFT JOIN {name} ON {name}.key = …`");
        return Some(Complaint::new(at, Error::stop(what).fix(fix)));
    }
    let lateral = match &join.relation {
        TableFactor::UNNEST { .. } => true,
        TableFactor::Derived { lateral, .. } => *lateral,
        _ => false,
    };
    if lateral {
        let what = "rows that are made of the left row have no event time of their own";
        return Some(Complaint::new(at, Error::stop(what).fix("write `CROSS JOIN UNNEST(…)`")));
    }
    if let Some(on) = condition(join)
        && is_either(on)
    {
        let what = "`OR` in a join as of event time is not possible: the latest row is found by equal keys";
        return Some(Complaint::new(at, Error::stop(what).fix(FORM)));
    }
    None
}

/// Whether `OR` binds it together.
fn is_either(on: &Expr) -> bool {
    matches!(on, Expr::BinaryOp { op: BinaryOperator::Or, .. })
}
