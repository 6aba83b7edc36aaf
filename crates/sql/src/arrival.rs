//! `now()` and its kin: the arrival time of the frame that the rows came in.
//!
//! A view has no clock. Each planned view has one [`Arrival`], which its operator sets before it
//! computes, and which its `now()`, `current_date()` and `current_time()` read.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow_schema::{DataType, Field, FieldRef, TimeUnit};
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::{
    ColumnarValue, DocSection, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};
use millstream_core::Timestamp;

const DAY_US: i64 = 86_400_000_000;

/// The moment that a view's clock functions tell.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arrival(Arc<AtomicI64>);

impl Arrival {
    pub(crate) fn set(&self, now: Timestamp) {
        self.0.store(now.0, Ordering::Relaxed);
    }

    fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    /// The clock functions, reading this arrival time.
    pub(crate) fn functions(&self) -> Vec<Arc<ScalarUDF>> {
        [Tells::Moment, Tells::Date, Tells::Time]
            .map(|tells| {
                Arc::new(ScalarUDF::new_from_impl(ClockFunction {
                    tells,
                    arrival: self.clone(),
                    // Not for what it does, but so that the planner does not compute it.
                    signature: Signature::nullary(Volatility::Volatile),
                    documentation: tells.documentation(),
                    aliases: tells.aliases().iter().map(|s| (*s).to_owned()).collect(),
                }))
            })
            .to_vec()
    }
}

/// Names of functions that are volatile to the planner and yet pure.
pub(crate) const CLOCK_NAMES: &[&str] =
    &["now", "current_timestamp", "current_date", "today", "current_time"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Tells {
    Moment,
    Date,
    Time,
}

impl Tells {
    fn name(self) -> &'static str {
        match self {
            Self::Moment => "now",
            Self::Date => "current_date",
            Self::Time => "current_time",
        }
    }

    fn documentation(self) -> Documentation {
        let line = match self {
            Self::Moment => "When the row arrived.",
            Self::Date => "The day on which the row arrived, in UTC.",
            Self::Time => "The time of day at which the row arrived, in UTC.",
        };
        let section = DocSection { include: true, label: "Time", description: None };
        Documentation::builder(section, line, format!("{}()", self.name())).build()
    }

    fn aliases(self) -> &'static [&'static str] {
        match self {
            Self::Moment => &["current_timestamp"],
            Self::Date => &["today"],
            Self::Time => &[],
        }
    }
}

#[derive(Debug)]
struct ClockFunction {
    tells: Tells,
    arrival: Arrival,
    signature: Signature,
    aliases: Vec<String>,
    documentation: Documentation,
}

impl PartialEq for ClockFunction {
    fn eq(&self, other: &Self) -> bool {
        self.tells == other.tells && Arc::ptr_eq(&self.arrival.0, &other.arrival.0)
    }
}

impl Eq for ClockFunction {}

impl Hash for ClockFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.tells.hash(state);
    }
}

impl ScalarUDFImpl for ClockFunction {
    fn name(&self) -> &str {
        self.tells.name()
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
        Ok(match self.tells {
            Tells::Moment => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Tells::Date => DataType::Date32,
            Tells::Time => DataType::Time64(TimeUnit::Microsecond),
        })
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(self.name(), self.return_type(&[])?, false)))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let now = self.arrival.get();
        Ok(ColumnarValue::Scalar(match self.tells {
            Tells::Moment => ScalarValue::TimestampMicrosecond(Some(now), Some("UTC".into())),
            Tells::Date => ScalarValue::Date32(i32::try_from(now.div_euclid(DAY_US)).ok()),
            Tells::Time => ScalarValue::Time64Microsecond(Some(now.rem_euclid(DAY_US))),
        }))
    }
}
