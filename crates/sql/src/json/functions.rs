//! The functions over JSON text.

use std::hash::Hash;
use std::sync::{Arc, LazyLock};

use arrow_array::builder::{
    BooleanBuilder, Float64Builder, Int64Builder, ListBuilder, StringBuilder,
};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, Field};
use datafusion_common::{DFSchema, Result, plan_err};
use datafusion_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion_expr::{
    ColumnarValue, DocSection, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};
use datafusion_sql::sqlparser::ast::BinaryOperator;
use serde_json::value::RawValue;

use super::walk::{Key, find, items, members, unescape};

/// What a function gives of the value that its path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Gives {
    Json,
    Text,
    Str,
    Int,
    Float,
    Bool,
    Contains,
    Length,
    Keys,
    Items,
}

/// Name, other names, what it gives, and a line for the docs.
const ALL: &[(&str, &[&str], Gives, &str)] = &[
    (
        "json_get",
        &["json_get_json"],
        Gives::Json,
        "The value at a path as JSON text; `json -> key` is the same.",
    ),
    (
        "json_as_text",
        &["json_get_text"],
        Gives::Text,
        "The value at a path as text, strings without quotes; `json ->> key` is the same.",
    ),
    ("json_get_str", &[], Gives::Str, "The string at a path, null if there is none."),
    ("json_get_int", &[], Gives::Int, "The whole number at a path, null if there is none."),
    ("json_get_float", &[], Gives::Float, "The number at a path, null if there is none."),
    ("json_get_bool", &[], Gives::Bool, "The true or false at a path, null if there is neither."),
    (
        "json_contains",
        &[],
        Gives::Contains,
        "Whether there is a value at a path; `json ? key` is the same.",
    ),
    (
        "json_length",
        &["json_len"],
        Gives::Length,
        "How many items the array, or members the object at a path has.",
    ),
    (
        "json_object_keys",
        &["json_keys"],
        Gives::Keys,
        "The keys of the object at a path, as a list.",
    ),
    (
        "json_get_array",
        &[],
        Gives::Items,
        "The items of the array at a path, as a list of JSON texts: for `UNNEST`.",
    ),
];

static FUNCTIONS: LazyLock<Vec<Arc<ScalarUDF>>> = LazyLock::new(|| {
    let make = |(name, aliases, gives, line): &(&'static str, &[&str], Gives, &str)| {
        Arc::new(ScalarUDF::new_from_impl(JsonFunction {
            name,
            gives: *gives,
            aliases: aliases.iter().map(|s| (*s).to_owned()).collect(),
            signature: Signature::user_defined(Volatility::Immutable),
            documentation: Documentation::builder(
                DocSection { include: true, label: "JSON", description: None },
                *line,
                format!("{name}(json, key, …)"),
            )
            .build(),
        }))
    };
    ALL.iter().map(make).collect()
});

/// All functions of this file.
pub(crate) fn functions() -> &'static [Arc<ScalarUDF>] {
    &FUNCTIONS
}

/// Plans `->`, `->>` and `?`.
#[derive(Debug)]
pub(crate) struct JsonPlanner;

impl ExprPlanner for JsonPlanner {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        _: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        let name = match &expr.op {
            BinaryOperator::Arrow => "json_get",
            BinaryOperator::LongArrow => "json_as_text",
            BinaryOperator::Question => "json_contains",
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let function = functions().iter().find(|f| f.name() == name);
        match function {
            Some(f) => Ok(PlannerResult::Planned(f.call(vec![expr.left, expr.right]))),
            None => Ok(PlannerResult::Original(expr)),
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct JsonFunction {
    name: &'static str,
    gives: Gives,
    aliases: Vec<String>,
    signature: Signature,
    documentation: Documentation,
}

impl ScalarUDFImpl for JsonFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.gives {
            Gives::Json | Gives::Text | Gives::Str => DataType::Utf8,
            Gives::Int | Gives::Length => DataType::Int64,
            Gives::Float => DataType::Float64,
            Gives::Bool | Gives::Contains => DataType::Boolean,
            Gives::Keys | Gives::Items => {
                DataType::List(Arc::new(Field::new("item", DataType::Utf8, true)))
            }
        })
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let mut types = types.iter();
        let json = match types.next() {
            Some(t) if is_text(t) => DataType::Utf8,
            Some(t) => return plan_err!("`{}` reads JSON text, not {t}", self.name),
            None => return plan_err!("`{}` is called as `{0}(json, key, …)`", self.name),
        };
        let keys = types.map(|t| match t {
            t if t.is_integer() => Ok(DataType::Int64),
            t if is_text(t) => Ok(DataType::Utf8),
            t => plan_err!("a key in JSON is text or a whole number, not {t}"),
        });
        std::iter::once(Ok(json)).chain(keys).collect()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let all_scalar = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if all_scalar { 1 } else { args.number_rows };
        // A key that is the same for all rows stays one row long, and is read as row 0 each time.
        let columns = args
            .args
            .into_iter()
            .map(|a| match a {
                ColumnarValue::Array(a) => Ok(Argument { array: a, repeated: false }),
                ColumnarValue::Scalar(s) => Ok(Argument { array: s.to_array()?, repeated: true }),
            })
            .collect::<Result<Vec<_>>>()?;
        let result = compute(self.gives, &columns, rows);
        if all_scalar {
            let scalar = datafusion_common::ScalarValue::try_from_array(&result, 0)?;
            return Ok(ColumnarValue::Scalar(scalar));
        }
        Ok(ColumnarValue::Array(result))
    }
}

fn is_text(t: &DataType) -> bool {
    matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null)
}

struct Argument {
    array: ArrayRef,
    repeated: bool,
}

impl Argument {
    fn text(&self, row: usize) -> Option<&str> {
        let row = if self.repeated { 0 } else { row };
        let texts = self.array.as_string_opt::<i32>()?;
        texts.is_valid(row).then(|| texts.value(row))
    }

    fn key(&self, row: usize) -> Option<Key<'_>> {
        if let Some(numbers) = self.array.as_primitive_opt::<Int64Type>() {
            let row = if self.repeated { 0 } else { row };
            return numbers.is_valid(row).then(|| Key::Index(numbers.value(row)));
        }
        self.text(row).map(Key::Name)
    }
}

/// For each row: `None` when the JSON or a key is null, or the value if there is one.
fn found(args: &[Argument], rows: usize) -> impl Iterator<Item = Option<Option<&str>>> {
    let (json, keys) = args.split_first().map_or((None, args), |(json, keys)| (Some(json), keys));
    let mut path = Vec::with_capacity(keys.len());
    (0..rows).map(move |row| {
        let text = json?.text(row)?;
        path.clear();
        for key in keys {
            path.push(key.key(row)?);
        }
        Some(find(text, &path))
    })
}

fn compute(gives: Gives, args: &[Argument], rows: usize) -> ArrayRef {
    let all = found(args, rows);
    let values = |all: Option<Option<_>>| all.flatten();
    match gives {
        Gives::Json => strings(all.map(|v| values(v).and_then(json_text)), rows),
        Gives::Text => texts(all.map(values), rows, true),
        Gives::Str => texts(all.map(values), rows, false),
        Gives::Int => {
            let mut b = Int64Builder::with_capacity(rows);
            all.for_each(|v| b.append_option(values(v).and_then(int)));
            Arc::new(b.finish())
        }
        Gives::Float => {
            let mut b = Float64Builder::with_capacity(rows);
            all.for_each(|v| b.append_option(values(v).and_then(|t| serde_json::from_str(t).ok())));
            Arc::new(b.finish())
        }
        Gives::Bool => {
            let mut b = BooleanBuilder::with_capacity(rows);
            all.for_each(|v| b.append_option(values(v).and_then(|t| t.parse().ok())));
            Arc::new(b.finish())
        }
        Gives::Contains => {
            let mut b = BooleanBuilder::with_capacity(rows);
            all.for_each(|v| b.append_option(v.map(|v| v.is_some())));
            Arc::new(b.finish())
        }
        Gives::Length => {
            let mut b = Int64Builder::with_capacity(rows);
            all.for_each(|v| b.append_option(values(v).and_then(length)));
            Arc::new(b.finish())
        }
        Gives::Keys => lists(all.map(|v| {
            let keys = members(values(v)?)?.map(|(k, _)| unescape(k).unwrap_or_default());
            Some(keys.collect())
        })),
        Gives::Items => lists(all.map(|v| {
            let items = items(values(v)?)?.map(|i| find(i, &[]).unwrap_or_default().to_owned());
            Some(items.collect())
        })),
    }
}

/// The text if it is one whole JSON value.
fn json_text(text: &str) -> Option<&str> {
    serde_json::from_str::<&RawValue>(text).ok().map(RawValue::get)
}

fn int(text: &str) -> Option<i64> {
    if let Ok(i) = text.parse() {
        return Some(i);
    }
    // `1.0` and `2e3` are whole numbers too; beyond 2^53 a float no longer says which.
    let f: f64 = serde_json::from_str(text).ok()?;
    let whole = f.fract() == 0.0 && f.abs() <= 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and within 2^53")]
    whole.then_some(f as i64)
}

fn length(text: &str) -> Option<i64> {
    let count = match text.as_bytes().first()? {
        b'[' => items(text)?.count(),
        b'{' => members(text)?.count(),
        _ => return None,
    };
    i64::try_from(count).ok()
}

fn strings<'a>(all: impl Iterator<Item = Option<&'a str>>, rows: usize) -> ArrayRef {
    let mut b = StringBuilder::with_capacity(rows, rows * 16);
    all.for_each(|v| b.append_option(v));
    Arc::new(b.finish())
}

/// Strings without their quotes; with `any`, other values as their JSON, and null as null.
fn texts<'a>(all: impl Iterator<Item = Option<&'a str>>, rows: usize, any: bool) -> ArrayRef {
    let mut b = StringBuilder::with_capacity(rows, rows * 16);
    all.for_each(|v| match v {
        Some(t) if t.starts_with('"') => {
            let inner = t.get(1..t.len() - 1).unwrap_or_default();
            if inner.contains(|c: char| c == '\\' || c < ' ') {
                b.append_option(serde_json::from_str::<String>(t).ok());
            } else {
                b.append_value(inner);
            }
        }
        Some(t) if any && t != "null" => b.append_option(json_text(t)),
        _ => b.append_null(),
    });
    Arc::new(b.finish())
}

fn lists(all: impl Iterator<Item = Option<Vec<String>>>) -> ArrayRef {
    let mut b = ListBuilder::new(StringBuilder::new());
    for list in all {
        let some = list.is_some();
        for item in list.into_iter().flatten() {
            b.values().append_value(item);
        }
        b.append(some);
    }
    Arc::new(b.finish())
}
