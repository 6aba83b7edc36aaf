//! All that is remembered for the calls of an analysis.

use std::sync::Arc;

use arrow_schema::Schema;
use datafusion_common::{Result, exec_err};
use datafusion_physical_expr::PhysicalExpr;

use super::history::{History, Low};
use crate::state::typed;

fn text(
    args: &[Arc<dyn PhysicalExpr>],
    filter: Option<&Arc<dyn PhysicalExpr>>,
    whole: bool,
    schema: &Schema,
) -> Result<String> {
    let all = args.iter().chain(filter).map(|e| typed(e, schema));
    let all = all.collect::<Result<Vec<_>>>()?;
    Ok(format!("{whole} {} {}", filter.is_some(), all.join(", ")))
}

/// What is to be remembered: some columns, and which rows count.
type Given<'a> = (&'a [Arc<dyn PhysicalExpr>], Option<&'a Arc<dyn PhysicalExpr>>);

/// All that is remembered; what is the same is remembered once.
#[derive(Default)]
pub(super) struct Histories(pub Vec<History>);

impl Histories {
    /// The place of what is remembered of these, so far back.
    pub(super) fn place(
        &mut self,
        (args, filter): Given<'_>,
        whole: bool,
        low: Low,
        schema: &Schema,
    ) -> Result<usize> {
        let text = text(args, filter, whole, schema)?;
        let place = match self.0.iter().position(|h| h.text == text) {
            Some(place) => place,
            None => {
                self.0.push(History::new(args, filter, whole, schema, text)?);
                self.0.len() - 1
            }
        };
        if let Some(history) = self.0.get_mut(place)
            && !history.lows.contains(&low)
        {
            history.lows.push(low);
        }
        Ok(place)
    }

    pub(super) fn get(&self, place: usize) -> Result<&History> {
        match self.0.get(place) {
            Some(history) => Ok(history),
            None => exec_err!("nothing is remembered for a call"),
        }
    }
}
