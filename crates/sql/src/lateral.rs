//! `FROM t CROSS JOIN UNNEST(t.list)`: what stands beside a table and is made of its row, grafted
//! onto it, so that no join is left.

use std::sync::Arc;

use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{Column, DFSchema, Result, ScalarValue, plan_err};
use datafusion_expr::{Expr, Join, JoinType, LogicalPlan, LogicalPlanBuilder};

use crate::reference::{References, is_of_reference};

/// Replaces every such join.
pub(crate) fn graft_all(plan: LogicalPlan, references: &References) -> Result<LogicalPlan> {
    let is_side = |plan: &LogicalPlan| is_of_reference(plan, |t| references.contains_key(t));
    let grafted = plan.transform_up(|node| match node {
        LogicalPlan::Join(join)
            if is_beside(&join) && !is_side(&join.left) && !is_side(&join.right) =>
        {
            let left = Arc::unwrap_or_clone(join.left);
            let width = left.schema().fields().len();
            let plan = graft(&join.right, left, width)?;
            let plan = qualify(plan, width, join.right.schema())?;
            Ok(Transformed::yes(plan))
        }
        node => Ok(Transformed::no(node)),
    })?;
    Ok(grafted.data)
}

fn is_beside(join: &Join) -> bool {
    let always = match &join.filter {
        None => true,
        Some(e) => matches!(e, Expr::Literal(ScalarValue::Boolean(Some(true)), _)),
    };
    join.join_type == JoinType::Inner && join.on.is_empty() && always && is_of_row(&join.right)
}

/// Whether it is made of the row that it stands beside, and reads no table.
fn is_of_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::EmptyRelation(e) => e.produce_one_row,
        LogicalPlan::Subquery(s) => is_of_row(&s.subquery),
        other => match other.inputs().as_slice() {
            [one] => is_of_row(one),
            _ => false,
        },
    }
}

/// Puts `right` on top of `left`: the first `width` columns of the result are those of `left`.
fn graft(right: &LogicalPlan, left: LogicalPlan, width: usize) -> Result<LogicalPlan> {
    match right {
        LogicalPlan::Subquery(s) => graft(&s.subquery, left, width),
        LogicalPlan::EmptyRelation(e) if e.produce_one_row => Ok(left),
        LogicalPlan::SubqueryAlias(alias) => {
            qualify(graft(&alias.input, left, width)?, width, &alias.schema)
        }
        LogicalPlan::Projection(p) => {
            let input = graft(&p.input, left, width)?;
            let mut exprs = left_columns(input.schema(), width);
            for (e, (qualifier, field)) in p.expr.iter().zip(p.schema.iter()) {
                let e = inner(e)?.unalias();
                exprs.push(e.alias_qualified(qualifier.cloned(), field.name()));
            }
            LogicalPlanBuilder::from(input).project(exprs)?.build()
        }
        LogicalPlan::Filter(f) => {
            let input = graft(&f.input, left, width)?;
            LogicalPlanBuilder::from(input).filter(inner(&f.predicate)?)?.build()
        }
        LogicalPlan::Unnest(u) => {
            let input = graft(&u.input, left, width)?;
            LogicalPlanBuilder::from(input)
                .unnest_columns_with_options(u.exec_columns.clone(), u.options.clone())?
                .build()
        }
        _ => plan_err!("only `UNNEST` of a column can stand beside a table"),
    }
}

fn left_columns(schema: &DFSchema, width: usize) -> Vec<Expr> {
    schema.columns().into_iter().take(width).map(Expr::Column).collect()
}

/// Names the columns beyond the first `width` as in `names`.
fn qualify(plan: LogicalPlan, width: usize, names: &DFSchema) -> Result<LogicalPlan> {
    let mut exprs = left_columns(plan.schema(), width);
    let right = plan.schema().columns().into_iter().skip(width);
    for (column, (qualifier, field)) in right.zip(names.iter()) {
        let same = Column::from((qualifier, field.as_ref())) == column;
        let column = Expr::Column(column);
        exprs.push(if same {
            column
        } else {
            column.alias_qualified(qualifier.cloned(), field.name())
        });
    }
    LogicalPlanBuilder::from(plan).project(exprs)?.build()
}

/// The expression with columns of the row outside as plain columns.
fn inner(e: &Expr) -> Result<Expr> {
    let inner = e.clone().transform(|e| match e {
        Expr::OuterReferenceColumn(_, c) => Ok(Transformed::yes(Expr::Column(c))),
        e => Ok(Transformed::no(e)),
    })?;
    Ok(inner.data)
}
