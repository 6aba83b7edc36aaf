//! Functions that make much of little: how much, before they do.
//!
//! `lpad(s, n, 'x')` takes as much memory as a number in a row says, and a failed allocation ends the
//! process. So such functions are wrapped: what they are going to make is worked out first, and
//! refused beyond [`BYTES_MAX`]; the row is then set aside like any that fails.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_schema::{DataType, FieldRef};
use datafusion_common::Result;
use datafusion_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature,
};

use crate::measure::{self, Measure};
use crate::size::{argument_bytes, bounded};

/// What each of them makes, by the first of its names.
const MEASURES: &[(&str, Measure)] = &[
    ("array_append", measure::all),
    ("array_concat", measure::all),
    ("array_prepend", measure::all),
    ("array_repeat", measure::repeated_item),
    ("array_replace", measure::replaced_items),
    ("array_replace_all", measure::replaced_items),
    ("array_replace_n", measure::replaced_items),
    ("array_resize", measure::resized),
    ("array_to_string", measure::joined_items),
    ("array_union", measure::all),
    ("arrays_zip", measure::all),
    ("concat", measure::all),
    ("concat_ws", measure::joined),
    ("encode", measure::all),
    ("generate_series", measure::series),
    ("initcap", measure::all),
    ("lower", measure::all),
    ("lpad", measure::padded),
    ("make_array", measure::all),
    ("map", measure::all),
    ("named_struct", measure::all),
    ("overlay", measure::all),
    ("range", measure::series),
    ("regexp_extract", measure::all),
    ("regexp_match", measure::all),
    ("regexp_replace", measure::replaced_matches),
    ("repeat", measure::repeated),
    ("replace", measure::replaced),
    ("rpad", measure::padded),
    ("string_to_array", measure::all),
    ("struct", measure::all),
    ("to_char", measure::formatted),
    ("to_timestamp", measure::moment),
    ("translate", measure::all),
    ("upper", measure::all),
];

/// The function, wrapped if it makes much of little.
pub(crate) fn wrap(f: Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    match MEASURES.iter().find(|(name, _)| *name == f.name()) {
        Some((_, measure)) => Arc::new(ScalarUDF::new_from_impl(Bounded { f, measure: *measure })),
        None => f,
    }
}

/// Whether a function is one of those that are wrapped, and is not.
pub(crate) fn is_bare(f: &ScalarUDF) -> bool {
    f.inner().downcast_ref::<Bounded>().is_none()
        && MEASURES.iter().any(|(name, _)| *name == f.name())
}

#[derive(Debug)]
struct Bounded {
    f: Arc<ScalarUDF>,
    measure: Measure,
}

impl PartialEq for Bounded {
    fn eq(&self, other: &Self) -> bool {
        self.f == other.f
    }
}

impl Eq for Bounded {}

impl std::hash::Hash for Bounded {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.f.hash(state);
    }
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.f.name()
    }

    fn aliases(&self) -> &[String] {
        self.f.aliases()
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        self.f.schema_name(args)
    }

    fn signature(&self) -> &Signature {
        self.f.signature()
    }

    fn return_type(&self, args: &[DataType]) -> Result<DataType> {
        self.f.return_type(args)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.f.return_field_from_args(args)
    }

    fn is_strict(&self) -> bool {
        self.f.is_strict()
    }

    fn coerce_types(&self, args: &[DataType]) -> Result<Vec<DataType>> {
        self.f.coerce_types(args)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.f.documentation()
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if matches!(self.f.name(), "lpad" | "rpad") {
            no_negatives(&mut args.args);
        }
        let what = || format!("`{}`", self.f.name());
        let rows = args.number_rows;
        bounded(&what(), (self.measure)(&args.args, rows)?)?;
        let result = self.f.invoke_with_args(args)?;
        bounded(&what(), argument_bytes(&result, rows)?)?;
        Ok(result)
    }
}

/// Makes negative lengths 0, which to the library are larger than any when it makes room.
fn no_negatives(args: &mut [ColumnarValue]) {
    if let Some(ColumnarValue::Array(lengths)) = args.get_mut(1)
        && let Some(numbers) = lengths.as_primitive_opt::<Int64Type>()
    {
        *lengths = Arc::new(numbers.unary::<_, Int64Type>(|n| n.max(0)));
    }
}
