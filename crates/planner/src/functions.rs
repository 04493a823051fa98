//! The functions that queries can call: DataFusion's, the JSON functions, the windows, and those that the caller adds.

use crate::row_time;
use crate::window_calls;
use arrow::datatypes::DataType;
use datafusion_common::config::ConfigOptions;
use datafusion_common::{Result, plan_datafusion_err};
use datafusion_expr::expr_rewriter::FunctionRewrite;
use datafusion_expr::planner::ExprPlanner;
use datafusion_expr::registry::FunctionRegistry;
use datafusion_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF, WindowUDF};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// Functions beside those of DataFusion and its JSON functions. A function of the same name replaces theirs.
#[derive(Clone, Debug, Default)]
pub struct Functions {
    /// One row in, one value out.
    pub scalar: Vec<Arc<ScalarUDF>>,
    /// Many rows in, one value out.
    pub aggregate: Vec<Arc<AggregateUDF>>,
}

impl Functions {
    /// Those of this project: heavy hitters, Count-Min, JSONPath.
    pub fn hitters() -> Self {
        Self {
            scalar: hitters_functions::scalar_functions(),
            aggregate: hitters_functions::aggregate_functions(),
        }
    }
}

/// All functions by name, aliases included.
#[derive(Default)]
pub(crate) struct Registry {
    pub scalars: BTreeMap<String, Arc<ScalarUDF>>,
    pub aggregates: BTreeMap<String, Arc<AggregateUDF>>,
    pub windows: BTreeMap<String, Arc<WindowUDF>>,
    pub rewrites: Vec<Arc<dyn FunctionRewrite + Send + Sync>>,
    pub planners: Vec<Arc<dyn ExprPlanner>>,
}

impl Registry {
    pub(crate) fn new(functions: &Functions) -> Result<Self> {
        let mut registry = Self::default();
        // The JSON operators (`->`, `->>`) must be asked before DataFusion's own planners.
        hitters_functions::register_json(&mut registry)?;
        registry.planners.extend(default_planners());
        for function in datafusion_functions::all_default_functions()
            .into_iter()
            .chain(datafusion_functions_nested::all_default_nested_functions())
        {
            registry.register_udf(function)?;
        }
        for function in datafusion_functions_aggregate::all_default_aggregate_functions() {
            registry.register_udaf(function)?;
        }
        for function in datafusion_functions_window::all_default_window_functions() {
            registry.windows.insert(function.name().to_string(), function);
        }
        for function in window_calls::functions()
            .into_iter()
            .chain([row_time::function()])
            .chain(functions.scalar.iter().cloned())
        {
            registry.register_udf(function)?;
        }
        for function in &functions.aggregate {
            registry.register_udaf(function.clone())?;
        }
        Ok(registry)
    }
}

/// Those that plan the expressions of DataFusion's functions, in the order in which its sessions ask them.
fn default_planners() -> Vec<Arc<dyn ExprPlanner>> {
    vec![
        Arc::new(datafusion_functions::core::planner::CoreFunctionPlanner::default()),
        Arc::new(datafusion_functions_nested::planner::NestedFunctionPlanner),
        Arc::new(datafusion_functions_nested::planner::FieldAccessPlanner),
        Arc::new(datafusion_functions::datetime::planner::DatetimeFunctionPlanner),
        Arc::new(datafusion_functions::unicode::planner::UnicodeFunctionPlanner),
        Arc::new(datafusion_functions_aggregate::planner::AggregateFunctionPlanner),
        Arc::new(datafusion_functions_window::planner::WindowFunctionPlanner),
    ]
}

/// The form in which the JSON functions are handed over.
impl FunctionRegistry for Registry {
    fn udfs(&self) -> HashSet<String> {
        self.scalars.keys().cloned().collect()
    }
    fn higher_order_function_names(&self) -> HashSet<String> {
        HashSet::new()
    }
    fn udafs(&self) -> HashSet<String> {
        self.aggregates.keys().cloned().collect()
    }
    fn udwfs(&self) -> HashSet<String> {
        self.windows.keys().cloned().collect()
    }
    fn udf(&self, name: &str) -> Result<Arc<ScalarUDF>> {
        self.scalars
            .get(name)
            .cloned()
            .ok_or_else(|| plan_datafusion_err!("there is no function {name}"))
    }
    fn higher_order_function(&self, name: &str) -> Result<Arc<HigherOrderUDF>> {
        Err(plan_datafusion_err!("there is no function {name}"))
    }
    fn udaf(&self, name: &str) -> Result<Arc<AggregateUDF>> {
        self.aggregates
            .get(name)
            .cloned()
            .ok_or_else(|| plan_datafusion_err!("there is no function {name}"))
    }
    fn udwf(&self, name: &str) -> Result<Arc<WindowUDF>> {
        self.windows
            .get(name)
            .cloned()
            .ok_or_else(|| plan_datafusion_err!("there is no function {name}"))
    }
    fn register_udf(&mut self, function: Arc<ScalarUDF>) -> Result<Option<Arc<ScalarUDF>>> {
        for alias in function.aliases() {
            self.scalars.insert(alias.clone(), function.clone());
        }
        Ok(self.scalars.insert(function.name().to_string(), function))
    }
    fn register_udaf(&mut self, function: Arc<AggregateUDF>) -> Result<Option<Arc<AggregateUDF>>> {
        for alias in function.aliases() {
            self.aggregates.insert(alias.clone(), function.clone());
        }
        Ok(self.aggregates.insert(function.name().to_string(), function))
    }
    fn register_function_rewrite(&mut self, rewrite: Arc<dyn FunctionRewrite + Send + Sync>) -> Result<()> {
        self.rewrites.push(rewrite);
        Ok(())
    }
    fn expr_planners(&self) -> Vec<Arc<dyn ExprPlanner>> {
        self.planners.clone()
    }
    fn register_expr_planner(&mut self, planner: Arc<dyn ExprPlanner>) -> Result<()> {
        self.planners.push(planner);
        Ok(())
    }
}

/// The options under which expressions are analysed and simplified: DataFusion's defaults, so that Arroyo agrees.
pub(crate) fn config() -> ConfigOptions {
    ConfigOptions::default()
}

/// True for the union in which the JSON functions return a value of any kind.
pub(crate) fn is_json_union(data_type: &DataType) -> bool {
    data_type == hitters_functions::json_union()
}
