//! Random queries: a few queries one over the other, each a view or a part of the next.

use fastrand::Rng;

use super::assign::Windows;
use super::calls::{CALLS, call};
use super::grammar::{Column, Kind, Scope, Type};
use super::rows::Clock;
use super::stage::{Cut, Item, Query, Shape, Stage};

/// What is known while a query grows.
pub(super) struct Grow<'a> {
    pub rng: &'a mut Rng,
    pub clock: Clock,
    pub late: bool,
    scope: Scope,
    /// The column that is event time.
    time: String,
    numbered: bool,
    /// Rows may be given anew, so that the keys have to be among the columns.
    updates: bool,
    stages: Vec<Stage>,
}

impl<'a> Grow<'a> {
    pub(super) fn new(rng: &'a mut Rng, clock: Clock, late: bool) -> Self {
        use Type::{Bool, Date, Float, Int, Text, Time};
        let columns = [
            ("id", Int),
            ("ts", Time),
            ("k", Int),
            ("s", Text),
            ("p", Bool),
            ("i", Int),
            ("x", Float),
            ("y", Float),
            ("w", Float),
            ("d", Date),
            ("m", Time),
        ];
        let columns = columns.map(|(name, t)| Column::new(name, t)).to_vec();
        let scope = Scope { columns, unique: vec!["id".to_owned()], ties: true };
        let time = "ts".to_owned();
        Self { rng, clock, late, scope, time, numbered: true, updates: false, stages: vec![] }
    }

    /// The query.
    pub(super) fn query(mut self) -> Query {
        if self.rng.u8(..3) == 0 {
            self.plain();
        }
        let mut allowed_lateness = 0;
        match self.rng.u8(..20) {
            0..2 => self.cut(),
            2 => {
                self.cut();
                let last = self.stages.last_mut().unwrap();
                (last.is_view, last.drops_late) = (false, true);
                self.grouped(false, false);
            }
            3..6 => {
                self.grouped(true, true);
                self.grouped(true, false);
            }
            6 => {
                self.grouped(true, false);
                self.plain();
            }
            7..9 if self.late => {
                self.updates = true;
                allowed_lateness = self.rng.i64(1..20) * self.clock.unit + self.rng.i64(0..2);
                self.grouped(true, false);
                let last = self.stages.last_mut().unwrap();
                last.having = None;
                last.cuts.truncate(1);
                if let Windows::Session { .. } = last.cuts[0].windows {
                    allowed_lateness = 0;
                }
            }
            _ => self.grouped(true, false),
        }
        Query { stages: self.stages, allowed_lateness }
    }

    fn name(&self) -> String {
        format!("q{}", self.stages.len() + 1)
    }

    fn from(&self) -> String {
        self.stages.last().map_or_else(|| "t".to_owned(), |s| s.name.clone())
    }

    fn stage(&mut self, shape: Shape, items: Vec<Item>) -> Stage {
        Stage {
            name: self.name(),
            shape,
            from: self.from(),
            cuts: vec![],
            is_view: self.rng.bool(),
            items,
            unnest: false,
            condition: None,
            second: None,
            group: vec![],
            having: None,
            drops_late: false,
            numbered: self.numbered,
        }
    }

    fn condition(&mut self) -> Option<String> {
        (self.rng.u8(..3) == 0).then(|| self.scope.bool(self.rng, 2))
    }

    /// Some of the columns, some computed anew; rows left out, doubled, or taken apart.
    fn plain(&mut self) {
        let mut items = vec![];
        let mut scope = Scope { columns: vec![], ..self.scope.clone() };
        let first = self.stages.is_empty();
        for column in self.scope.columns.clone() {
            let kept = column.name == self.time || self.scope.unique.contains(&column.name);
            if kept || self.rng.u8(..4) > 0 {
                items.push(exact(&column.name, &column.name));
                scope.columns.push(column);
            }
        }
        // What is not for queries to go on with still comes through.
        if let Some(below) = self.stages.last() {
            for item in below.items.clone() {
                if !items.iter().any(|i| i.name == item.name) && item.kind != Kind::Exact {
                    items.push(Item {
                        stream: item.name.clone(),
                        batch: item.name.clone(),
                        ..item
                    });
                }
            }
        }
        for at in 0..self.rng.usize(..3) {
            let t = self.scope.some_type(self.rng);
            let name = format!("e{}_{at}", self.stages.len());
            items.push(exact(&self.scope.of(self.rng, t, 2), &name));
            scope.columns.push(Column::new(&name, t));
        }
        let condition = self.condition();
        let mut stage = self.stage(Shape::Plain, vec![]);
        stage.condition = condition;
        match self.rng.u8(..6) {
            0 if first => {
                stage.unnest = true;
                items.push(exact("e", "e"));
                scope.columns.push(Column::new("e", Type::Text));
                scope.unique.push("e".to_owned());
            }
            1 if first => {
                stage.second = Some(self.scope.bool(self.rng, 1));
                // Rows of both branches are as one, so nothing tells equal ones apart.
                scope.ties = false;
            }
            _ => {}
        }
        stage.items = items;
        self.scope = scope;
        self.stages.push(stage);
    }

    /// Rows with their windows.
    fn cut(&mut self) {
        let cut = loop {
            let cut = self.windows(false);
            if !matches!(cut.windows, Windows::Session { .. }) {
                break cut;
            }
        };
        let condition = self.condition();
        let mut items = vec![];
        for column in self.scope.columns.clone() {
            items.push(exact(&column.name, &column.name));
        }
        for name in WINDOW {
            items.push(exact(name, name));
        }
        let mut stage = self.stage(Shape::Cut, items);
        stage.condition = condition;
        self.scope.ties &= matches!(cut.windows, Windows::Tumble { .. });
        stage.cuts = vec![cut];
        self.stages.push(stage);
    }

    /// Rows gathered by windows, those of this query or of the one below; `under` those of another.
    fn grouped(&mut self, cuts: bool, under: bool) {
        let all = if cuts { self.cuts(under) } else { vec![] };
        let below = self.stages.last().and_then(|s| s.cuts.first()).filter(|_| !cuts);
        let one = all.first().or(below).unwrap().clone();
        let session = matches!(one.windows, Windows::Session { .. });
        self.scope.ties &=
            self.numbered && all.iter().all(|c| matches!(c.windows, Windows::Tumble { .. }));
        let mut group = self.sides(&all, &one);
        // A window over this one has columns of the same names.
        let prefix = if under { "inner_" } else { "" };
        let side = |side: &String| Item { key: true, ..exact(side, &format!("{prefix}{side}")) };
        let mut items = group.iter().map(side).collect::<Vec<_>>();
        let mut columns =
            items.iter().map(|i| Column::new(&i.name, Type::Time)).collect::<Vec<_>>();
        let condition = if session { None } else { self.condition() };
        let keys = if session {
            let of = |k: &String| {
                self.scope.columns.iter().find(|c| c.name == *k).map(|c| (k.clone(), c.t))
            };
            one.keys.iter().filter_map(of).collect()
        } else {
            (0..[0, 1, 1, 2, 3][self.rng.usize(..5)])
                .map(|_| self.scope.key(self.rng))
                .collect::<Vec<_>>()
        };
        for (at, (key, t)) in keys.iter().enumerate() {
            // The library calls `CAST(k AS INT)` what it calls `k`.
            let cast = |key: &String| key.contains("CAST(");
            if group.contains(key) || (cast(key) && (keys.len() > 1 || self.updates)) {
                continue;
            }
            group.push(key.clone());
            let name = if session { key.clone() } else { format!("g{}_{at}", self.stages.len()) };
            // Of other numbers than those that sinks know too, a query over this one would know.
            let e = match t {
                _ if self.updates => key.clone(),
                _ if self.scope.columns.iter().any(|c| c.name == *key) => key.clone(),
                Type::Int => format!("CAST({key} AS BIGINT)"),
                Type::Float => format!("CAST({key} AS DOUBLE)"),
                _ => key.clone(),
            };
            items.push(Item { key: true, ..exact(if session { key } else { &e }, &name) });
            columns.push(Column {
                wild: key.contains('w') && *t == Type::Float,
                ..Column::new(&name, *t)
            });
        }
        let unique = items.iter().map(|i| i.name.clone()).collect();
        let having = (self.rng.u8(..6) == 0).then(|| self.having());
        if self.rng.u8(..20) > 0 {
            self.aggregates(&mut items, &mut columns);
        }
        self.rng.shuffle(&mut items);
        let mut stage = self.stage(Shape::Grouped, items);
        stage.cuts = all;
        (stage.condition, stage.having, stage.group) = (condition, having, group);
        stage.drops_late = cuts;
        stage.is_view &= cuts || self.stages.last().is_none_or(|s| s.is_view);
        self.numbered = false;
        let is_time =
            |c: &&Column| c.name.starts_with("inner_") && !(session && c.name.ends_with("start"));
        let times = columns.iter().filter(is_time).map(|c| c.name.clone()).collect::<Vec<_>>();
        self.time = times.get(self.rng.usize(..times.len().max(1))).cloned().unwrap_or_default();
        self.scope = Scope { columns, unique, ties: false };
        self.stages.push(stage);
    }

    /// The windows of a query, or of two branches of it.
    fn cuts(&mut self, under: bool) -> Vec<Cut> {
        let mut all = vec![self.windows(true)];
        // What is below is kept for each of them, and rows are late in each.
        if self.numbered
            && !under
            && self.rng.u8(..12) == 0
            && !matches!(all[0].windows, Windows::Session { .. })
        {
            let two = self.windows(true);
            if !matches!(two.windows, Windows::Session { .. }) {
                all.push(two);
            }
        }
        all
    }

    /// By which columns of the window rows are grouped.
    fn sides(&mut self, all: &[Cut], one: &Cut) -> Vec<String> {
        let start_is_enough =
            !all.iter().chain([one]).any(|c| matches!(c.windows, Windows::Cumulate { .. }));
        let mut sides =
            WINDOW.iter().filter(|_| self.rng.bool()).map(|s| (*s).to_owned()).collect::<Vec<_>>();
        // A window over this one needs one of them that is told by event time.
        let least = if start_is_enough
            && self.rng.u8(..4) == 0
            && !matches!(one.windows, Windows::Session { .. })
        {
            WINDOW[0]
        } else {
            WINDOW[self.rng.usize(1..3)]
        };
        if !sides.iter().any(|s| s == least) {
            sides.push(least.to_owned());
        }
        sides
    }

    fn having(&mut self) -> String {
        match self.rng.u8(..3) {
            0 => format!("count(*) > {}", self.rng.i64(0..4)),
            1 => {
                format!("sum({}) >= {}", self.scope.of(self.rng, Type::Int, 0), self.rng.i64(-9..9))
            }
            _ => format!("max({}) IS NOT NULL", self.scope.of(self.rng, Type::Text, 0)),
        }
    }

    fn aggregates(&mut self, items: &mut Vec<Item>, columns: &mut Vec<Column>) {
        for at in 0..self.rng.usize(1..7) {
            let name = format!("a{}_{at}", self.stages.len());
            if self.rng.u8(..10) == 0 {
                let (e, t) = self.computed();
                items.push(exact(&e, &name));
                columns.push(Column::new(&name, t));
                continue;
            }
            let which = self.rng.usize(..CALLS.len());
            let made = call(self.rng, &CALLS[which], &self.scope);
            columns.extend(made.t.map(|t| Column::new(&name, t)));
            items.push(Item {
                stream: made.stream,
                batch: made.batch,
                name,
                kind: made.kind,
                key: false,
            });
        }
    }

    /// An expression over aggregates.
    fn computed(&mut self) -> (String, Type) {
        let int = self.scope.of(self.rng, Type::Int, 1);
        match self.rng.u8(..4) {
            0 => (format!("sum({int}) + count(*) * 10"), Type::Int),
            1 => (format!("max({int}) - min({int})"), Type::Int),
            2 => (format!("coalesce(sum({int}), -1) % 5"), Type::Int),
            _ => ("CASE WHEN count(*) > 2 THEN 'many' ELSE 'few' END".to_owned(), Type::Text),
        }
    }

    fn windows(&mut self, sessions: bool) -> Cut {
        let unit = self.clock.unit;
        // A window over a window is longer, mostly.
        let wider = if self.numbered { 1 } else { self.rng.i64(1..4) };
        let rng = &mut *self.rng;
        let offset = match rng.u8(..3) {
            0 => rng.i64(-30..30) * unit + rng.i64(-1..2),
            _ => 0,
        };
        let mut span = |most: i64| rng.i64(1..=most) * unit * wider;
        let (mut size, mut step) = (span(25), span(12));
        let windows = match self.rng.u8(..if sessions { 8 } else { 6 }) {
            0..2 => Windows::Tumble { size, offset },
            2..5 => {
                if self.rng.bool() {
                    size = step * self.rng.i64(1..7);
                }
                // As many windows of a row as a plain look can bear.
                step = step.max(size / 12);
                Windows::Hop { slide: step, size, offset }
            }
            5 => Windows::Cumulate { step, size: step * self.rng.i64(1..6), offset },
            _ => Windows::Session { gap: step },
        };
        let mut keys = vec![];
        if let Windows::Session { .. } = windows {
            for _ in 0..self.rng.usize(..3) {
                let column = self.scope.pick(self.rng, |c| {
                    c.t != Type::Float && c.name != self.time && c.name != "id"
                });
                keys.extend(column.map(|c| c.name).filter(|n| !keys.contains(n)));
            }
        }
        let call = super::spell::call(self.rng, windows, &self.time, &keys);
        Cut { windows, time: self.time.clone(), keys, call }
    }
}

const WINDOW: [&str; 3] = ["window_start", "window_end", "window_time"];

fn exact(e: &str, name: &str) -> Item {
    Item {
        stream: e.to_owned(),
        batch: e.to_owned(),
        name: name.to_owned(),
        kind: Kind::Exact,
        key: false,
    }
}
