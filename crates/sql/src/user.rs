//! Users' own functions, as the planner wants them.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow_array::Array;
use arrow_schema::DataType;
use datafusion_common::{DataFusionError, Result, exec_err};
use datafusion_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use millstream_core::operator::Function;

/// A user's function among those of the library.
pub(crate) fn function(f: Arc<dyn Function>) -> Arc<ScalarUDF> {
    let arguments = f.arguments();
    let signature = if arguments.is_empty() {
        Signature::nullary(Volatility::Immutable)
    } else {
        Signature::exact(arguments, Volatility::Immutable)
    };
    Arc::new(ScalarUDF::new_from_impl(UserFunction { name: f.name().to_lowercase(), f, signature }))
}

#[derive(Debug)]
struct UserFunction {
    name: String,
    f: Arc<dyn Function>,
    signature: Signature,
}

impl PartialEq for UserFunction {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.f, &other.f)
    }
}

impl Eq for UserFunction {}

impl Hash for UserFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for UserFunction {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.f.result())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        // Constants come as one row when all arguments are constant.
        let arrays = if arrays.iter().all(|a| a.len() == rows) {
            arrays
        } else {
            args.args.iter().map(|a| a.to_array(rows)).collect::<Result<Vec<_>>>()?
        };
        let result = self
            .f
            .call(&arrays, rows)
            .map_err(|e| DataFusionError::Execution(format!("`{}`: {}", self.name, e.line())))?;
        if result.len() != rows || *result.data_type() != self.f.result() {
            return exec_err!(
                "`{}` gave {} values of type {} for {rows} rows of type {}",
                self.name,
                result.len(),
                result.data_type(),
                self.f.result()
            );
        }
        Ok(ColumnarValue::Array(result))
    }
}
