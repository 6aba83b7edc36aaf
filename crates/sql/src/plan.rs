//! Tree to plan: names resolved, types agreed, columns and filters pushed down to the scans.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_schema::{DataType, TimeUnit};
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_common::{Column, Result};
use datafusion_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, cast};
use datafusion_optimizer::analyzer::type_coercion::TypeCoercion;
use datafusion_optimizer::common_subexpr_eliminate::CommonSubexprEliminate;
use datafusion_optimizer::decorrelate_predicate_subquery::DecorrelatePredicateSubquery;
use datafusion_optimizer::eliminate_cross_join::EliminateCrossJoin;
use datafusion_optimizer::eliminate_outer_join::EliminateOuterJoin;
use datafusion_optimizer::extract_equijoin_predicate::ExtractEquijoinPredicate;
use datafusion_optimizer::optimize_projections::OptimizeProjections;
use datafusion_optimizer::optimize_unions::OptimizeUnions;
use datafusion_optimizer::push_down_filter::PushDownFilter;
use datafusion_optimizer::replace_distinct_aggregate::ReplaceDistinctWithAggregate;
use datafusion_optimizer::simplify_expressions::SimplifyExpressions;
use datafusion_optimizer::{Analyzer, Optimizer, OptimizerContext, OptimizerRule};
use datafusion_sql::planner::{NullOrdering, ParserOptions, SqlToRel};
use datafusion_sql::sqlparser::ast::{Query, Statement};
use datafusion_sql::sqlparser::keywords::Keyword;

use crate::asof;
use crate::bounded::is_bare;
use crate::catalog::{Catalog, Functions};
use crate::checked::no_overflow;
use crate::complain::said_at;
use crate::join::bound_all;
use crate::lateral::graft_all;
use crate::lookup::{Lookups, join_all};
use crate::rank::ranks;
use crate::reference::{self, References};
use crate::running::keep_last;

/// How DataFusion is set up.
pub(crate) fn options() -> Arc<ConfigOptions> {
    let mut options = ConfigOptions::default();
    options.sql_parser.map_string_types_to_utf8view = false;
    options.sql_parser.enable_ident_normalization = false;
    options.sql_parser.collect_spans = true;
    options.optimizer.skip_failed_rules = false;
    Arc::new(options)
}

fn parser_options() -> ParserOptions {
    ParserOptions {
        parse_float_as_decimal: false,
        enable_ident_normalization: false,
        support_varchar_with_length: true,
        enable_options_value_normalization: false,
        collect_spans: true,
        map_string_types_to_utf8view: false,
        default_null_ordering: NullOrdering::NullsMax,
    }
}

/// Plans one query over tables whose columns are known.
pub(crate) fn plan(
    query: &Query,
    catalog: &Catalog<'_>,
    lookups: &Lookups,
    references: &References,
) -> Result<LogicalPlan> {
    let options = &catalog.options;
    let plan = SqlToRel::new_with_options(catalog, parser_options())
        .sql_statement_to_plan(Statement::Query(Box::new(query.clone())))?;
    let plan = bind(plan, &catalog.functions)?;
    let plan = asof::join_all(plan, &catalog.known)?;
    let plan = graft_all(join_all(plan, lookups)?, references)?;
    let analyzer = Analyzer::with_rules(vec![Arc::new(TypeCoercion::new())]);
    let plan = analyzer.execute_and_check(plan, options, |_, _| ())?;
    let plan = plain_types(plan)?;
    over_whole_streams(&plan)?;
    let plan = reference::join_all(without_subqueries(plan, options)?, references)?;
    no_overflow(&plan, options)?;
    // Conditions come to the joins that they are of while all columns are still there.
    let plan = optimize(keep_last(plan, &catalog.known)?, options, joined())?;
    let plan = bound_all(plan, &catalog.known)?;
    let mut rules = joined();
    rules.push(Arc::new(CommonSubexprEliminate::new()));
    rules.push(Arc::new(OptimizeProjections::new()));
    let plan = ranks(optimize(plan, options, rules)?, &catalog.known)?;
    only_rows(&plan)?;
    Ok(plan)
}

/// Refuses `OVER` over rows that a row of the query around it chooses: as a join it would be over all rows.
fn over_whole_streams(plan: &LogicalPlan) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Window(window) = node
            && window.input.exists(|below| Ok(below.contains_outer_reference()))?
        {
            let what = "`OVER` in `EXISTS` or `IN (SELECT …)` is not possible over rows that are chosen by the row outside";
            let fix = "compute it over all rows, and choose around it: `EXISTS (SELECT 1 FROM (SELECT *, … OVER (…) AS x FROM b) AS b WHERE b.ts = a.ts AND b.x > …)`";
            return Err(said_at(what, fix, &[Keyword::OVER, Keyword::QUALIFY]));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

/// Refuses what is left of queries inside expressions, and columns of one name that `*` gives.
fn only_rows(plan: &LogicalPlan) -> Result<()> {
    let mut names = BTreeSet::new();
    for field in plan.schema().fields() {
        if !names.insert(field.name()) {
            let what = format!("two columns are called `{}`", field.name());
            let fix = "name the columns of each side in place of `*`, and give one another name with `AS`";
            return Err(said_at(what, fix, &[Keyword::SELECT]));
        }
    }
    plan.apply(|node| {
        node.apply_expressions(|e| {
            let query = |e: &Expr| {
                Ok(matches!(e, Expr::Exists(_) | Expr::InSubquery(_) | Expr::ScalarSubquery(_)))
            };
            if e.exists(query)? {
                let (what, fix) = match node {
                    LogicalPlan::Filter(_) => (
                        "`EXISTS` or `IN (SELECT …)` asks a query in which columns of the row outside stand too deep, in a `UNION` or a group: it cannot be made a join",
                        "compare around that query: `EXISTS (SELECT 1 FROM (SELECT … UNION ALL SELECT …) AS b WHERE b.id = a.id AND b.ts = a.ts)`",
                    ),
                    _ => (
                        "`EXISTS` and `IN (SELECT …)` are possible in `WHERE` alone: elsewhere a row would have to wait to tell that they are false",
                        "let it stand in `WHERE`, beside other conditions with `AND`",
                    ),
                };
                return Err(said_at(what, fix, &[Keyword::EXISTS, Keyword::IN]));
            }
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(())
}

/// Puts the functions of the catalog where the planner has put its own: `[a, b]`, `a || b`.
fn bind(plan: LogicalPlan, functions: &Functions) -> Result<LogicalPlan> {
    let bound = plan.transform_up_with_subqueries(|node| {
        node.map_expressions(|e| {
            e.transform_up(|e| match e {
                Expr::ScalarFunction(mut f) if is_bare(&f.func) => {
                    if let Some(bound) = functions.get(f.func.name()) {
                        f.func = bound.clone();
                    }
                    Ok(Transformed::yes(Expr::ScalarFunction(f)))
                }
                e => Ok(Transformed::no(e)),
            })
        })
    })?;
    Ok(bound.data)
}

/// Makes joins of `IN (SELECT …)` and `EXISTS (SELECT …)`.
fn without_subqueries(plan: LogicalPlan, options: &Arc<ConfigOptions>) -> Result<LogicalPlan> {
    let mut any = false;
    plan.apply(|node| {
        node.apply_expressions(|e| {
            any |= e.exists(|e| Ok(matches!(e, Expr::InSubquery(_) | Expr::Exists(_))))?;
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    if !any {
        return Ok(plan);
    }
    optimize(plan, options, vec![Arc::new(DecorrelatePredicateSubquery::new())])
}

type Rules = Vec<Arc<dyn OptimizerRule + Send + Sync>>;

/// Left out are rules on sorts, limits and most on aggregates, those that change joins more than they have to, and those that
/// would drop a scan that gives no rows: a view stays fed by what it names.
fn joined() -> Rules {
    vec![
        Arc::new(ReplaceDistinctWithAggregate::new()),
        Arc::new(OptimizeUnions::new()),
        Arc::new(SimplifyExpressions::new()),
        Arc::new(DecorrelatePredicateSubquery::new()),
        Arc::new(EliminateCrossJoin::new()),
        Arc::new(EliminateOuterJoin::new()),
        Arc::new(PushDownFilter::new()),
        Arc::new(ExtractEquijoinPredicate::new()),
    ]
}

fn optimize(plan: LogicalPlan, options: &Arc<ConfigOptions>, rules: Rules) -> Result<LogicalPlan> {
    let context = OptimizerContext::new_with_config_options(options.clone())
        .without_query_execution_start_time();
    Optimizer::with_rules(rules).optimize(plan, &context, |_, _| ())
}

/// Casts columns to the few types that sinks know: moments in µs UTC, one kind of text,
/// bytes, whole numbers and floats.
fn plain_types(plan: LogicalPlan) -> Result<LogicalPlan> {
    let schema = plan.schema().clone();
    if schema.fields().iter().all(|f| plain(f.data_type()) == *f.data_type()) {
        return Ok(plan);
    }
    let columns = schema.iter().map(|(qualifier, field)| {
        let column = Expr::Column(Column::from((qualifier, field.as_ref())));
        let wanted = plain(field.data_type());
        if wanted == *field.data_type() {
            return Ok(column);
        }
        debug_assert!(column.get_type(&schema).is_ok());
        Ok(cast(column, wanted).alias_qualified(qualifier.cloned(), field.name()))
    });
    LogicalPlanBuilder::from(plan).project(columns.collect::<Result<Vec<_>>>()?)?.build()
}

fn plain(t: &DataType) -> DataType {
    use DataType as T;
    match t {
        T::Timestamp(_, _) => T::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        T::Utf8View | T::LargeUtf8 => T::Utf8,
        T::BinaryView | T::LargeBinary | T::FixedSizeBinary(_) => T::Binary,
        T::Dictionary(_, values) => plain(values),
        T::Null => T::Utf8,
        T::Int8 | T::Int16 | T::Int32 => T::Int64,
        T::UInt8 | T::UInt16 | T::UInt32 | T::UInt64 => T::Int64,
        T::Float16 | T::Float32 => T::Float64,
        other => other.clone(),
    }
}
