//! Uses of a lookup that cannot be: said with the nearest form that can.

use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    BinaryOperator, Expr, Ident, Join, JoinConstraint, JoinOperator, Spanned, TableFactor, Visit,
    Visitor,
};
use datafusion_sql::sqlparser::keywords::Keyword;
use millstream_core::Error;
use millstream_core::lookup::KEY;

use super::Lookups;
use crate::complain::{Complaint, Place};
use crate::parse::{Tokens, place};

/// A lookup as a query names it.
pub(crate) struct Named {
    /// The lookup.
    table: String,
    /// What its columns are called by.
    alias: String,
    /// What it cannot answer is nulls.
    gives_nulls: bool,
}

/// The lookup that this is, if it is one.
pub(crate) fn named(table: &TableFactor, lookups: &Lookups) -> Option<Named> {
    let TableFactor::Table { name, alias, args: None, .. } = table else { return None };
    let table = name.0.last()?.as_ident()?.value.clone();
    let alias = alias.as_ref().map_or_else(|| table.clone(), |a| a.name.value.clone());
    let gives_nulls = lookups.get(&table)?.gives_nulls();
    Some(Named { table, alias, gives_nulls })
}

impl Named {
    fn form(&self) -> String {
        let Self { table, alias, .. } = self;
        if table == alias {
            return format!("write `… LEFT JOIN {table} ON {table}.{KEY} = …`");
        }
        format!("write `… LEFT JOIN {table} {alias} ON {alias}.{KEY} = …`")
    }

    fn say(&self, place: Option<Place>, what: String, fix: String) -> Complaint {
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
    let (JoinOperator::Join(constraint)
    | JoinOperator::Inner(constraint)
    | JoinOperator::Left(constraint)
    | JoinOperator::LeftOuter(constraint)) = &join.join_operator
    else {
        let what = format!(
            "a lookup can be joined by `LEFT JOIN` and `INNER JOIN` only, since `{}` has no rows of its own",
            lookup.table
        );
        return Some(lookup.say(at, what, lookup.form()));
    };
    let inner = matches!(join.join_operator, JoinOperator::Join(_) | JoinOperator::Inner(_));
    if inner && lookup.gives_nulls {
        let what = format!(
            "`INNER JOIN` would lose rows while `{}` is away, since its `on_failure` is `nulls`",
            lookup.table
        );
        let fix = format!("{}, or have the lookup `on_failure: retry`", lookup.form());
        return Some(lookup.say(at, what, fix));
    }
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
