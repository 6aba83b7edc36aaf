//! Joins of reference tables, found in a plan.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{Column, DFSchema, DataFusionError, NullEquality, Result};
use datafusion_expr::utils::{conjunction, split_conjunction_owned};
use datafusion_expr::{
    BinaryExpr, Distinct, Expr, Extension, Filter, Join, JoinType, LogicalPlan, LogicalPlanBuilder,
    Operator,
};
use datafusion_sql::sqlparser::keywords::Keyword;

use super::{ReferenceNode, References, Way};
use crate::complain::said_at;

/// The one table that a plan of scans, conditions and projections reads.
pub(super) fn table_of(plan: &LogicalPlan) -> Option<&str> {
    match plan {
        LogicalPlan::TableScan(scan) => Some(scan.table_name.table()),
        LogicalPlan::SubqueryAlias(alias) => table_of(&alias.input),
        LogicalPlan::Filter(filter) => table_of(&filter.input),
        LogicalPlan::Projection(projection) => table_of(&projection.input),
        LogicalPlan::Distinct(Distinct::All(input)) => table_of(input),
        _ => None,
    }
}

/// Whether rows are read of nothing but a reference table.
pub(crate) fn is_of_reference(plan: &LogicalPlan, is_reference: impl Fn(&str) -> bool) -> bool {
    table_of(plan).is_some_and(is_reference)
}

/// Replaces every join of a reference table, and takes in the conditions that stand above it in `WHERE`.
pub(crate) fn join_all(plan: LogicalPlan, references: &References) -> Result<LogicalPlan> {
    if references.is_empty() {
        return Ok(plan);
    }
    let is_side = |plan: &LogicalPlan| is_of_reference(plan, |t| references.contains_key(t));
    let joined = plan.transform_up(|node| match node {
        LogicalPlan::Join(join) => match (is_side(&join.left), is_side(&join.right)) {
            (false, false) => Ok(Transformed::no(LogicalPlan::Join(join))),
            (false, true) => Ok(Transformed::yes(of(node_of(join)?))),
            (true, false) => Ok(Transformed::yes(turned(join)?)),
            (true, true) => Err(two_tables()),
        },
        LogicalPlan::Filter(filter) if node_in(&filter.input).is_some() => {
            let conditions = split_conjunction_owned(filter.predicate);
            Ok(Transformed::yes(absorb(conditions, Arc::unwrap_or_clone(filter.input))?))
        }
        node => Ok(Transformed::no(node)),
    })?;
    Ok(joined.data)
}

fn of(node: ReferenceNode) -> LogicalPlan {
    LogicalPlan::Extension(Extension { node: Arc::new(node) })
}

fn node_in(plan: &LogicalPlan) -> Option<&ReferenceNode> {
    match plan {
        LogicalPlan::Extension(e) => e.node.as_any().downcast_ref(),
        _ => None,
    }
}

fn node_of(join: Join) -> Result<ReferenceNode> {
    let way = match join.join_type {
        JoinType::Inner => Way::Inner,
        JoinType::Left => Way::Left,
        JoinType::LeftSemi => Way::Semi,
        JoinType::LeftAnti if join.null_aware => Way::NotIn,
        JoinType::LeftAnti => Way::Anti,
        JoinType::LeftMark => return Err(in_the_midst()),
        other => return Err(keeps_the_table(other)),
    };
    let (pairs, conditions) = conditions(join.on, join.filter, join.null_equality);
    let side = plain(join.right, way);
    let one = pairs.len() + conditions.len() == 1;
    if way == Way::NotIn && !one {
        return Err(said_at(
            "`NOT IN (SELECT …)` with a condition on the row inside is not possible: where nulls come in, it would depend on all rows of the table for each row",
            "write `NOT EXISTS (SELECT 1 FROM … WHERE …)`",
            &[Keyword::IN],
        ));
    }
    let node = ReferenceNode::new(join.left, side, pairs, None, way)?;
    let node = node.also(conditions)?;
    if way == Way::NotIn && node.filter.is_some() {
        let what =
            "this `NOT IN (SELECT …)` compares nothing of the row with a column of the table";
        return Err(said_at(what, "write `NOT EXISTS (SELECT 1 FROM … WHERE …)`", &[Keyword::IN]));
    }
    Ok(node)
}

/// What is made of the table, without `DISTINCT` where only matters whether there is a match.
fn plain(side: Arc<LogicalPlan>, way: Way) -> Arc<LogicalPlan> {
    if matches!(way, Way::Inner | Way::Left) {
        return side;
    }
    let bare = Arc::unwrap_or_clone(side).transform_up(|node| match node {
        LogicalPlan::Distinct(Distinct::All(input)) => {
            Ok(Transformed::yes(Arc::unwrap_or_clone(input)))
        }
        node => Ok(Transformed::no(node)),
    });
    match bare {
        Ok(bare) => Arc::new(bare.data),
        // It never fails.
        Err(_) => Arc::new(LogicalPlan::default()),
    }
}

/// Pairs that are equal, and all other conditions.
fn conditions(
    on: Vec<(Expr, Expr)>,
    filter: Option<Expr>,
    equality: NullEquality,
) -> (Vec<(Expr, Expr)>, Vec<Expr>) {
    let mut conditions = filter.map(split_conjunction_owned).unwrap_or_default();
    conditions.retain(|e| *e != datafusion_expr::lit(true));
    match equality {
        NullEquality::NullEqualsNothing => (on, conditions),
        NullEquality::NullEqualsNull => {
            let same = |(a, b): (Expr, Expr)| {
                let op = Operator::IsNotDistinctFrom;
                Expr::BinaryExpr(BinaryExpr::new(Box::new(a), op, Box::new(b)))
            };
            conditions.extend(on.into_iter().map(same));
            (vec![], conditions)
        }
    }
}

/// Of conditions, those by which something of the input equals something of the table; and the others.
pub(super) fn keys(
    conditions: Vec<Expr>,
    input: &DFSchema,
    side: &DFSchema,
) -> (Vec<(Expr, Expr)>, Vec<Expr>) {
    let of = |e: &Expr, schema: &DFSchema| {
        let columns = e.column_refs();
        !columns.is_empty() && columns.into_iter().all(|c| schema.has_column(c))
    };
    let (mut keys, mut rest) = (vec![], vec![]);
    for condition in conditions {
        match condition {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right })
                if of(&left, input) && of(&right, side) =>
            {
                keys.push((*left, *right));
            }
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right })
                if of(&right, input) && of(&left, side) =>
            {
                keys.push((*right, *left));
            }
            other => rest.push(other),
        }
    }
    (keys, rest)
}

/// `FROM devices d JOIN readings r`: the same the other way round, with the columns in their order.
fn turned(join: Join) -> Result<LogicalPlan> {
    let way = match join.join_type {
        JoinType::Inner => JoinType::Inner,
        JoinType::Right => JoinType::Left,
        JoinType::Left => return Err(keeps_the_table(JoinType::Right)),
        other => return Err(keeps_the_table(other)),
    };
    let columns: Vec<Expr> = join.schema.columns().into_iter().map(Expr::Column).collect();
    let on = join.on.into_iter().map(|(a, b)| (b, a)).collect();
    let join = Join { left: join.right, right: join.left, on, join_type: way, ..join };
    LogicalPlanBuilder::from(of(node_of(join)?)).project(columns)?.build()
}

/// Lets a join take in the conditions on its table, and one below those on that one's.
fn absorb(conditions: Vec<Expr>, plan: LogicalPlan) -> Result<LogicalPlan> {
    let below = |conditions: Vec<Expr>, plan: LogicalPlan| match conjunction(conditions) {
        Some(rest) => Ok(LogicalPlan::Filter(Filter::try_new(rest, Arc::new(plan))?)),
        None => Ok(plan),
    };
    let Some(node) = node_in(&plan).filter(|n| n.way == Way::Inner).cloned() else {
        return below(conditions, plan);
    };
    let names: BTreeSet<Column> = node.side.schema().columns().into_iter().collect();
    let of_table = |e: &Expr| e.column_refs().into_iter().any(|c| names.contains(c));
    let (own, rest): (Vec<Expr>, Vec<Expr>) = conditions.into_iter().partition(of_table);
    let node = node.also(own)?;
    let input = Arc::unwrap_or_clone(node.input);
    let input = Arc::new(absorb(rest, input)?);
    Ok(of(ReferenceNode::new(input, node.side, node.on, node.filter, node.way)?))
}

fn keeps_the_table(join: JoinType) -> DataFusionError {
    let what = format!(
        "`{join} JOIN` of a reference table is not possible: its rows without a match would be due once all others had come, and these never end"
    );
    let fix = "take `LEFT JOIN` or `INNER JOIN`, with the reference table on the right";
    said_at(
        what.replace("`Right JOIN`", "`RIGHT JOIN`").replace("`Full JOIN`", "`FULL JOIN`"),
        fix,
        &[Keyword::RIGHT, Keyword::FULL, Keyword::JOIN],
    )
}

fn two_tables() -> DataFusionError {
    said_at(
        "two reference tables are joined to each other, and no rows stream by that these could be for",
        "join them one after the other to the rows: `FROM rows JOIN one ON … JOIN other ON …`",
        &[Keyword::JOIN, Keyword::FROM],
    )
}

fn in_the_midst() -> DataFusionError {
    said_at(
        "`IN (SELECT …)` and `EXISTS (SELECT …)` inside of another condition are not yet possible",
        "let it stand alone beside an `AND`; or `LEFT JOIN` the table, and ask whether its column `IS NULL`",
        &[Keyword::EXISTS, Keyword::IN],
    )
}
