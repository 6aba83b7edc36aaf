//! What a view cannot do, or not yet, said before planning starts, all of it at once.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion_expr::{ScalarUDF, Volatility};
use datafusion_sql::sqlparser::ast::{
    Expr, Function, FunctionArguments, Join, JoinConstraint, JoinOperator, LimitClause,
    OrderByKind, Query, Select, SetExpr, SetOperator, Spanned, TableFactor, Value, ValueWithSpan,
    Visit, Visitor,
};
use datafusion_sql::sqlparser::keywords::Keyword;
use millstream_core::Error;

use crate::arrival::CLOCK_NAMES;
use crate::asof;
use crate::catalog::Functions;
use crate::complain::{Complaint, Place};
use crate::gather::Over;
use crate::lookup::{self, Lookups};
use crate::names;
use crate::parse::{Parsed, Tokens, place};
use crate::reference;
use crate::windowed::{Kind, Known};

/// What some functions of other systems are called here.
const MEANT: &[(&str, &str)] = &[
    ("every", "bool_and"),
    ("group_concat", "string_agg"),
    ("hop_end", "window_end"),
    ("hop_start", "window_start"),
    ("listagg", "string_agg"),
    ("quantile", "percentile_cont"),
    ("session_end", "window_end"),
    ("session_start", "window_start"),
    ("tumble_end", "window_end"),
    ("tumble_start", "window_start"),
];
const WINDOWED: &[&str] =
    &["cume_dist", "dense_rank", "lag", "lead", "ntile", "percent_rank", "rank", "row_number"];

/// Whether a function gives another result each time it is called.
pub(crate) fn is_volatile(f: &ScalarUDF) -> bool {
    f.signature().volatility == Volatility::Volatile && !CLOCK_NAMES.contains(&f.name())
}

/// Lists everything in a query that a view cannot do.
pub(crate) fn refuse(
    parsed: &Parsed,
    functions: &Functions,
    known: &Known,
    mut lookups: Lookups,
) -> Vec<Complaint> {
    // A name that stands for a query of `WITH` is no lookup here.
    let read: BTreeSet<String> = parsed.reads().into_iter().map(|(name, _)| name).collect();
    lookups.retain(|name, _| read.contains(name));
    let mut look = Look {
        tokens: &parsed.tokens,
        functions,
        known,
        lookups,
        queries: BTreeSet::new(),
        references: reference::names(known),
        selects: vec![],
        grouped: false,
        lateral: 0,
        aggregates: vec![],
        found: vec![],
    };
    let _all = parsed.query.visit(&mut look);
    // Who is told that grouping is not possible need not hear the same of each aggregate.
    if !look.grouped {
        look.found.append(&mut look.aggregates);
    }
    look.found.sort_by_key(|c| c.place);
    look.found
}

pub(crate) struct Look<'a> {
    pub tokens: &'a Tokens,
    pub functions: &'a Functions,
    pub known: &'a Known,
    pub lookups: Lookups,
    /// Names of `WITH`.
    queries: BTreeSet<String>,
    /// Names of reference tables, and of queries over one of them alone.
    pub references: BTreeSet<String>,
    /// The `SELECT`s that we are in.
    pub selects: Vec<Over>,
    /// It was told that grouping is not possible.
    pub grouped: bool,
    /// How many `LATERAL (…)` we are in.
    lateral: usize,
    pub aggregates: Vec<Complaint>,
    pub found: Vec<Complaint>,
}

impl Look<'_> {
    pub(crate) fn say(&mut self, place: Option<Place>, error: Error) {
        self.found.push(Complaint::new(place, error));
    }

    pub(crate) fn not_yet(&mut self, place: Option<Place>, what: &str, why: &str, fix: &str) {
        let text = format!("{what} is not yet possible: {why}");
        self.say(place, Error::stop(text).fix(fix));
    }

    pub(crate) fn never(&mut self, place: Option<Place>, what: &str, why: &str, fix: &str) {
        self.say(place, Error::stop(format!("{what} is not possible: {why}")).fix(fix));
    }

    fn told(&self, place: Option<Place>) -> bool {
        place.is_some() && self.found.iter().any(|c| c.place == place)
    }

    fn query(&mut self, query: &Query) {
        let names = query.with.iter().flat_map(|w| &w.cte_tables);
        self.queries.extend(names.map(|c| c.alias.name.value.clone()));
        reference::add_named(query, &mut self.references);
        if let Some(with) = &query.with
            && with.recursive
        {
            let place = self.tokens.from(Keyword::RECURSIVE, place(with.with_token.0.span));
            let fix = "use `WITH` without `RECURSIVE`";
            self.not_yet(place, "`WITH RECURSIVE`", "it joins its own rows", fix);
        }
        self.order(query);
        let locks = !query.locks.is_empty() || query.for_clause.is_some();
        if locks || query.settings.is_some() || query.format_clause.is_some() {
            let fix = "leave out `FOR`, `SETTINGS` and `FORMAT`";
            self.say(None, Error::stop("the query has a clause that means nothing here").fix(fix));
        }
        self.body(&query.body);
    }

    /// The order of all rows, and the first of all: there is no last row to wait for.
    fn order(&mut self, query: &Query) {
        let best = "for the best of each key, or of all, number them: `SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY … ORDER BY …) AS n FROM …) WHERE n <= 10`";
        if let Some(order) = &query.order_by {
            let first = match &order.kind {
                OrderByKind::Expressions(e) => e.first().and_then(|e| place(e.expr.span())),
                OrderByKind::All(_) => None,
            };
            let place = self.tokens.before(Keyword::ORDER, first);
            let why = "an endless stream has no last row to sort before";
            if query.limit_clause.is_some() || query.fetch.is_some() {
                return self.never(place, "`ORDER BY … LIMIT`", why, best);
            }
            let fix = "leave it out: rows keep the order they came in; sort where they are read";
            self.never(place, "`ORDER BY`", why, fix);
        }
        let fix = format!("leave it out, or filter with `WHERE`; {best}");
        let limit = query.limit_clause.as_ref().map(|l| match l {
            LimitClause::LimitOffset { limit, offset, .. } => {
                let offset = offset.as_ref().map(|o| &o.value);
                limit.as_ref().or(offset).and_then(|e| place(e.span()))
            }
            LimitClause::OffsetCommaLimit { offset, .. } => place(offset.span()),
        });
        if let Some(first) = limit {
            let limit = self.tokens.before(Keyword::LIMIT, first);
            let place = limit.or_else(|| self.tokens.before(Keyword::OFFSET, first));
            self.not_yet(place, "`LIMIT`", "it counts rows", &fix);
        }
        if query.fetch.is_some() {
            let place = self.tokens.before(Keyword::FETCH, None);
            self.not_yet(place, "`FETCH`", "it counts rows", &fix);
        }
    }

    fn body(&mut self, body: &SetExpr) {
        match body {
            SetExpr::SetOperation { left, op, right, .. } => {
                self.body(left);
                self.set_operation(*op, right);
                self.body(right);
            }
            SetExpr::Values(_) => {
                let why = "a view makes rows of the rows of a source";
                self.never(place(body.span()), "`VALUES`", why, "read a source: `SELECT … FROM …`");
            }
            SetExpr::Table(_) => {
                let fix = "write `SELECT * FROM …`";
                self.never(place(body.span()), "`TABLE …`", "only `SELECT` is read", fix);
            }
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
                let fix = "make it a `SELECT`, and write its rows with a sink";
                self.never(place(body.span()), "writing in a view", "a view can only read", fix);
            }
            SetExpr::Select(_) | SetExpr::Query(_) => {}
        }
    }

    fn set_operation(&mut self, op: SetOperator, right: &SetExpr) {
        let start = place(right.span());
        let (word, keyword) = match op {
            SetOperator::Union => return,
            SetOperator::Intersect => ("`INTERSECT`", Keyword::INTERSECT),
            SetOperator::Except => ("`EXCEPT`", Keyword::EXCEPT),
            SetOperator::Minus => ("`MINUS`", Keyword::MINUS),
        };
        let place = self.tokens.before(keyword, start);
        let fix = "filter with `WHERE`, or join the inputs with `UNION`";
        self.not_yet(place, word, "it has to remember all rows", fix);
    }

    fn select(&mut self, select: &Select) {
        let start = place(select.select_token.0.span);
        self.distinct(select, start);
        self.group(select, start);
        self.over_in_conditions(select);
        self.odd_clauses(select, start);
        if select.projection.is_empty() {
            self.never(
                start,
                "a `SELECT` without columns",
                "rows need columns",
                "write `SELECT *`",
            );
        }
        let Some(first) = select.from.first() else {
            let why = "it would have no rows ever";
            self.never(start, "a `SELECT` without `FROM`", why, "read a source: `SELECT … FROM …`");
            return;
        };
        if self.lateral == 0 && matches!(first.relation, TableFactor::UNNEST { .. }) {
            let place = self.tokens.from(Keyword::UNNEST, start);
            let fix = "read a source beside it: `FROM readings CROSS JOIN UNNEST(readings.tags)`";
            self.never(place, "`FROM UNNEST` alone", "it would have no rows ever", fix);
        }
        for table in &select.from {
            if let Some(lookup) = lookup::named(&table.relation, &self.lookups) {
                return self.found.push(lookup::refuse_alone(&lookup, &table.relation));
            }
        }
        // A reference table may be joined to the rows of one other, wherever that stands.
        let mut streams = usize::from(!reference::is_read(&first.relation, &self.references));
        for join in select.from.iter().flat_map(|t| &t.joins) {
            if asof::is_marked(join) {
                self.found.extend(asof::refuse_join(join, &self.lookups, self.tokens));
                continue;
            }
            match lookup::named(&join.relation, &self.lookups) {
                Some(lookup) => self.found.extend(lookup::refuse_join(&lookup, join, self.tokens)),
                None if reference::is_read(&join.relation, &self.references) => {}
                None if streams == 0 => streams = 1,
                None => self.join(join),
            }
        }
    }

    fn odd_clauses(&mut self, select: &Select, start: Option<Place>) {
        let odd = [
            (select.top.is_some(), "`TOP`", "filter with `WHERE`"),
            (select.into.is_some(), "`SELECT INTO`", "write rows with a sink"),
            (!select.lateral_views.is_empty(), "`LATERAL VIEW`", "write `CROSS JOIN UNNEST(…)`"),
            (select.prewhere.is_some(), "`PREWHERE`", "write `WHERE`"),
            (!select.connect_by.is_empty(), "`CONNECT BY`", "leave it out"),
            (!select.cluster_by.is_empty(), "`CLUSTER BY`", "leave it out"),
            (!select.distribute_by.is_empty(), "`DISTRIBUTE BY`", "leave it out"),
            (!select.sort_by.is_empty(), "`SORT BY`", "leave it out"),
        ];
        for (_, what, fix) in odd.into_iter().filter(|(is, ..)| *is) {
            self.never(start, what, "it has no meaning in a view", fix);
        }
    }

    fn join(&mut self, join: &Join) {
        let always = |c: &JoinConstraint| match c {
            JoinConstraint::None => true,
            JoinConstraint::On(Expr::Value(v)) => v.value == Value::Boolean(true),
            JoinConstraint::On(_) | JoinConstraint::Using(_) | JoinConstraint::Natural => false,
        };
        let beside = match &join.join_operator {
            JoinOperator::CrossJoin(c) | JoinOperator::Join(c) | JoinOperator::Inner(c) => {
                always(c)
            }
            _ => false,
        };
        if beside && is_lateral(&join.relation) {
            return;
        }
        let at = place(join.relation.span());
        let place = self.tokens.before(Keyword::JOIN, at).or(at);
        if matches!(join.relation, TableFactor::UNNEST { .. }) {
            let fix = "write `CROSS JOIN UNNEST(…)`, and put conditions into `WHERE`";
            self.never(
                place,
                "this way to join `UNNEST`",
                "only a cross join takes lists apart",
                fix,
            );
        } else if is_lateral(&join.relation) {
            let fix = "write `CROSS JOIN LATERAL (…)`, and put conditions into `WHERE`";
            let why = "what is made of a row stands beside it or does not";
            self.never(place, "this way to join `LATERAL (…)`", why, fix);
        } else if !is_join(&join.join_operator) {
            let fix = "write `JOIN`, `LEFT JOIN`, `RIGHT JOIN` or `FULL JOIN`, and `EXISTS (SELECT …)` in `WHERE` for the rest";
            self.not_yet(place, "this kind of join", "it is not built", fix);
        }
    }

    fn table(&mut self, table: &TableFactor) {
        let at = place(table.span());
        match table {
            TableFactor::Table { args: None, sample: None, with_ordinality: false, .. }
            | TableFactor::Derived { sample: None, .. }
            | TableFactor::NestedJoin { .. } => {}
            TableFactor::UNNEST { with_offset, with_ordinality, .. } => {
                if *with_offset || *with_ordinality {
                    let fix = "leave out `WITH OFFSET` and `WITH ORDINALITY`";
                    self.not_yet(at, "numbering in `UNNEST`", "it is not built", fix);
                }
            }
            TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } => {
                let name = name.to_string();
                let place = at.or_else(|| place(name_span(table)));
                if Kind::of(&name).is_some() {
                    self.window(table);
                } else {
                    let fix = "functions that give rows are `UNNEST(list)`, and `TUMBLE`, `HOP`, `CUMULATE` and `SESSION` over a table";
                    self.say(
                        place,
                        Error::stop(format!("there is no table function `{name}`")).fix(fix),
                    );
                }
            }
            _ => {
                let fix = "read a source or view by its name";
                self.never(
                    at,
                    "this kind of table",
                    "only sources, views and `UNNEST` are read",
                    fix,
                );
            }
        }
    }

    fn function(&mut self, f: &Function) {
        let at = place(f.name.span());
        let name = f.name.to_string().to_lowercase();
        if asof::is_mark(f) {
            return;
        }
        let shown = format!("`{name}`");
        let known = self.functions.get(&name);
        if f.over.is_some() && (known.is_some() || self.functions.is_over(&name)) {
            return self.over(&name, f, at);
        }
        if let Some(known) = known {
            if is_volatile(known) {
                let why = "it gives another result each time, so rows could not be made again after a restart";
                let fix = "use what is in the rows; `now()` is the arrival time of a row";
                self.never(at, &shown, why, fix);
            }
        } else if self.functions.aggregate(&name).is_some() {
            return self.aggregate(&name, at);
        } else if WINDOWED.contains(&name.as_str()) {
            let fix = format!("write `{name}(…) OVER (PARTITION BY … ORDER BY ts)`");
            let why = "it looks at other rows, and does not say at which";
            return self.never(at, &format!("{shown} without `OVER`"), why, &fix);
        } else if !matches!(name.as_str(), "unnest" | "unnest_outer")
            && (!matches!(f.args, FunctionArguments::None) || name.contains('.'))
        {
            if let Some(kind) = Kind::of(&name) {
                let fix = format!(
                    "windows stand in `FROM`: `FROM {}`, and `GROUP BY window_start, window_end, …`",
                    kind.form("readings", "ts")
                );
                let what = format!("{shown} is no function of a row");
                return self.say(at, Error::stop(what).fix(fix));
            }
            let meant = MEANT.iter().find(|(n, _)| *n == name).map(|(_, m)| *m);
            let fix = match (meant, names::fix(&name, self.functions.names(), 0)) {
                (Some(meant), _) => format!("did you mean `{meant}`?"),
                (None, fix) if fix.starts_with("did") => fix,
                (None, _) => "`millstream docs` lists the functions".to_owned(),
            };
            return self.say(at, Error::stop(format!("there is no function {shown}")).fix(fix));
        }
        let distinct = matches!(&f.args, FunctionArguments::List(l) if l.duplicate_treatment.is_some() || !l.clauses.is_empty());
        if f.filter.is_some() || !f.within_group.is_empty() || distinct {
            let fix = "leave out `DISTINCT`, `ORDER BY`, `FILTER` and `WITHIN GROUP` in the call";
            self.never(at, &format!("{shown} with a clause"), "it computes one row at a time", fix);
        }
    }
}

fn name_span(table: &TableFactor) -> datafusion_sql::sqlparser::tokenizer::Span {
    match table {
        TableFactor::Table { name, .. } | TableFactor::Function { name, .. } => name.span(),
        other => other.span(),
    }
}

/// Whether it is one of the joins that can be run.
fn is_join(operator: &JoinOperator) -> bool {
    use JoinOperator as J;
    matches!(
        operator,
        J::Join(_)
            | J::Inner(_)
            | J::Left(_)
            | J::LeftOuter(_)
            | J::Right(_)
            | J::RightOuter(_)
            | J::FullOuter(_)
            | J::CrossJoin(_)
            | J::Semi(_)
            | J::LeftSemi(_)
            | J::Anti(_)
            | J::LeftAnti(_)
    )
}

/// Whether a table beside others is made of the row before it.
pub(crate) fn is_lateral(table: &TableFactor) -> bool {
    matches!(table, TableFactor::UNNEST { .. } | TableFactor::Derived { lateral: true, .. })
}

impl Visitor for Look<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.query(query);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        self.selects.push(Over::of(select, &self.queries));
        self.select(select);
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, _: &Select) -> ControlFlow<()> {
        self.selects.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, table: &TableFactor) -> ControlFlow<()> {
        self.lateral += usize::from(matches!(table, TableFactor::Derived { lateral: true, .. }));
        self.table(table);
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, table: &TableFactor) -> ControlFlow<()> {
        self.lateral -= usize::from(matches!(table, TableFactor::Derived { lateral: true, .. }));
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, e: &Expr) -> ControlFlow<()> {
        match e {
            Expr::Function(f) => self.function(f),
            // In the place of a window's table it was told of.
            Expr::Subquery(_) if self.told(place(e.span())) => {}
            Expr::Subquery(_) => {
                let why = "of which row of the other query it is would be known only at the end";
                let fix = "join the other query by keys and event time, or ask `EXISTS (SELECT …)` of it in `WHERE`";
                self.not_yet(place(e.span()), "a `SELECT` inside an expression", why, fix);
            }
            Expr::Lambda(_) => {
                let fix = "take the list apart with `UNNEST`";
                self.not_yet(place(e.span()), "a lambda", "it is not built", fix);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_value(&mut self, value: &ValueWithSpan) -> ControlFlow<()> {
        if let Value::Placeholder(p) = &value.value {
            let fix = "write the value itself; the pipeline file can fill in `${NAME}`";
            self.never(place(value.span), &format!("the parameter `{p}`"), "a view has none", fix);
        }
        ControlFlow::Continue(())
    }
}
