//! Calls of the table functions, read off the tree.

use datafusion_sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, Spanned, TableFactor,
    Value, ValueWithSpan,
};
use millstream_core::Error;

use crate::complain::{Complaint, Place};
use crate::parse::place;

/// A way to cut event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Tumble,
    Hop,
    Cumulate,
    Session,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Tumble, Self::Hop, Self::Cumulate, Self::Session];

    pub(crate) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.name().eq_ignore_ascii_case(name))
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tumble => "TUMBLE",
            Self::Hop => "HOP",
            Self::Cumulate => "CUMULATE",
            Self::Session => "SESSION",
        }
    }

    /// How it is called, over a table.
    pub(crate) fn form(self, table: &str, time: &str) -> String {
        let spans = match self {
            Self::Tumble => "INTERVAL '1 minute'",
            Self::Hop => "INTERVAL '10 seconds', INTERVAL '1 minute'",
            Self::Cumulate => "INTERVAL '10 minutes', INTERVAL '1 hour'",
            Self::Session => "INTERVAL '30 minutes', key",
        };
        format!("{}({table}, {time}, {spans})", self.name())
    }

    /// What its arguments are called, those that may be left out last.
    pub(crate) fn spans(self) -> &'static [&'static str] {
        match self {
            Self::Tumble => &["size", "offset"],
            Self::Hop => &["slide", "size", "offset"],
            Self::Cumulate => &["step", "size", "offset"],
            Self::Session => &["gap"],
        }
    }

    /// How many spans there have to be.
    fn spans_min(self) -> usize {
        match self {
            Self::Tumble | Self::Session => 1,
            Self::Hop | Self::Cumulate => 2,
        }
    }
}

/// A query of the shortest form over a table, as far as it is known.
pub(crate) fn form_for(table: &str, time: Option<&str>) -> String {
    let call = Kind::Tumble.form(table, time.unwrap_or("…"));
    format!("`FROM {call} GROUP BY window_start, window_end, …`")
}

/// A call.
pub(crate) struct Call<'a> {
    pub kind: Kind,
    pub table: &'a Ident,
    pub time: &'a Expr,
    pub spans: Vec<&'a Expr>,
    pub keys: Vec<&'a Expr>,
}

/// The name of a table function and its arguments, if this calls one.
pub(crate) fn called(table: &TableFactor) -> Option<(Kind, &ObjectName, &[FunctionArg])> {
    let TableFactor::Table { name, args: Some(args), .. } = table else { return None };
    let [only] = name.0.as_slice() else { return None };
    Some((Kind::of(&only.as_ident()?.value)?, name, &args.args))
}

/// A call, if the table is one whose arguments are as many and of the kinds as they should be.
pub(crate) fn read(table: &TableFactor) -> Option<Call<'_>> {
    let (kind, name, args) = called(table)?;
    call(kind, name, args).ok()
}

fn call<'a>(kind: Kind, name: &ObjectName, args: &'a [FunctionArg]) -> Result<Call<'a>, Complaint> {
    let wrong = |at: Option<Place>, what: String| {
        let error = Error::stop(what).fix(format!("write `{}`", kind.form("readings", "ts")));
        Complaint::new(at.or_else(|| place(name.span())), error)
    };
    let word = kind.name();
    let mut exprs = Vec::with_capacity(args.len());
    for arg in args {
        match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) => exprs.push(e),
            other => {
                return Err(wrong(None, format!("`{other}` means nothing in `{word}`")));
            }
        }
    }
    let mut exprs = exprs.into_iter();
    let table = match exprs.next() {
        Some(Expr::Identifier(table)) => table,
        Some(other) => {
            let what = format!("the first argument of `{word}` is the name of a source or view");
            let mut complaint = wrong(place(other.span()), what);
            if let Expr::Subquery(query) = other {
                let fix = format!(
                    "give the query a name: `WITH wanted AS ({query}) SELECT … FROM {}`",
                    kind.form("wanted", "ts")
                );
                complaint.error = complaint.error.fix(fix);
            }
            return Err(complaint);
        }
        None => return Err(wrong(None, format!("`{word}` needs arguments"))),
    };
    let Some(time) = exprs.next() else {
        return Err(wrong(None, format!("the column with the event time is missing in `{word}`")));
    };
    let rest: Vec<&Expr> = exprs.collect();
    let names = kind.spans();
    if rest.len() < kind.spans_min() {
        let missing = names.get(rest.len()).unwrap_or(&"size");
        return Err(wrong(None, format!("the {missing} is missing in `{word}`")));
    }
    let (spans, keys) = rest.split_at(rest.len().min(names.len()));
    if let (Some(extra), true) = (keys.first(), kind != Kind::Session) {
        let what = format!("`{word}` has no argument after the {}", names.join(", "));
        return Err(wrong(place(extra.span()), what));
    }
    Ok(Call { kind, table, time, spans: spans.to_vec(), keys: keys.to_vec() })
}

/// Complains of a call that is not as it should be.
pub(crate) fn refuse_call(table: &TableFactor) -> Option<Complaint> {
    let (kind, name, args) = called(table)?;
    let call = match call(kind, name, args) {
        Ok(call) => call,
        Err(complaint) => return Some(complaint),
    };
    let is_column = |e: &Expr| matches!(e, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
    let word = kind.name();
    if !is_column(call.time) {
        let what = format!("`{}` is no column: `{word}` goes by the event time itself", call.time);
        let fix = "name the column that the source declares as its `event_time`";
        return Some(Complaint::new(place(call.time.span()), Error::stop(what).fix(fix)));
    }
    if let Some(null) = call.spans.iter().find(|e| is_null(e)) {
        let what = format!("`NULL` is no span of time in `{word}`");
        let fix = format!("write `{}`", kind.form("readings", "ts"));
        return Some(Complaint::new(place(null.span()), Error::stop(what).fix(fix)));
    }
    let key = call.keys.iter().find(|e| !is_column(e))?;
    let what = format!("`{key}` is no column: a session is kept for each value of columns");
    if let Expr::Function(f) = key
        && matches!(f.args, FunctionArguments::None)
    {
        let what = format!("`{key}` is a function in SQL where it is not quoted");
        let fix = format!("write `\"{key}\"` for the column of this name");
        return Some(Complaint::new(place(key.span()), Error::stop(what).fix(fix)));
    }
    let fix = format!(
        "compute it before: `WITH keyed AS (SELECT *, {key} AS key FROM {t}) … FROM SESSION(keyed, …, key)`",
        t = call.table.value
    );
    Some(Complaint::new(place(key.span()), Error::stop(what).fix(fix)))
}

/// Whether it is `NULL`, which also stands for what was wrong here.
pub(crate) fn is_null(e: &Expr) -> bool {
    matches!(e, Expr::Value(ValueWithSpan { value: Value::Null, .. }))
}
