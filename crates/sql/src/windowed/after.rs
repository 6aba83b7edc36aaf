//! What happens to the rows of an aggregation before anybody else sees them: conditions on the window alone, which
//! stood before the `GROUP BY`, and columns that are computed of the window.

use std::sync::Arc;

use arrow_schema::{Field, Schema, SchemaRef};
use datafusion_common::{Column as Name, DFSchema, Result, plan_err};
use datafusion_expr::{Aggregate, Expr};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::Column as At;

use super::WINDOW_COLUMNS;
use super::known::unalias;
use super::made::{Comes, Made};
use super::role::Side;
use crate::explain::show;
use crate::lower::Lower;
use crate::step::Step;
use crate::window::Column;

/// What comes after an aggregation.
pub(crate) struct After {
    pub columns: Vec<Column>,
    pub schema: SchemaRef,
    pub steps: Vec<Step>,
    /// The columns after the steps.
    pub last: SchemaRef,
    pub explain: Vec<String>,
}

impl Lower<'_> {
    /// What makes the columns of a `GROUP BY` of what an aggregation gives.
    pub(crate) fn after(
        &self,
        aggregate: &Aggregate,
        made: &Made,
        conditions: &[Expr],
    ) -> Result<After> {
        let wanted = aggregate.schema.fields();
        let computed = made.comes.iter().any(|c| matches!(c, Comes::Computed(_)));
        let moment = made.moment(aggregate);
        let (mut columns, mut fields) = (vec![], vec![]);
        if conditions.is_empty() && !computed {
            for (comes, field) in made.comes.iter().zip(wanted) {
                let (column, of) = made.column(comes, &moment);
                columns.push(column);
                fields.push(of.with_name(field.name()));
            }
            let schema: SchemaRef = Arc::new(Schema::new(fields));
            let last = schema.clone();
            return Ok(After { columns, schema, steps: vec![], last, explain: vec![] });
        }
        // All of it comes out, and what is asked for is made of that.
        for (side, name) in [Side::Start, Side::End, Side::Time].into_iter().zip(WINDOW_COLUMNS) {
            let (column, of) = made.column(&Comes::Window(side), &moment);
            columns.push(column);
            fields.push(of.with_name(name));
        }
        let mut picks = vec![];
        for (i, comes) in made.comes.iter().enumerate() {
            if let Comes::Computed(_) | Comes::Window(_) = comes {
                picks.push(None);
                continue;
            }
            let (column, of) = made.column(comes, &moment);
            picks.push(Some(columns.len()));
            columns.push(column);
            fields.push(of.with_name(format!("column {i}")));
        }
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let names = DFSchema::try_from(schema.as_ref().clone())?;
        let mut after = After {
            columns,
            schema: schema.clone(),
            steps: vec![],
            last: schema.clone(),
            explain: vec![],
        };
        for condition in conditions {
            let predicate = self.expr(condition, &names)?;
            after.explain.push(format!("filter {}", show(condition)));
            let keep = (0..schema.fields().len()).collect();
            let schema = schema.clone();
            after.steps.push(Step::Filter { predicate, constants: 0, keep, schema });
        }
        let (mut exprs, mut fields) = (vec![], vec![]);
        for ((comes, pick), field) in made.comes.iter().zip(picks).zip(wanted) {
            let e: Arc<dyn PhysicalExpr> = match (comes, pick) {
                (_, Some(at)) => Arc::new(At::new(schema.field(at).name(), at)),
                (Comes::Computed(e), None) => self.expr(unalias(e), &names)?,
                (Comes::Window(side), None) => self.expr(&column_of(*side), &names)?,
                (Comes::Key(_) | Comes::Aggregate(_), None) => {
                    return plan_err!("a column is lost");
                }
            };
            let (of, nullable) = (e.data_type(&schema)?, e.nullable(&schema)?);
            fields.push(Field::new(field.name(), of, nullable));
            exprs.push(e);
        }
        after.last = Arc::new(Schema::new(fields));
        after.steps.push(Step::Project { exprs, constants: 0, schema: after.last.clone() });
        Ok(after)
    }
}

fn column_of(side: Side) -> Expr {
    let name = match side {
        Side::Start | Side::Key(_) => WINDOW_COLUMNS[0],
        Side::End => WINDOW_COLUMNS[1],
        Side::Time => WINDOW_COLUMNS[2],
    };
    Expr::Column(Name::from_name(name))
}
