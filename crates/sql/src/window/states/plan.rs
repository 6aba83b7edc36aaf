//! Which states an aggregate has, and what they take of a batch.

use std::sync::Arc;

use arrow::compute::cast;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, UInt64Type};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use arrow_schema::{DataType, Schema};
use datafusion_common::Result;
use datafusion_physical_expr::PhysicalExpr;

use super::super::Aggregate;
use super::super::keys::unfit;
use super::super::lane::{has_lane, to_lane};
use super::cells::{
    Cells, Count, First, FirstValid, Last, LastValid, Least, Most, One, Sum, Total, Variance,
};
use super::kept::{Kept, Recipe};
use super::texts::Texts;
use super::{Input, States};

/// One aggregate, ready to run.
pub(crate) struct Plan {
    args: Vec<Arc<dyn PhysicalExpr>>,
    filter: Option<Arc<dyn PhysicalExpr>>,
    /// The type of the results.
    kind: DataType,
    form: Form,
}

enum Form {
    Valid,
    Sum(Make),
    Floats(Make),
    Lane(Make),
    Texts(Make),
    Kept(Arc<Recipe>),
}

type Make = fn(&DataType) -> Box<dyn States>;

/// What an aggregate takes of a batch.
pub(crate) struct Given {
    pub input: Input,
    /// The rows that its `FILTER` lets pass.
    pub passes: Option<BooleanBuffer>,
}

impl Plan {
    pub(crate) fn new(aggregate: &Aggregate, schema: &Schema) -> Result<Self> {
        let expr = &aggregate.expr;
        let kind = expr.field().data_type().clone();
        let plain = !expr.is_distinct() && expr.order_bys().is_empty();
        let form = if plain { form(expr.fun().name(), &kind, expr.ignore_nulls()) } else { None };
        let form = match form {
            Some(form) => form,
            None => Form::Kept(Arc::new(Recipe::new(expr, schema)?)),
        };
        Ok(Self { args: expr.expressions(), filter: aggregate.filter.clone(), kind, form })
    }

    /// States for no groups.
    pub(crate) fn states(&self) -> Box<dyn States> {
        match &self.form {
            Form::Valid => Cells::<Count>::of(&self.kind),
            Form::Sum(make) | Form::Floats(make) | Form::Lane(make) | Form::Texts(make) => {
                make(&self.kind)
            }
            Form::Kept(recipe) => Kept::of(recipe.clone()),
        }
    }

    /// Whether sums of it can overflow.
    pub(crate) fn is_sum(&self) -> bool {
        matches!(self.form, Form::Sum(_))
    }

    /// The results that its sums must not pass.
    pub(crate) fn holds(&self, sum: i128) -> bool {
        if self.kind == DataType::UInt64 {
            u64::try_from(sum).is_ok()
        } else {
            i64::try_from(sum).is_ok()
        }
    }

    pub(crate) fn is_unsigned(&self) -> bool {
        self.kind == DataType::UInt64
    }

    /// What it takes of a batch.
    pub(crate) fn give(&self, batch: &RecordBatch) -> Result<Given> {
        let len = batch.num_rows();
        let passes = match &self.filter {
            Some(filter) => {
                let mask = filter.evaluate(batch)?.into_array(len)?;
                let mask = mask.as_boolean_opt().ok_or_else(unfit)?;
                let bits = match mask.nulls() {
                    Some(nulls) => mask.values() & nulls.inner(),
                    None => mask.values().clone(),
                };
                Some(bits)
            }
            None => None,
        };
        let args = self.args.iter().map(|a| a.evaluate(batch)?.into_array(len));
        let args = args.collect::<Result<Vec<_>>>()?;
        let input = match (&self.form, args.first()) {
            (Form::Kept(recipe), _) => recipe.input(&args, batch)?,
            (Form::Valid, _) => {
                let nulls = args.iter().fold(None, |nulls: Option<NullBuffer>, a| {
                    NullBuffer::union(nulls.as_ref(), a.logical_nulls().as_ref())
                });
                Input::Valid(nulls)
            }
            (Form::Sum(_), Some(arg)) => sum(&cast(arg, &self.kind)?),
            (Form::Floats(_), Some(arg)) => {
                let floats = cast(arg, &DataType::Float64)?;
                Input::Floats(floats.as_primitive::<Float64Type>().clone())
            }
            (Form::Lane(_), Some(arg)) => Input::Lane(to_lane(&cast(arg, &self.kind)?)?),
            (Form::Texts(_), Some(arg)) => {
                let arg = cast(arg, &self.kind)?;
                Input::Texts(cast(&arg, &DataType::Binary)?.as_binary::<i32>().clone())
            }
            (_, None) => return Err(unfit()),
        };
        Ok(Given { input, passes })
    }
}

fn sum(values: &ArrayRef) -> Input {
    if let Some(values) = values.as_primitive_opt::<UInt64Type>() {
        let most = values.values().iter().copied().max().unwrap_or(0);
        return Input::Sum(values.unary::<_, Int64Type>(u64::cast_signed), most);
    }
    let values = values.as_primitive::<Int64Type>().clone();
    let most = values.values().iter().map(|v| v.unsigned_abs()).max().unwrap_or(0);
    Input::Sum(values, most)
}

/// The form of a function whose states are of our own; `None` for all others.
fn form(name: &str, kind: &DataType, ignore_nulls: bool) -> Option<Form> {
    let float = *kind == DataType::Float64;
    Some(match name {
        "count" => Form::Valid,
        "sum" if matches!(kind, DataType::Int64 | DataType::UInt64) => Form::Sum(Cells::<Sum>::of),
        "sum" if float => Form::Floats(Cells::<Total<false>>::of),
        "avg" if float => Form::Floats(Cells::<Total<true>>::of),
        "var" if float => Form::Floats(Cells::<Variance<true, false>>::of),
        "var_pop" if float => Form::Floats(Cells::<Variance<false, false>>::of),
        "stddev" if float => Form::Floats(Cells::<Variance<true, true>>::of),
        "stddev_pop" if float => Form::Floats(Cells::<Variance<false, true>>::of),
        "min" | "bool_and" => one(kind, Cells::<One<Least>>::of, Texts::<Least>::of)?,
        "max" | "bool_or" => one(kind, Cells::<One<Most>>::of, Texts::<Most>::of)?,
        "first_value" if ignore_nulls => {
            one(kind, Cells::<One<FirstValid>>::of, Texts::<FirstValid>::of)?
        }
        "last_value" if ignore_nulls => {
            one(kind, Cells::<One<LastValid>>::of, Texts::<LastValid>::of)?
        }
        "first_value" => one(kind, Cells::<One<First>>::of, Texts::<First>::of)?,
        "last_value" => one(kind, Cells::<One<Last>>::of, Texts::<Last>::of)?,
        _ => return None,
    })
}

fn one(kind: &DataType, lane: Make, texts: Make) -> Option<Form> {
    if has_lane(kind) {
        return Some(Form::Lane(lane));
    }
    let text = matches!(
        kind,
        DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Utf8View
            | DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
    );
    text.then_some(Form::Texts(texts))
}
