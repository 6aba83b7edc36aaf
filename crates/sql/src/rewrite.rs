//! Changes to a query's tree: names for columns that have none, and expressions tried without.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion_sql::sqlparser::ast::{
    AccessExpr, BinaryOperator as Bool, Expr, Function, Ident, NamedWindowDefinition,
    NamedWindowExpr, Query, Select, SelectItem, Spanned, Subscript, UnaryOperator, Value, Visit,
    VisitMut, Visitor, VisitorMut, WindowType, visit_expressions_mut,
};
use millstream_core::Error;

use crate::complain::{Complaint, Place};
use crate::parse::place;

/// Gives every computed column a name as PostgreSQL does: that of its function, field or column, or
/// else its text. Complains where two columns of a `SELECT` would have the same.
pub(crate) fn name_columns(query: &mut Query) -> Vec<Complaint> {
    let mut names = Names(Vec::new());
    let _all = VisitMut::visit(query, &mut names);
    names.0
}

struct Names(Vec<Complaint>);

impl VisitorMut for Names {
    type Break = ();

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let mut seen = BTreeSet::new();
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(e) = item
                && !matches!(e, Expr::Identifier(_))
            {
                let alias = Ident::with_span(e.span(), name(e));
                *item = SelectItem::ExprWithAlias { expr: e.clone(), alias };
            }
            let (name, span) = match item {
                SelectItem::UnnamedExpr(Expr::Identifier(i)) => (&i.value, i.span),
                SelectItem::ExprWithAlias { expr, alias } => (&alias.value, expr.span()),
                _ => continue,
            };
            if !seen.insert(name.clone()) {
                let error = Error::stop(format!("two columns are called `{name}`"))
                    .fix("give one another name with `AS`");
                self.0.push(Complaint::new(place(span), error));
            }
        }
        ControlFlow::Continue(())
    }
}

fn name(e: &Expr) -> String {
    match e {
        Expr::Identifier(i) => i.value.clone(),
        Expr::CompoundIdentifier(parts) if !parts.is_empty() => {
            parts.last().map(|i| i.value.clone()).unwrap_or_default()
        }
        Expr::Function(f) => f.name.to_string().to_lowercase(),
        Expr::Nested(e) | Expr::Cast { expr: e, .. } => name(e),
        Expr::Case { .. } => "case".to_owned(),
        Expr::Extract { .. } => "extract".to_owned(),
        Expr::CompoundFieldAccess { root, access_chain } => {
            let field = access_chain.iter().rev().find_map(|a| match a {
                AccessExpr::Dot(e) => Some(name(e)),
                AccessExpr::Subscript(Subscript::Index { index: Expr::Value(v) }) => {
                    match &v.value {
                        Value::SingleQuotedString(s) => Some(s.clone()),
                        _ => None,
                    }
                }
                AccessExpr::Subscript(_) => None,
            });
            field.unwrap_or_else(|| name(root))
        }
        other => other.to_string(),
    }
}

/// Sets right what the parser reads otherwise than SQL says, and writes out what the planner does not.
pub(crate) fn set_right(query: &mut Query) {
    let _all = VisitMut::visit(query, &mut Right);
}

struct Right;

impl VisitorMut for Right {
    type Break = ();

    /// Windows with a name, which the planner knows in the columns, stand in `QUALIFY` too.
    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let windows = &select.named_window;
        visit_expressions_mut(&mut select.qualify, |e| {
            if let Expr::Function(Function { over: Some(over), .. }) = e
                && let WindowType::NamedWindow(name) = over
                && let Some(NamedWindowDefinition(_, NamedWindowExpr::WindowSpec(spec))) =
                    windows.iter().find(|w| w.0.value == name.value)
            {
                *over = WindowType::WindowSpec(spec.clone());
            }
            ControlFlow::Continue(())
        })
    }

    /// `a IS NOT DISTINCT FROM b AND c` is read as `a IS NOT DISTINCT FROM (b AND c)`. What stands in parentheses is a node
    /// of its own, and stays.
    fn post_visit_expr(&mut self, e: &mut Expr) -> ControlFlow<()> {
        let either = |e: &Expr| matches!(e, Expr::BinaryOp { op: Bool::And | Bool::Or, .. });
        let or = |e: &Expr| matches!(e, Expr::BinaryOp { op: Bool::Or, .. });
        *e = match std::mem::replace(e, Expr::Tuple(vec![])) {
            Expr::IsDistinctFrom(a, b) if either(&b) => {
                hang(*b, either, |b| Expr::IsDistinctFrom(a, Box::new(b)))
            }
            Expr::IsNotDistinctFrom(a, b) if either(&b) => {
                hang(*b, either, |b| Expr::IsNotDistinctFrom(a, Box::new(b)))
            }
            // Only what was set right below can stand so.
            Expr::UnaryOp { op: UnaryOperator::Not, expr } if either(&expr) => {
                hang(*expr, either, |e| Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(e) })
            }
            Expr::BinaryOp { left, op: Bool::And, right } if or(&right) => {
                hang(*right, or, |right| Expr::BinaryOp {
                    left,
                    op: Bool::And,
                    right: Box::new(right),
                })
            }
            e => e,
        };
        ControlFlow::Continue(())
    }
}

/// Puts what is made of the leftmost part of a chain in its place.
fn hang(e: Expr, within: fn(&Expr) -> bool, make: impl FnOnce(Expr) -> Expr) -> Expr {
    if !within(&e) {
        return make(e);
    }
    match e {
        Expr::BinaryOp { left, op, right } => {
            Expr::BinaryOp { left: Box::new(hang(*left, within, make)), op, right }
        }
        e => make(e),
    }
}

/// An expression of a query, by its number in the order in which a visitor meets them.
#[derive(Clone, Debug)]
pub(crate) struct Spot {
    pub number: usize,
    pub place: Option<Place>,
    pub text: String,
    /// It is a name or a value, with nothing inside.
    leaf: bool,
    /// The number of the whole expression that it is part of.
    pub whole: usize,
}

/// The smallest expression without which `still_fails` no longer says yes, if one is to blame.
pub(crate) fn blame(query: &Query, still_fails: impl Fn(&Query) -> bool) -> Option<Spot> {
    let all = expressions(query);
    let cures = |spot: &&(usize, Spot)| !still_fails(&without(query, spot.1.number));
    let mut found: Option<&(usize, Spot)> = None;
    loop {
        let (from, depth) = found.map_or((0, 0), |(depth, s)| (s.number + 1, depth + 1));
        let inside = all.iter().skip(from).take_while(|(d, _)| *d >= depth);
        // Of a call with a wrong argument the call is shown, not the argument.
        let inside = inside.filter(|(d, s)| *d == depth && !(depth > 0 && s.leaf));
        let cured = inside.filter(cures).collect::<Vec<_>>();
        match (cured.as_slice(), found) {
            ([only], _) => found = Some(only),
            // Two inputs of a `UNION ALL` do not agree: the later is to blame.
            ([.., last], None) => return Some(last.1.clone()),
            (_, found) => return found.map(|(_, s)| s.clone()),
        }
    }
}

/// The query with one expression made `NULL`.
pub(crate) fn without(query: &Query, number: usize) -> Query {
    struct Unnamed(usize);
    impl VisitorMut for Unnamed {
        type Break = ();

        fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
            for item in &mut select.projection {
                if let SelectItem::UnnamedExpr(expr @ Expr::Value(_)) = item {
                    self.0 += 1;
                    let alias = Ident::new(format!("column {}", self.0));
                    *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
                }
            }
            ControlFlow::Continue(())
        }
    }
    let null = Expr::Value(Value::Null.with_empty_span());
    let mut query = replace(query, number, |e| *e = null.clone());
    let _all = VisitMut::visit(&mut query, &mut Unnamed(0));
    query
}

/// The query with one expression changed.
pub(crate) fn replace(query: &Query, number: usize, change: impl Fn(&mut Expr)) -> Query {
    struct Change<F> {
        left: usize,
        change: F,
    }
    impl<F: Fn(&mut Expr)> VisitorMut for Change<F> {
        type Break = ();

        fn pre_visit_expr(&mut self, e: &mut Expr) -> ControlFlow<()> {
            if self.left == 0 {
                (self.change)(e);
                return ControlFlow::Break(());
            }
            self.left -= 1;
            ControlFlow::Continue(())
        }
    }
    let mut changed = query.clone();
    let _all = VisitMut::visit(&mut changed, &mut Change { left: number, change });
    changed
}

/// All expressions, each with its depth, in the visitor's order.
pub(crate) fn expressions(query: &Query) -> Vec<(usize, Spot)> {
    struct List {
        depth: usize,
        whole: usize,
        found: Vec<(usize, Spot)>,
    }
    impl Visitor for List {
        type Break = ();

        fn pre_visit_expr(&mut self, e: &Expr) -> ControlFlow<()> {
            let number = self.found.len();
            if self.depth == 0 {
                self.whole = number;
            }
            let leaf =
                matches!(e, Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Value(_));
            let at = place(e.span());
            if at.is_some() {
                // Some expressions have no place of their own; theirs is that of what is in them.
                for (_, above) in self.found.iter_mut().rev().take(self.depth) {
                    above.place = above.place.or(at);
                }
            }
            let spot = Spot { number, place: at, text: e.to_string(), leaf, whole: self.whole };
            self.found.push((self.depth, spot));
            self.depth += 1;
            ControlFlow::Continue(())
        }

        fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<()> {
            self.depth -= 1;
            ControlFlow::Continue(())
        }
    }
    let mut list = List { depth: 0, whole: 0, found: Vec::new() };
    let _all = query.visit(&mut list);
    list.found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tree with all its parentheses.
    fn shape(e: &Expr) -> String {
        match e {
            Expr::Nested(e) => shape(e),
            Expr::BinaryOp { left, op, right } => {
                format!("({} {op} {})", shape(left), shape(right))
            }
            Expr::UnaryOp { op, expr } => format!("({op} {})", shape(expr)),
            Expr::IsNotDistinctFrom(a, b) => format!("({} ~ {})", shape(a), shape(b)),
            Expr::IsDistinctFrom(a, b) => format!("({} !~ {})", shape(a), shape(b)),
            e => e.to_string(),
        }
    }

    #[test]
    fn distinct_from_binds_before_and_and_or() -> Result<(), Box<dyn std::error::Error>> {
        let same = "IS NOT DISTINCT FROM";
        for (text, wanted) in [
            (format!("a {same} b AND c"), "((a ~ b) AND c)"),
            (format!("x AND a {same} b OR d"), "((x AND (a ~ b)) OR d)"),
            (format!("x OR a {same} b AND c OR d"), "((x OR ((a ~ b) AND c)) OR d)"),
            (format!("NOT a {same} b AND c"), "((NOT (a ~ b)) AND c)"),
            (format!("a {same} (b OR c)"), "(a ~ (b OR c))"),
            (format!("x AND (a {same} b OR d)"), "(x AND ((a ~ b) OR d))"),
            (
                format!("a IS DISTINCT FROM b AND c {same} d AND e"),
                "((a !~ b) AND ((c ~ d) AND e))",
            ),
            (format!("x AND a {same} b AND c OR d"), "((x AND ((a ~ b) AND c)) OR d)"),
        ] {
            let parsed = crate::parse::parse(&format!("SELECT 1 FROM t WHERE {text}"))
                .map_err(|c| c.error.to_string())?;
            let datafusion_sql::sqlparser::ast::SetExpr::Select(select) = &*parsed.query.body
            else {
                return Err("no SELECT".into());
            };
            let found = select.selection.as_ref().map(shape).unwrap_or_default();
            // `a OR (b OR c)` is `(a OR b) OR c`.
            let flat = |t: &str| {
                t.replace("(x OR (((a ~ b) AND c) OR d))", "((x OR ((a ~ b) AND c)) OR d)")
            };
            assert_eq!(flat(&found), wanted, "{text}");
        }
        Ok(())
    }
}
