//! Random rows and queries: a view gives what a small interpreter of our own gives, row by row, and
//! the same at every batch size.

use std::fmt::Write as _;

use crate::run::{Input, plan, view};
use crate::time::run;
use fastrand::Rng;

/// A value as the interpreter has it.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Null,
    Int(i64),
    Float(f64),
    Text(String),
    Bool(bool),
}

/// Why a row has no result.
#[derive(Debug, PartialEq)]
struct Fails;

#[derive(Clone, Debug)]
enum Expr {
    Column(usize),
    Literal(Value),
    Arithmetic(char, Box<Expr>, Box<Expr>),
    Compare(&'static str, Box<Expr>, Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Not(Box<Expr>),
    IsNull(Box<Expr>),
    Case(Box<Expr>, Box<Expr>, Box<Expr>),
    Coalesce(Box<Expr>, Box<Expr>),
    CastInt(Box<Expr>),
    Upper(Box<Expr>),
    Length(Box<Expr>),
    In(Box<Expr>, Vec<i64>),
}

#[derive(Clone, Copy, PartialEq)]
enum Type {
    Int,
    Float,
    Text,
    Bool,
}

const COLUMNS: &[(&str, Type)] =
    &[("a", Type::Int), ("b", Type::Int), ("x", Type::Float), ("s", Type::Text), ("p", Type::Bool)];

fn literal(rng: &mut Rng, t: Type) -> Value {
    match t {
        Type::Int => Value::Int(rng.i64(-3..4)),
        Type::Float => Value::Float(f64::from(rng.i32(-6..7)) / 2.0),
        Type::Text => Value::Text(["", "a", "B", "7", "-2", "ü"][rng.usize(..6)].to_owned()),
        Type::Bool => Value::Bool(rng.bool()),
    }
}

fn expr(rng: &mut Rng, t: Type, depth: usize) -> Expr {
    let mut sub = |t| Box::new(expr(rng, t, depth.saturating_sub(1)));
    if depth == 0 {
        let fits: Vec<usize> = (0..COLUMNS.len()).filter(|i| COLUMNS[*i].1 == t).collect();
        if rng.u8(..4) == 0 {
            return Expr::Literal(literal(rng, t));
        }
        return Expr::Column(fits[rng.usize(..fits.len())]);
    }
    let choice = sub_choice(&mut sub, t);
    let i = rng.usize(..choice.len());
    choice.into_iter().nth(i).unwrap()
}

fn sub_choice(sub: &mut impl FnMut(Type) -> Box<Expr>, t: Type) -> Vec<Expr> {
    use Type::{Bool, Float, Int, Text};
    let mut all =
        vec![Expr::Case(sub(Bool), sub(t), sub(t)), Expr::Coalesce(sub(t), sub(t)), *sub(t)];
    match t {
        Int => {
            all.extend("+-*/%".chars().map(|op| Expr::Arithmetic(op, sub(Int), sub(Int))));
            all.push(Expr::CastInt(sub(Text)));
            all.push(Expr::Length(sub(Text)));
        }
        Float => all.extend("+-*".chars().map(|op| Expr::Arithmetic(op, sub(Float), sub(Float)))),
        Text => all.push(Expr::Upper(sub(Text))),
        Bool => {
            for op in ["=", "<>", "<", "<=", ">", ">="] {
                all.push(Expr::Compare(op, sub(Int), sub(Int)));
                all.push(Expr::Compare(op, sub(Text), sub(Text)));
            }
            all.push(Expr::Compare("<", sub(Float), sub(Float)));
            all.push(Expr::And(sub(Bool), sub(Bool)));
            all.push(Expr::Or(sub(Bool), sub(Bool)));
            all.push(Expr::Not(sub(Bool)));
            all.push(Expr::IsNull(sub(Int)));
            all.push(Expr::In(sub(Int), vec![-1, 0, 2]));
        }
    }
    all
}

impl Expr {
    fn sql(&self) -> String {
        match self {
            Self::Column(i) => COLUMNS[*i].0.to_owned(),
            Self::Literal(Value::Null) => "NULL".to_owned(),
            Self::Literal(Value::Int(i)) => format!("({i})"),
            Self::Literal(Value::Float(f)) => format!("({f:.1})"),
            Self::Literal(Value::Text(s)) => format!("'{s}'"),
            Self::Literal(Value::Bool(b)) => b.to_string(),
            Self::Arithmetic(op, l, r) => format!("({} {op} {})", l.sql(), r.sql()),
            Self::Compare(op, l, r) => format!("({} {op} {})", l.sql(), r.sql()),
            Self::And(l, r) => format!("({} AND {})", l.sql(), r.sql()),
            Self::Or(l, r) => format!("({} OR {})", l.sql(), r.sql()),
            Self::Not(e) => format!("(NOT {})", e.sql()),
            Self::IsNull(e) => format!("({} IS NULL)", e.sql()),
            Self::Case(c, t, e) => {
                format!("(CASE WHEN {} THEN {} ELSE {} END)", c.sql(), t.sql(), e.sql())
            }
            Self::Coalesce(l, r) => format!("coalesce({}, {})", l.sql(), r.sql()),
            Self::CastInt(e) => format!("CAST({} AS BIGINT)", e.sql()),
            Self::Upper(e) => format!("upper({})", e.sql()),
            Self::Length(e) => format!("character_length({})", e.sql()),
            Self::In(e, of) => {
                let of = of.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
                format!("({} IN ({of}))", e.sql())
            }
        }
    }

    /// Whether it can fail: then what the planner may skip (the right of `AND`, say) is not settled.
    fn fails(&self) -> bool {
        match self {
            Self::Column(_) | Self::Literal(_) => false,
            Self::CastInt(_) => true,
            Self::Arithmetic(op, l, r) => {
                "/%*+-".contains(*op) && self.is_int() || l.fails() || r.fails()
            }
            Self::Compare(_, l, r) | Self::And(l, r) | Self::Or(l, r) | Self::Coalesce(l, r) => {
                l.fails() || r.fails()
            }
            Self::Not(e) | Self::IsNull(e) | Self::Upper(e) | Self::Length(e) | Self::In(e, _) => {
                e.fails()
            }
            Self::Case(c, t, e) => c.fails() || t.fails() || e.fails(),
        }
    }

    /// Whether a part of it that reads no column can fail: for all rows, or for none if nobody needs its value.
    fn fails_without_rows(&self) -> bool {
        (self.fails() && !self.reads()) || self.parts().iter().any(|e| e.fails_without_rows())
    }

    fn reads(&self) -> bool {
        matches!(self, Self::Column(_)) || self.parts().iter().any(|e| e.reads())
    }

    fn parts(&self) -> Vec<&Self> {
        match self {
            Self::Column(_) | Self::Literal(_) => vec![],
            Self::CastInt(e)
            | Self::Not(e)
            | Self::IsNull(e)
            | Self::Upper(e)
            | Self::Length(e)
            | Self::In(e, _) => vec![e],
            Self::Arithmetic(_, l, r)
            | Self::Compare(_, l, r)
            | Self::And(l, r)
            | Self::Or(l, r)
            | Self::Coalesce(l, r) => vec![l, r],
            Self::Case(c, t, e) => vec![c, t, e],
        }
    }

    fn is_int(&self) -> bool {
        match self {
            Self::Column(i) => COLUMNS[*i].1 == Type::Int,
            Self::Literal(v) => matches!(v, Value::Int(_)),
            Self::Arithmetic(_, l, _) => l.is_int(),
            Self::Case(_, t, _) | Self::Coalesce(t, _) => t.is_int(),
            Self::CastInt(_) | Self::Length(_) => true,
            _ => false,
        }
    }

    fn eval(&self, row: &[Value]) -> Result<Value, Fails> {
        Ok(match self {
            Self::Column(i) => row[*i].clone(),
            Self::Literal(v) => v.clone(),
            Self::Arithmetic(op, l, r) => arithmetic(*op, &l.eval(row)?, &r.eval(row)?)?,
            Self::Compare(op, l, r) => compare(op, &l.eval(row)?, &r.eval(row)?),
            Self::And(l, r) => match l.eval(row)? {
                Value::Bool(false) => Value::Bool(false),
                l => match (l, r.eval(row)?) {
                    (_, Value::Bool(false)) => Value::Bool(false),
                    (Value::Null, _) | (_, Value::Null) => Value::Null,
                    _ => Value::Bool(true),
                },
            },
            Self::Or(l, r) => match l.eval(row)? {
                Value::Bool(true) => Value::Bool(true),
                l => match (l, r.eval(row)?) {
                    (_, Value::Bool(true)) => Value::Bool(true),
                    (Value::Null, _) | (_, Value::Null) => Value::Null,
                    _ => Value::Bool(false),
                },
            },
            Self::Not(e) => match e.eval(row)? {
                Value::Bool(b) => Value::Bool(!b),
                _ => Value::Null,
            },
            Self::IsNull(e) => Value::Bool(e.eval(row)? == Value::Null),
            Self::Case(c, t, e) => {
                if c.eval(row)? == Value::Bool(true) {
                    t.eval(row)?
                } else {
                    e.eval(row)?
                }
            }
            Self::Coalesce(l, r) => match l.eval(row)? {
                Value::Null => r.eval(row)?,
                v => v,
            },
            Self::CastInt(e) => match e.eval(row)? {
                Value::Text(s) => s.parse().map(Value::Int).map_err(|_| Fails)?,
                _ => Value::Null,
            },
            Self::Upper(e) => match e.eval(row)? {
                Value::Text(s) => Value::Text(s.to_uppercase()),
                _ => Value::Null,
            },
            Self::Length(e) => match e.eval(row)? {
                Value::Text(s) => Value::Int(s.chars().count() as i64),
                _ => Value::Null,
            },
            Self::In(e, of) => match e.eval(row)? {
                Value::Int(i) => Value::Bool(of.contains(&i)),
                _ => Value::Null,
            },
        })
    }
}

fn arithmetic(op: char, l: &Value, r: &Value) -> Result<Value, Fails> {
    Ok(match (l, r) {
        (Value::Int(l), Value::Int(r)) => Value::Int(
            match op {
                '+' => l.checked_add(*r),
                '-' => l.checked_sub(*r),
                '*' => l.checked_mul(*r),
                '/' => l.checked_div(*r),
                _ => l.checked_rem(*r),
            }
            .ok_or(Fails)?,
        ),
        (Value::Float(l), Value::Float(r)) => Value::Float(match op {
            '+' => l + r,
            '-' => l - r,
            _ => l * r,
        }),
        _ => Value::Null,
    })
}

fn compare(op: &str, l: &Value, r: &Value) -> Value {
    let order = match (l, r) {
        (Value::Int(l), Value::Int(r)) => l.cmp(r),
        (Value::Float(l), Value::Float(r)) => l.partial_cmp(r).unwrap(),
        (Value::Text(l), Value::Text(r)) => l.cmp(r),
        _ => return Value::Null,
    };
    Value::Bool(match op {
        "=" => order.is_eq(),
        "<>" => order.is_ne(),
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        _ => order.is_ge(),
    })
}

fn json(v: &Value) -> String {
    match v {
        Value::Null => "null".to_owned(),
        Value::Int(i) => i.to_string(),
        Value::Float(f) => serde_json::to_string(f).unwrap(),
        Value::Text(s) => serde_json::to_string(s).unwrap(),
        Value::Bool(b) => b.to_string(),
    }
}

fn rows(rng: &mut Rng) -> (Vec<Vec<Value>>, Input) {
    let rows: Vec<Vec<Value>> = (0..rng.usize(1..40))
        .map(|_| {
            let value = |(_, t): &(&str, Type)| {
                if rng.u8(..5) == 0 { Value::Null } else { literal(rng, *t) }
            };
            COLUMNS.iter().map(value).collect()
        })
        .collect();
    let mut text = String::new();
    for row in &rows {
        let fields =
            row.iter().zip(COLUMNS).map(|(v, (name, _))| format!("\"{name}\":{}", json(v)));
        writeln!(text, "{{{}}}", fields.collect::<Vec<_>>().join(",")).unwrap();
    }
    let columns = r#"{"a":"int64","b":"int64","x":"float64","s":"string","p":"bool"}"#;
    (rows, Input::new("t", columns, &text))
}

/// Rows wanted, and ids of rows that fail.
fn wanted(rows: &[Vec<Value>], filter: &Expr, columns: &[Expr]) -> (Vec<String>, Vec<String>) {
    let (mut out, mut refused) = (Vec::new(), Vec::new());
    for (i, row) in rows.iter().enumerate() {
        let result = match filter.eval(row) {
            Ok(Value::Bool(true)) => {
                columns.iter().map(|c| c.eval(row)).collect::<Result<Vec<_>, _>>()
            }
            Ok(_) => continue,
            Err(e) => Err(e),
        };
        match result {
            Ok(values) => {
                let fields =
                    values.iter().enumerate().map(|(c, v)| format!("\"c{c}\":{}", json(v)));
                let text = format!("{{{}}}", fields.collect::<Vec<_>>().join(","));
                out.push(format!("0/0/{i} {}", norm(&text)));
            }
            Err(Fails) => refused.push(format!("0/0/{i}")),
        }
    }
    (out, refused)
}

/// One spelling for floats.
fn norm(text: &str) -> String {
    serde_json::from_str::<serde_json::Value>(text).unwrap().to_string()
}

#[test]
fn a_view_gives_what_the_rows_give_one_by_one() {
    let seed = std::env::var("SEED").map_or_else(|_| fastrand::u64(..), |s| s.parse().unwrap());
    eprintln!("SEED={seed}");
    let mut rng = Rng::with_seed(seed);
    let (mut refused_in_all, mut out_in_all) = (0, 0);
    for _ in 0..150 {
        let (rows, input) = rows(&mut rng);
        let filter = expr(&mut rng, Type::Bool, 2);
        let columns = [Type::Int, Type::Text, Type::Bool, Type::Float].map(|t| {
            let depth = rng.usize(..4);
            expr(&mut rng, t, depth)
        });
        let list = columns.iter().enumerate().map(|(i, c)| format!("{} AS c{i}", c.sql()));
        let list = list.collect::<Vec<_>>().join(", ");
        let sql = format!("SELECT {list} FROM t WHERE {}", filter.sql());
        let inputs = [input];
        let mut planned = plan(&inputs, &[view("v", &sql)], &[]);
        // Constants that fail for every row are refused while planning, unless nothing needs their value: whether
        // `-3 % 0` is null, say, is known without computing it.
        if let Some(e) = planned.errors.first() {
            let fails = filter.fails() || columns.iter().any(Expr::fails);
            assert!(fails, "SEED={seed} {sql}: {}", e.error);
            continue;
        }
        if filter.fails_without_rows() || columns.iter().any(Expr::fails_without_rows) {
            continue;
        }
        let all = run(&inputs, &mut planned, usize::MAX).remove("v").unwrap_or_default();
        for size in [1, 2, 7] {
            let again = run(&inputs, &mut planned, size).remove("v").unwrap_or_default();
            assert_eq!(all, again, "SEED={seed} batches of {size}: {sql}");
        }
        let (rows, refused) = wanted(&rows, &filter, &columns);
        let ids = |lines: &[String]| {
            let id = |l: &String| l.split(' ').next().unwrap().to_owned();
            lines.iter().map(id).collect::<Vec<_>>()
        };
        let got: Vec<String> = all
            .rows
            .iter()
            .map(|l| l.split_once(' ').unwrap())
            .map(|(id, json)| format!("{id} {}", norm(json)))
            .collect();
        assert_eq!(ids(&all.refused), refused, "SEED={seed} {sql}");
        assert_eq!(got, rows, "SEED={seed} {sql}");
        refused_in_all += refused.len();
        out_in_all += rows.len();
    }
    assert!(refused_in_all > 0 && out_in_all > 0, "{refused_in_all} {out_in_all}");
}
