//! Tree to plan: names resolved, types agreed, columns and filters pushed down to the scans.

use std::sync::Arc;

use arrow_schema::{DataType, TimeUnit};
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{Column, Result};
use datafusion_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, cast};
use datafusion_optimizer::analyzer::type_coercion::TypeCoercion;
use datafusion_optimizer::common_subexpr_eliminate::CommonSubexprEliminate;
use datafusion_optimizer::optimize_projections::OptimizeProjections;
use datafusion_optimizer::optimize_unions::OptimizeUnions;
use datafusion_optimizer::push_down_filter::PushDownFilter;
use datafusion_optimizer::replace_distinct_aggregate::ReplaceDistinctWithAggregate;
use datafusion_optimizer::simplify_expressions::SimplifyExpressions;
use datafusion_optimizer::{Analyzer, Optimizer, OptimizerContext};
use datafusion_sql::planner::{NullOrdering, ParserOptions, SqlToRel};
use datafusion_sql::sqlparser::ast::{Query, Statement};

use crate::bounded::is_bare;
use crate::catalog::{Catalog, Functions};
use crate::checked::no_overflow;
use crate::lateral::graft_all;
use crate::lookup::{Lookups, join_all};
use crate::rank::ranks;
use crate::running::keep_last;
use crate::windowed::Known;

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
    known: &Known,
) -> Result<LogicalPlan> {
    let options = &catalog.options;
    let plan = SqlToRel::new_with_options(catalog, parser_options())
        .sql_statement_to_plan(Statement::Query(Box::new(query.clone())))?;
    let plan = bind(plan, &catalog.functions)?;
    let plan = graft_all(join_all(plan, lookups)?)?;
    let analyzer = Analyzer::with_rules(vec![Arc::new(TypeCoercion::new())]);
    let plan = analyzer.execute_and_check(plan, options, |_, _| ())?;
    let plan = plain_types(plan)?;
    no_overflow(&plan, options)?;
    let plan = optimize(keep_last(plan, known)?, options)?;
    ranks(plan, known)
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

fn optimize(plan: LogicalPlan, options: &Arc<ConfigOptions>) -> Result<LogicalPlan> {
    // Left out are rules on joins, sorts, limits and most on aggregates, and those that would drop a scan
    // that gives no rows: a view stays fed by what it names.
    let optimizer = Optimizer::with_rules(vec![
        Arc::new(ReplaceDistinctWithAggregate::new()),
        Arc::new(OptimizeUnions::new()),
        Arc::new(SimplifyExpressions::new()),
        Arc::new(PushDownFilter::new()),
        Arc::new(CommonSubexprEliminate::new()),
        Arc::new(OptimizeProjections::new()),
    ]);
    let context = OptimizerContext::new_with_config_options(options.clone())
        .without_query_execution_start_time();
    optimizer.optimize(plan, &context, |_, _| ())
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
