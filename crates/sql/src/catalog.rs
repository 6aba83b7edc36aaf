//! What a query can name: tables and functions.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use arrow_schema::{DataType, SchemaRef};
use datafusion_common::config::ConfigOptions;
use datafusion_common::{Result, TableReference, plan_err};
use datafusion_expr::planner::{ContextProvider, ExprPlanner, RelationPlanner};
use datafusion_expr::{
    AggregateUDF, Documentation, HigherOrderUDF, ScalarUDF, TableSource, WindowUDF,
};
use datafusion_functions::core::planner::CoreFunctionPlanner;
use datafusion_functions::datetime::planner::DatetimeFunctionPlanner;
use datafusion_functions::unicode::planner::UnicodeFunctionPlanner;
use datafusion_functions_aggregate::all_default_aggregate_functions;
use datafusion_functions_aggregate::planner::AggregateFunctionPlanner;
use datafusion_functions_nested::planner::{FieldAccessPlanner, NestedFunctionPlanner};
use datafusion_functions_window::all_default_window_functions;
use datafusion_functions_window::planner::WindowFunctionPlanner;

use crate::arrival::Arrival;
use crate::asof::{MARK, mark};
use crate::json::JsonPlanner;
use crate::windowed::{Known, WindowPlanner};
use crate::{bounded, micros};

/// The functions there are, by every name they have.
#[derive(Clone)]
pub(crate) struct Functions {
    by_name: BTreeMap<String, Arc<ScalarUDF>>,
    /// Those that make one value of many.
    aggregates: BTreeMap<String, Arc<AggregateUDF>>,
    /// Those that look from a row at others beside it.
    windowed: BTreeMap<String, Arc<WindowUDF>>,
}

/// Made once: there are hundreds, each with its documentation.
static STANDARD: LazyLock<Functions> = LazyLock::new(Functions::gather);

impl Functions {
    /// Those that every pipeline has.
    pub(crate) fn standard() -> Self {
        STANDARD.clone()
    }

    fn gather() -> Self {
        let mut all = Self {
            by_name: BTreeMap::new(),
            aggregates: BTreeMap::new(),
            windowed: BTreeMap::new(),
        };
        for f in all_default_window_functions() {
            all.windowed.insert(f.name().to_owned(), f);
        }
        for f in all_default_aggregate_functions() {
            // It tells sets of keys apart, of which a window has one.
            if f.name() == "grouping" {
                continue;
            }
            for alias in f.aliases() {
                all.aggregates.insert(alias.clone(), f.clone());
            }
            all.aggregates.insert(f.name().to_owned(), f);
        }
        for f in datafusion_functions::all_default_functions() {
            all.add(f);
        }
        for f in datafusion_functions_nested::all_default_nested_functions() {
            all.add(f);
        }
        for f in crate::json::functions() {
            all.add(f.clone());
        }
        all.add(crate::extract::function());
        for f in Arrival::default().functions() {
            all.add(f);
        }
        all
    }

    pub(crate) fn add(&mut self, f: Arc<ScalarUDF>) {
        let f = bounded::wrap(micros::wrap(f));
        for alias in f.aliases() {
            self.by_name.insert(alias.clone(), f.clone());
        }
        self.by_name.insert(f.name().to_owned(), f);
    }

    /// These functions, with clock functions that tell `arrival`.
    pub(crate) fn at(&self, arrival: &Arrival) -> Self {
        let mut all = self.clone();
        for f in arrival.functions() {
            all.add(f);
        }
        all
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Arc<ScalarUDF>> {
        self.by_name.get(name)
    }

    pub(crate) fn aggregate(&self, name: &str) -> Option<&Arc<AggregateUDF>> {
        self.aggregates.get(name)
    }

    /// Whether it can be called with `OVER`.
    pub(crate) fn is_over(&self, name: &str) -> bool {
        self.aggregates.contains_key(name) || self.windowed.contains_key(name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.by_name.keys().chain(self.aggregates.keys()).map(String::as_str)
    }
}

/// What can be called with `OVER` only.
const OVER: [(&str, &str); 4] = [
    (
        "dense_rank",
        "With `OVER`: which of the different values of `ORDER BY` the row has, from 1 on.",
    ),
    (
        "lag",
        "With `OVER`: the value so many rows before, else a default: `lag(x [, rows [, default]])`.",
    ),
    (
        "rank",
        "With `OVER`: the number of the first row that `ORDER BY` does not tell apart from the row.",
    ),
    ("row_number", "With `OVER`: the number of the row among those of its key, from 1 on."),
];

/// All functions that a view can call, by name, each with one line on what it gives.
#[must_use]
pub fn functions() -> Vec<(String, String)> {
    let all = Functions::standard();
    let line = |documentation: Option<&Documentation>| {
        let text = documentation.map(|d| d.description.clone()).unwrap_or_default();
        let first = text.lines().map(str::trim).find(|l| !l.is_empty()).unwrap_or_default();
        first.to_owned()
    };
    let same = |name: &str| format!("same as `{name}`");
    let scalar = all.by_name.iter().filter(|(_, f)| !crate::refuse::is_volatile(f));
    let scalar = scalar.map(|(name, f)| {
        (name, if name == f.name() { line(f.documentation()) } else { same(f.name()) })
    });
    let aggregates = all.aggregates.iter().map(|(name, f)| {
        (name, if name == f.name() { line(f.documentation()) } else { same(f.name()) })
    });
    let lines = scalar.chain(aggregates).map(|(name, line)| (name.clone(), line));
    let over = OVER.iter().map(|(name, line)| ((*name).to_owned(), (*line).to_owned()));
    lines.chain(over).collect::<BTreeMap<_, _>>().into_iter().collect()
}

/// What one view can name.
pub(crate) struct Catalog<'a> {
    pub tables: &'a BTreeMap<String, SchemaRef>,
    pub functions: Functions,
    pub options: Arc<ConfigOptions>,
    pub known: Arc<Known>,
    planners: Vec<Arc<dyn ExprPlanner>>,
    relations: [Arc<dyn RelationPlanner>; 1],
}

impl<'a> Catalog<'a> {
    pub(crate) fn new(
        tables: &'a BTreeMap<String, SchemaRef>,
        functions: Functions,
        known: Arc<Known>,
        options: Arc<ConfigOptions>,
    ) -> Self {
        let planners: Vec<Arc<dyn ExprPlanner>> = vec![
            Arc::new(JsonPlanner),
            Arc::new(CoreFunctionPlanner::default()),
            Arc::new(NestedFunctionPlanner),
            Arc::new(FieldAccessPlanner),
            Arc::new(DatetimeFunctionPlanner),
            Arc::new(UnicodeFunctionPlanner),
            Arc::new(AggregateFunctionPlanner),
            Arc::new(WindowFunctionPlanner),
        ];
        let relations: [Arc<dyn RelationPlanner>; 1] = [Arc::new(WindowPlanner(known.clone()))];
        Self { tables, functions, options, known, planners, relations }
    }
}

struct Relation(SchemaRef);

impl TableSource for Relation {
    fn schema(&self) -> SchemaRef {
        self.0.clone()
    }
}

impl ContextProvider for Catalog<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        match self.tables.get(name.table()) {
            Some(schema) => Ok(Arc::new(Relation(schema.clone()))),
            None => plan_err!("there is no source or view `{}`", name.table()),
        }
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.planners
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        if name == MARK {
            return Some(mark());
        }
        self.functions.get(name).cloned()
    }

    fn get_higher_order_meta(&self, _: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        &self.relations
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.functions.aggregate(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.functions.windowed.get(name).cloned()
    }

    fn get_variable_type(&self, _: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.options
    }

    fn udf_names(&self) -> Vec<String> {
        self.functions.by_name.keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.functions.aggregates.keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.functions.windowed.keys().cloned().collect()
    }
}
