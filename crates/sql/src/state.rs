//! What state is made for, as text: it changes with all that the state means, and with nothing else.
//!
//! Columns go by their places, so that what they are called by the way does not show.

use std::sync::Arc;

use arrow_schema::Schema;
use datafusion_common::Result;
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::Column;

use crate::chain::{Chain, Feed};
use crate::grown::Grown;
use crate::step::Step;

/// Of which version of the library the functions are, whose states may be others in the next.
const LIBRARY: &str = "datafusion 55.2.0";
/// Of which version what is kept beside them is.
const OURS: &str = "windows 3";

/// An expression with its columns by their places.
pub(crate) fn unnamed(e: &Arc<dyn PhysicalExpr>) -> Result<String> {
    let bare = e.clone().transform_up(|e| match e.downcast_ref::<Column>() {
        Some(c) => {
            let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new("", c.index()));
            Ok(Transformed::yes(column))
        }
        None => Ok(Transformed::no(e)),
    })?;
    Ok(bare.data.to_string())
}

/// The same, with its type.
pub(crate) fn typed(e: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<String> {
    Ok(format!("{} is {}", unnamed(e)?, e.data_type(schema)?))
}

/// What the state of a view is made for; `None` if it keeps none.
pub(crate) fn meaning(chains: &[Chain], grown: &[Grown]) -> Result<Option<String>> {
    if grown.is_empty() {
        return Ok(None);
    }
    let mut text = format!("{LIBRARY}, {OURS}\n");
    for (number, part) in grown.iter().enumerate() {
        for chain in chains.iter().filter(|c| c.to.is_some_and(|to| to.node == number)) {
            text.push_str(&feed(chain, grown)?);
        }
        text.push_str(&format!("{} {number}: {}", part.spec.word(), part.state));
    }
    Ok(Some(text))
}

fn feed(chain: &Chain, grown: &[Grown]) -> Result<String> {
    let mut text = match &chain.from {
        Feed::Table(name) => format!("from {name}:"),
        Feed::Node(number) => {
            let word = grown.get(*number).map_or("window", |g| g.spec.word());
            format!("from {word} {number}:")
        }
    };
    for field in chain.scan.fields() {
        let null = if field.is_nullable() { "?" } else { "" };
        // What an aggregation gives has no name of its own.
        match &chain.from {
            Feed::Table(_) => {
                text.push_str(&format!(" {} {}{null}", field.name(), field.data_type()));
            }
            Feed::Node(_) => text.push_str(&format!(" {}{null}", field.data_type())),
        }
    }
    text.push('\n');
    for step in &chain.steps {
        text.push_str(&format!("  {}\n", line(step)?));
    }
    Ok(text)
}

pub(crate) fn line(step: &Step) -> Result<String> {
    Ok(match step {
        Step::Filter { predicate, keep, .. } => {
            format!("filter {} keep {keep:?}", unnamed(predicate)?)
        }
        Step::Project { exprs, schema, .. } => {
            let exprs = exprs.iter().map(unnamed).collect::<Result<Vec<_>>>()?;
            let types = schema.fields().iter().map(|f| f.data_type().to_string());
            format!("project {} is {}", exprs.join(", "), types.collect::<Vec<_>>().join(", "))
        }
        Step::Rename { .. } => "rename".to_owned(),
        Step::Refuse { .. } => "refuse".to_owned(),
        Step::Unnest(unnest) => unnest.meaning(),
        Step::Lookup(lookup) => lookup.meaning()?,
        Step::Reference(reference) => reference.meaning()?,
        Step::Window(assign) => {
            let how = assign.windows.map_or("later".to_owned(), |w| format!("{w:?}"));
            format!("window {how} of {} beside {:?}", unnamed(&assign.time)?, assign.passing)
        }
    })
}
