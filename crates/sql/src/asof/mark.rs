//! What marks a join as one as of event time, between the tokens and the plan.

use std::sync::{Arc, LazyLock};

use arrow_schema::DataType;
use datafusion_common::{Result, exec_err};
use datafusion_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility,
};

/// The name of a function that stands first in `ON`. Nobody writes it: it has to be quoted.
pub(crate) const MARK: &str = "as of";

/// The function, which is never called.
pub(crate) fn mark() -> Arc<ScalarUDF> {
    static MARKED: LazyLock<Arc<ScalarUDF>> =
        LazyLock::new(|| Arc::new(ScalarUDF::new_from_impl(Mark::new())));
    MARKED.clone()
}

/// The arguments of the mark, if that is what it is.
pub(super) fn arguments(e: &Expr) -> Option<&[Expr]> {
    match e {
        Expr::ScalarFunction(f) if f.func.name() == MARK => Some(&f.args),
        _ => None,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Mark(Signature);

impl Mark {
    fn new() -> Self {
        let some = vec![TypeSignature::Nullary, TypeSignature::Any(1)];
        // A constant would be computed early.
        Self(Signature::one_of(some, Volatility::Volatile))
    }
}

impl ScalarUDFImpl for Mark {
    fn name(&self) -> &str {
        MARK
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("`ASOF` is for joins")
    }
}
