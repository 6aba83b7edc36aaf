//! Uses of a lookup that cannot be: said with the nearest form that can.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    BinaryOperator, Expr, Ident, Join, JoinConstraint, JoinOperator, Spanned, TableFactor, Visit,
    Visitor,
};
use datafusion_sql::sqlparser::keywords::Keyword;
use millstream_core::Error;
use millstream_core::lookup::KEY;

use crate::complain::Complaint;
use crate::parse::{Tokens, place};

/// A lookup as a query names it.
pub(crate) struct Named {
    /// The lookup.
    table: String,
    /// What its columns are called by.
    alias: String,
}

/// The lookup that this is, if it is one.
pub(crate) fn named(table: &TableFactor, lookups: &BTreeSet<String>) -> Option<Named> {
    let TableFactor::Table { name, alias, args: None, .. } = table else { return None };
    let table = name.0.last()?.as_ident()?.value.clone();
    let alias = alias.as_ref().map_or_else(|| table.clone(), |a| a.name.value.clone());
    lookups.contains(&table).then_some(Named { table, alias })
}

impl Named {
    fn form(&self) -> String {
        format!("write `… LEFT JOIN {} {} ON {}.{KEY} = …`", self.table, self.alias, self.alias)
    }

    fn say(&self, place: Option<crate::complain::Place>, what: String, fix: String) -> Complaint {
        Complaint::new(place, Error::stop(what).fix(fix))
    }
}

/// Complains of a lookup that rows are read from.
pub(crate) fn refuse_alone(lookup: &Named, table: &TableFactor) -> Complaint {
    let what =
        format!("`{}` is a lookup: it has no rows of its own, only answers to keys", lookup.table);
    let fix = format!("read a source, and join the lookup to it: {}", lookup.form());
    lookup.say(place(table.span()), what, fix)
}

/// Complains of a join of a lookup that is none by its key.
pub(crate) fn refuse_join(lookup: &Named, join: &Join, tokens: &Tokens) -> Option<Complaint> {
    let at = place(join.relation.span());
    let at = tokens.before(Keyword::JOIN, at).or(at);
    let constraint = match &join.join_operator {
        JoinOperator::Join(c)
        | JoinOperator::Inner(c)
        | JoinOperator::Left(c)
        | JoinOperator::LeftOuter(c) => c,
        _ => {
            let what = format!(
                "a lookup can be joined by `LEFT JOIN` and `INNER JOIN` only, since `{}` has no rows of its own",
                lookup.table
            );
            return Some(lookup.say(at, what, lookup.form()));
        }
    };
    let on = match constraint {
        JoinConstraint::On(on) => on,
        JoinConstraint::Using(_) | JoinConstraint::Natural | JoinConstraint::None => {
            let what = format!("the key to look up in `{}` is missing", lookup.table);
            return Some(lookup.say(at, what, lookup.form()));
        }
    };
    if is_key_equality(on, &lookup.alias) {
        return None;
    }
    let what = format!("a lookup is joined by its key and nothing else, and here stands `ON {on}`");
    let fix = format!("{}, and put other conditions into `WHERE`", lookup.form());
    Some(lookup.say(place(on.span()).or(at), what, fix))
}

/// Whether it is `lookup.key = …`, with nothing of the lookup on the other side.
fn is_key_equality(on: &Expr, alias: &str) -> bool {
    match on {
        Expr::Nested(inner) => is_key_equality(inner, alias),
        Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => {
            (is_key(left, alias) && !mentions(right, alias))
                || (is_key(right, alias) && !mentions(left, alias))
        }
        _ => false,
    }
}

fn is_key(e: &Expr, alias: &str) -> bool {
    let is = |name: &Ident| name.value.eq_ignore_ascii_case(KEY);
    match e {
        Expr::Nested(inner) => is_key(inner, alias),
        Expr::Identifier(name) => is(name),
        Expr::CompoundIdentifier(parts) => {
            matches!(parts.as_slice(), [table, name] if table.value == alias && is(name))
        }
        _ => false,
    }
}

fn mentions(e: &Expr, alias: &str) -> bool {
    struct Look<'a>(&'a str);
    impl Visitor for Look<'_> {
        type Break = ();

        fn pre_visit_expr(&mut self, e: &Expr) -> ControlFlow<()> {
            let table = match e {
                Expr::CompoundIdentifier(parts) => parts.first(),
                _ => None,
            };
            match table {
                Some(table) if table.value == self.0 => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    e.visit(&mut Look(alias)).is_break()
}
