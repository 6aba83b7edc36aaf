//! Calls with `OVER` that cannot be, told by their text.

use datafusion_sql::sqlparser::ast::{
    Function, WindowFrameBound, WindowFrameUnits, WindowSpec, WindowType,
};

use millstream_core::Error;

use crate::complain::Place;
use crate::refuse::Look;

/// What has to see all rows of a key.
const WHOLE: &[&str] = &["cume_dist", "ntile", "percent_rank"];
/// What has no use for `FILTER`.
const ROWS: &[&str] =
    &["dense_rank", "first_value", "lag", "last_value", "nth_value", "rank", "row_number"];

impl Look<'_> {
    /// A function that is called with `OVER`.
    pub(crate) fn over(&mut self, name: &str, f: &Function, at: Option<Place>) {
        let shown = format!("`{name}` with `OVER`");
        if WHOLE.contains(&name) {
            let why = "it needs all rows of a key, of which there is no last one";
            let fix =
                "take `row_number`, `rank` or `dense_rank`, which count from the first row on";
            return self.never(at, &shown, why, fix);
        }
        if name == "lead" {
            let fix = "look back from the later row with `lag(…)`, or join the view with itself";
            return self.never(at, &shown, "it looks at rows that are still to come", fix);
        }
        if f.filter.is_some() && ROWS.contains(&name) {
            let fix = "leave out `FILTER`, or take an aggregate: `max(CASE WHEN … THEN … END)`";
            return self.never(at, &format!("`{name}` with `FILTER`"), "it looks at one row", fix);
        }
        if !self.functions.is_over(name) {
            let fix = "leave out `OVER (…)`, or take an aggregate, `lag`, `first_value`, `last_value`, `nth_value`, `row_number`, `rank` or `dense_rank`";
            return self.never(at, &shown, "it computes one row at a time", fix);
        }
        let spec = match &f.over {
            Some(WindowType::WindowSpec(spec)) => Some(spec.clone()),
            Some(WindowType::NamedWindow(name)) => {
                let spec = self.selects.last().and_then(|s| s.named(&name.value));
                if spec.is_none() {
                    let what = format!("there is no window `{}`", name.value);
                    let fix = format!(
                        "add `WINDOW {} AS (PARTITION BY … ORDER BY ts)` at the end",
                        name.value
                    );
                    return self.say(at, Error::stop(what).fix(fix));
                }
                spec
            }
            None => None,
        };
        if let Some(spec) = spec {
            self.spec(&shown, &spec, at);
        }
    }

    fn spec(&mut self, shown: &str, spec: &WindowSpec, at: Option<Place>) {
        if let Some(name) = &spec.window_name {
            let what = format!("`OVER ({name} …)`");
            let fix = format!("write `OVER {name}`, or write the window out");
            return self.not_yet(at, &what, "a named window cannot be added to", &fix);
        }
        if spec.order_by.is_empty() {
            let why = "it would need all rows of a key, of which there is no last one";
            let fix = "say in which order rows count: `OVER (PARTITION BY … ORDER BY ts)` with the event time";
            return self.never(at, &format!("{shown} and no `ORDER BY`"), why, fix);
        }
        let Some(frame) = &spec.window_frame else { return };
        if frame.units == WindowFrameUnits::Groups {
            let fix = "write `ROWS` or `RANGE`";
            return self.not_yet(at, &format!("{shown} and `GROUPS`"), "it is not built", fix);
        }
        let ahead = |bound: &WindowFrameBound| matches!(bound, WindowFrameBound::Following(_));
        if ahead(&frame.start_bound) || frame.end_bound.as_ref().is_some_and(ahead) {
            let what = format!("{shown} and a frame that goes on behind the row (`FOLLOWING`)");
            let fix = "let the frame end with `CURRENT ROW`, and look back from the later row; or join the view with itself";
            self.never(at, &what, "those rows are still to come", fix);
        }
    }
}
