//! Steps for people: expressions as one would write them.

use arrow::util::display::array_value_to_string;
use arrow_buffer::IntervalMonthDayNano;
use arrow_schema::DataType;
use datafusion_common::ScalarValue;
use datafusion_expr::expr::{
    AggregateFunction, AggregateFunctionParams, Alias, InList, Like, NullTreatment,
};
use datafusion_expr::expr_rewriter::unnormalize_col;
use datafusion_expr::{BinaryExpr, Case, Expr, LogicalPlan};

use crate::complain::plain_types;
use crate::windowed::{count, span_words};

/// An expression as SQL, columns without their table.
pub(crate) fn show(e: &Expr) -> String {
    text(&unnormalize_col(e.clone()))
}

/// Several, behind one another.
pub(crate) fn list<'a>(exprs: impl IntoIterator<Item = &'a Expr>) -> String {
    exprs.into_iter().map(show).collect::<Vec<_>>().join(", ")
}

/// What a plan's node is called in SQL.
pub(crate) fn node(plan: &LogicalPlan) -> String {
    let name = plan.display().to_string();
    name.split(':').next().unwrap_or_default().to_lowercase()
}

/// A column's name, where the planner made one up as what it stands for.
pub(crate) fn column(name: &str) -> String {
    if let Some(number) = name.strip_prefix("__common_expr_") {
        return format!("#{number}");
    }
    let Some(inner) = name.strip_prefix(UNNEST) else { return name.to_owned() };
    let inner = inner.split(",depth=").next().unwrap_or(inner).replace("outer_ref(", "");
    let inner = inner.trim_end_matches(')');
    if inner.contains(['(', ',', ' ']) {
        return "unnest(…)".to_owned();
    }
    format!("unnest({})", inner.rsplit_once('.').map_or(inner, |(_, last)| last))
}

/// What the planner calls a column that is to be taken apart.
const UNNEST: &str = "__unnest_placeholder(";

fn text(e: &Expr) -> String {
    match e {
        Expr::Column(c) => column(&c.name),
        Expr::Alias(Alias { expr, name, .. }) => match expr.as_ref() {
            Expr::Column(c) if c.name == *name => column(name),
            inner if name.starts_with(UNNEST) => text(inner),
            inner if name.starts_with("__common") => format!("{} AS {}", text(inner), column(name)),
            inner => format!("{} AS {name}", text(&inner.clone().unalias())),
        },
        Expr::Literal(v, _) => literal(v),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            format!("{} {op} {}", operand(left), operand(right))
        }
        Expr::Not(e) => format!("NOT {}", operand(e)),
        Expr::Negative(e) => format!("-{}", operand(e)),
        Expr::IsNull(e) => format!("{} IS NULL", operand(e)),
        Expr::IsNotNull(e) => format!("{} IS NOT NULL", operand(e)),
        Expr::Between(b) => {
            let not = if b.negated { "NOT " } else { "" };
            let (low, high) = (operand(&b.low), operand(&b.high));
            format!("{} {not}BETWEEN {low} AND {high}", operand(&b.expr))
        }
        Expr::Like(Like { negated, expr, pattern, case_insensitive, .. }) => {
            let not = if *negated { "NOT " } else { "" };
            let like = if *case_insensitive { "ILIKE" } else { "LIKE" };
            format!("{} {not}{like} {}", operand(expr), operand(pattern))
        }
        Expr::InList(InList { expr, list, negated }) => {
            let not = if *negated { "NOT " } else { "" };
            let items = list.iter().map(text).collect::<Vec<_>>().join(", ");
            format!("{} {not}IN ({items})", operand(expr))
        }
        Expr::Case(case) => case_text(case),
        Expr::Cast(c) => cast("CAST", &c.expr, c.field.data_type()),
        Expr::TryCast(c) => cast("TRY_CAST", &c.expr, c.field.data_type()),
        Expr::ScalarFunction(f) => match (f.name(), f.args.as_slice()) {
            ("get_field", [of, Expr::Literal(ScalarValue::Utf8(Some(field)), _)]) => {
                format!("{}.{field}", operand(of))
            }
            (name, args) => {
                format!("{name}({})", args.iter().map(text).collect::<Vec<_>>().join(", "))
            }
        },
        Expr::AggregateFunction(f) => aggregate(f),
        other => other.human_display().to_string(),
    }
}

fn aggregate(f: &AggregateFunction) -> String {
    let AggregateFunctionParams { args, distinct, filter, order_by, null_treatment } = &f.params;
    let mut inner = args.iter().map(text).collect::<Vec<_>>().join(", ");
    if (f.func.name(), inner.as_str()) == ("count", "1") {
        "*".clone_into(&mut inner);
    }
    let distinct = if *distinct { "DISTINCT " } else { "" };
    let order = order_by.iter().map(|o| {
        let down = if o.asc { "" } else { " DESC" };
        // Nulls come last going up and first going down, if nothing else is said.
        let nulls = match (o.asc == o.nulls_first, o.nulls_first) {
            (false, _) => "",
            (true, true) => " NULLS FIRST",
            (true, false) => " NULLS LAST",
        };
        format!("{}{down}{nulls}", text(&o.expr))
    });
    let order = order.collect::<Vec<_>>().join(", ");
    let order = if order.is_empty() { order } else { format!(" ORDER BY {order}") };
    let filter = filter.as_ref().map(|e| format!(" FILTER (WHERE {})", text(e)));
    let nulls =
        if *null_treatment == Some(NullTreatment::IgnoreNulls) { " IGNORE NULLS" } else { "" };
    format!("{}({distinct}{inner}{order}){nulls}{}", f.func.name(), filter.unwrap_or_default())
}

fn cast(word: &str, e: &Expr, to: &DataType) -> String {
    format!("{word}({} AS {})", text(e), plain_types(&to.to_string()))
}

fn case_text(case: &Case) -> String {
    let mut words = vec!["CASE".to_owned()];
    words.extend(case.expr.iter().map(|e| text(e)));
    for (when, then) in &case.when_then_expr {
        words.push(format!("WHEN {} THEN {}", text(when), text(then)));
    }
    words.extend(case.else_expr.iter().map(|e| format!("ELSE {}", text(e))));
    words.push("END".to_owned());
    words.join(" ")
}

fn operand(e: &Expr) -> String {
    match e {
        Expr::BinaryExpr(_) | Expr::Between(_) | Expr::Like(_) | Expr::InList(_) => {
            format!("({})", text(e))
        }
        e => text(e),
    }
}

fn literal(v: &ScalarValue) -> String {
    match v {
        ScalarValue::Utf8(Some(s)) | ScalarValue::LargeUtf8(Some(s)) => {
            format!("'{}'", s.replace('\'', "''"))
        }
        v if v.is_null() => "NULL".to_owned(),
        v => match (v.data_type(), plain(v)) {
            (DataType::Timestamp(..), Some(text)) => format!("TIMESTAMP '{text}'"),
            (DataType::Interval(_), Some(text)) => format!("INTERVAL '{text}'"),
            (DataType::Date32 | DataType::Date64, Some(text)) => format!("DATE '{text}'"),
            (_, Some(text)) => text,
            (_, None) => v.to_string(),
        },
    }
}

/// A span as people write it: `1 month 2 days 90 minutes`. Parts of a microsecond are left to the library.
fn spelled(v: IntervalMonthDayNano) -> Option<String> {
    let rest = v.nanoseconds / 1_000;
    if rest * 1_000 != v.nanoseconds {
        return None;
    }
    let dates = [(v.months, "month"), (v.days, "day")].into_iter().filter(|(n, _)| *n != 0);
    let mut parts = dates.map(|(n, unit)| count(i64::from(n), unit)).collect::<Vec<_>>();
    if rest != 0 || parts.is_empty() {
        parts.push(span_words(rest));
    }
    Some(parts.join(" "))
}

fn plain(v: &ScalarValue) -> Option<String> {
    if let ScalarValue::IntervalMonthDayNano(Some(v)) = v
        && let Some(text) = spelled(*v)
    {
        return Some(text);
    }
    array_value_to_string(&v.to_array().ok()?, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_spelled_as_people_write_them() {
        let text =
            |months, days, nanos| literal(&ScalarValue::new_interval_mdn(months, days, nanos));
        let second = 1_000_000_000;
        assert_eq!(text(0, 0, second), "INTERVAL '1 second'");
        assert_eq!(text(1, 2, 5400 * second), "INTERVAL '1 month 2 days 90 minutes'");
        assert_eq!(text(0, 1, 1_500_000), "INTERVAL '1 day 1500 microseconds'");
        assert_eq!(text(0, 0, -second / 4), "INTERVAL '-250 milliseconds'");
        assert_eq!(text(14, i32::MAX, 0), "INTERVAL '14 months 2147483647 days'");
        assert_eq!(text(0, 0, 0), "INTERVAL '0 microseconds'");
        assert_eq!(text(0, 0, 1), "INTERVAL '0.000000001 secs'");
    }
}
