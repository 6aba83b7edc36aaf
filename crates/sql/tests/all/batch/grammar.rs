//! What expressions are made of: the columns that a query can name.

use fastrand::Rng;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Int,
    Float,
    Text,
    Bool,
    Date,
    Time,
}

/// How two results of an expression are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Exact,
    /// A float, but for rounding.
    Near,
    /// Any of the values: the batch side has them all.
    Member,
    /// A list in any order.
    Bag,
    /// Text in any order.
    Letters,
    /// A number made bit by bit of different ones: the batch side has them all.
    Bits,
    /// An estimate of how many there are: the batch side counts.
    Distinct,
    /// An estimate of this percentile: the batch side has all values.
    Rank(u8),
}

impl Kind {
    /// What the batch side computes instead, of the arguments.
    pub(super) fn helper(self, args: &[String]) -> Option<String> {
        let first = args.first()?;
        match self {
            Self::Exact | Self::Near | Self::Bag | Self::Letters => None,
            Self::Member => Some(format!("array_agg({first})")),
            // The batch engine takes equal ones too.
            Self::Bits => Some(format!("array_agg(DISTINCT {first})")),
            Self::Distinct => Some(format!("count(DISTINCT {first})")),
            Self::Rank(_) => {
                let weight = args.get(1).map_or("1", String::as_str);
                let text = |e: &str| format!("CAST({e} AS VARCHAR)");
                Some(format!("array_agg({} || '*' || {})", text(first), text(weight)))
            }
        }
    }
}

/// A column that a query can name.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub name: String,
    pub t: Type,
    /// It has what floats can be beside numbers.
    pub wild: bool,
}

impl Column {
    pub(super) fn new(name: &str, t: Type) -> Self {
        Self { name: name.to_owned(), t, wild: name == "w" }
    }
}

/// What a query can name.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    pub columns: Vec<Column>,
    /// Columns that tell rows apart.
    pub unique: Vec<String>,
    /// What is equal in an `ORDER BY` stays in the order in which rows came.
    pub ties: bool,
}

/// On the batch side, the table that a row is of, its number in it, and the watermark before it.
pub(super) const TABLE: &str = "row__table";
pub(super) const NUMBER: &str = "row__number";
pub(super) const MARK: &str = "row__mark";

impl Scope {
    pub(super) fn pick(&self, rng: &mut Rng, is: impl Fn(&&Column) -> bool) -> Option<Column> {
        let all = self.columns.iter().filter(is).collect::<Vec<_>>();
        (!all.is_empty()).then(|| all[rng.usize(..all.len())].clone())
    }

    fn column(&self, rng: &mut Rng, t: Type) -> String {
        let found = self.pick(rng, |c| c.t == t && !c.wild);
        found.map_or_else(|| literal(rng, t), |c| c.name)
    }

    pub(super) fn some_type(&self, rng: &mut Rng) -> Type {
        self.pick(rng, |c| !c.wild).map_or(Type::Int, |c| c.t)
    }

    /// An expression of this type, without what floats can be beside numbers.
    pub(super) fn of(&self, rng: &mut Rng, t: Type, depth: u32) -> String {
        if depth == 0 || rng.u8(..3) > 0 {
            return self.column(rng, t);
        }
        let d = depth - 1;
        match (t, rng.u8(..5)) {
            (Type::Int, 0) => format!("({} + {})", self.of(rng, t, d), self.of(rng, t, d)),
            (Type::Int, 1) => format!("({} % {})", self.of(rng, t, d), rng.i64(2..9)),
            (Type::Int, 2) => format!("character_length({})", self.of(rng, Type::Text, d)),
            (Type::Int, 3) => format!("coalesce({}, {})", self.of(rng, t, d), rng.i64(-3..4)),
            (Type::Float, 0) => format!("({} + {})", self.of(rng, t, d), self.of(rng, t, d)),
            (Type::Float, 1) => format!("({} * 2)", self.of(rng, t, d)),
            (Type::Float, 2) => format!("CAST({} AS DOUBLE)", self.of(rng, Type::Int, d)),
            (Type::Text, 0) => format!("upper({})", self.of(rng, t, d)),
            (Type::Text, 1) => format!("({} || '/')", self.of(rng, t, d)),
            (Type::Text, 2) => format!("CAST({} AS VARCHAR)", self.of(rng, Type::Int, d)),
            (Type::Bool, _) => self.bool(rng, depth),
            (Type::Time, 0) => format!("({} + INTERVAL '90 seconds')", self.of(rng, t, d)),
            (Type::Date, 0) => format!("CAST({} AS DATE)", self.of(rng, Type::Time, d)),
            _ => {
                let (a, b) = (self.of(rng, t, d), self.of(rng, t, d));
                format!("CASE WHEN {} THEN {a} ELSE {b} END", self.bool(rng, d))
            }
        }
    }

    /// A condition.
    pub(super) fn bool(&self, rng: &mut Rng, depth: u32) -> String {
        let d = depth.saturating_sub(1);
        match rng.u8(..8) {
            0 if depth > 0 => format!("NOT ({})", self.bool(rng, d)),
            1 if depth > 0 => format!("({} OR {})", self.bool(rng, d), self.bool(rng, d)),
            2 => format!("({} > {})", self.of(rng, Type::Int, d), rng.i64(-30..30)),
            3 => format!("({} <= {})", self.of(rng, Type::Float, d), self.of(rng, Type::Float, d)),
            4 => {
                let t = self.some_type(rng);
                format!("({} IS NOT NULL)", self.of(rng, t, d))
            }
            5 => format!("({} <> 'a')", self.of(rng, Type::Text, d)),
            6 => format!("({} IN (0, 2, 3, 7))", self.of(rng, Type::Int, d)),
            _ => self.column(rng, Type::Bool),
        }
    }

    /// A float of any kind.
    pub(super) fn float(&self, rng: &mut Rng) -> String {
        match (rng.u8(..6), self.pick(rng, |c| c.wild)) {
            (0, Some(wild)) => wild.name,
            (1, _) => self.real(rng),
            _ => self.of(rng, Type::Float, 1),
        }
    }

    pub(super) fn real(&self, rng: &mut Rng) -> String {
        format!("CAST({} AS REAL)", self.column(rng, Type::Float))
    }

    /// A whole number of fewer bits, or without sign.
    pub(super) fn small(&self, rng: &mut Rng) -> String {
        let of = self.column(rng, Type::Int);
        let t = ["TINYINT", "SMALLINT", "INT", "BIGINT"][rng.usize(..4)];
        match rng.u8(..3) {
            0 => format!("CAST(abs({of} % 100) AS {t} UNSIGNED)"),
            _ => format!("CAST({of} % 100 AS {t})"),
        }
    }

    pub(super) fn decimal(&self, rng: &mut Rng) -> String {
        match rng.u8(..3) {
            0 => format!("CAST({} AS DECIMAL(20, 0))", self.column(rng, Type::Int)),
            1 => format!("CAST({} AS DECIMAL(9, 1))", self.column(rng, Type::Float)),
            _ => format!("CAST({} AS DECIMAL(18, 3))", self.column(rng, Type::Float)),
        }
    }

    /// A key to group by.
    pub(super) fn key(&self, rng: &mut Rng) -> (String, Type) {
        let few = |c: &&Column| matches!(c.name.as_str(), "k" | "s" | "p" | "d" | "m");
        match (rng.u8(..10), self.pick(rng, few)) {
            (0, _) => (format!("({} % 3)", self.column(rng, Type::Int)), Type::Int),
            (1, _) => (format!("upper({})", self.column(rng, Type::Text)), Type::Text),
            (2, _) => (self.bool(rng, 1), Type::Bool),
            (3, _) => {
                let float = self.pick(rng, |c| c.t == Type::Float);
                (float.map_or_else(|| "0.5".to_owned(), |c| c.name), Type::Float)
            }
            (4, _) => (self.decimal(rng), Type::Float),
            (5, _) => (self.small(rng), Type::Int),
            (_, Some(column)) => (column.name, column.t),
            _ => {
                let t = self.some_type(rng);
                (self.column(rng, t), t)
            }
        }
    }

    fn by(&self, rng: &mut Rng) -> String {
        let t = self.some_type(rng);
        let way = ["", " DESC", " NULLS FIRST", " DESC NULLS LAST"][rng.usize(..4)];
        format!("{}{way}", self.of(rng, t, 0))
    }

    /// An order of rows that leaves nothing open.
    pub(super) fn order(&self, rng: &mut Rng) -> String {
        let unique = self.unique.join(", ");
        let by = self.by(rng);
        // The batch engine panics at the same column twice.
        let twice = self.unique.iter().any(|u| by.split(' ').next() == Some(u));
        if twice || rng.bool() { unique } else { format!("{by}, {unique}") }
    }

    /// An order of rows that leaves equal ones as they came, in the streaming and the batch spelling.
    pub(super) fn tie(&self, rng: &mut Rng) -> (String, String) {
        if self.ties {
            let by = self.by(rng);
            return (by.clone(), format!("{by}, {NUMBER}"));
        }
        let order = self.order(rng);
        (order.clone(), order)
    }
}

fn literal(rng: &mut Rng, t: Type) -> String {
    match t {
        Type::Int => rng.i64(0..5).to_string(),
        Type::Float => format!("{:?}", super::rows::quarter(rng)),
        Type::Text => ["'a'", "''", "'é'"][rng.usize(..3)].to_owned(),
        Type::Bool => rng.bool().to_string(),
        Type::Date => "DATE '2026-01-01'".to_owned(),
        Type::Time => "TIMESTAMP '2026-01-01 00:00:00Z'".to_owned(),
    }
}
