//! Functions whose timestamps are given in microseconds, as all that sources and sinks have are.
//!
//! The library's own give nanoseconds. As such would leave as microseconds at the end of a query, a key computed by
//! them would not be the column that leaves; and two keys could leave as one.

use std::sync::Arc;

use arrow_schema::{DataType, Field, TimeUnit};
use datafusion_common::Result;
use datafusion_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

/// The function, wrapped if it is one of those.
pub(crate) fn wrap(f: Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    match f.name() {
        "date_bin" | "to_timestamp" => Arc::new(ScalarUDF::new_from_impl(InMicros { f })),
        _ => f,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct InMicros {
    f: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for InMicros {
    fn name(&self) -> &str {
        self.f.name()
    }

    fn signature(&self) -> &Signature {
        self.f.signature()
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.f.documentation()
    }

    fn return_type(&self, args: &[DataType]) -> Result<DataType> {
        Ok(in_micros(self.f.return_type(args)?))
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let of = args.return_type().clone();
        let inner = args.arg_fields.iter().map(|f| f.data_type().clone()).collect::<Vec<_>>();
        let own = Field::clone(&args.return_field).with_data_type(self.f.return_type(&inner)?);
        args.return_field = Arc::new(own);
        self.f.invoke_with_args(args)?.cast_to(&of, None)
    }
}

fn in_micros(of: DataType) -> DataType {
    match of {
        DataType::Timestamp(TimeUnit::Nanosecond, zone) => {
            DataType::Timestamp(TimeUnit::Microsecond, zone)
        }
        of => of,
    }
}
