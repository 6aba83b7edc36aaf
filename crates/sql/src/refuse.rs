//! What a view cannot do, or not yet, said before planning starts, all at once.

use datafusion_expr::{ScalarUDF, Volatility};

use crate::arrival::CLOCK_NAMES;

/// Whether a function gives another result each time it is called.
pub(crate) fn is_volatile(f: &ScalarUDF) -> bool {
    f.signature().volatility == Volatility::Volatile && !CLOCK_NAMES.contains(&f.name())
}
