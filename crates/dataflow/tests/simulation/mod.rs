//! A simulation of a dataflow on one thread: partitions in memory, and a seeded scheduler that decides which worker steps, how
//! batches are cut, when messages arrive, when checkpoints are taken, which calls of the store fail, and when the run dies and
//! goes on with another number of workers, with the dead one perhaps still moving.
//!
//! Everything but threads is the engine's own. What survives a run are the log, the store and the world outside of the sinks.
#![allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "shared by tests, which fail by panicking"
)]

mod drive;
mod life;
mod outside;
mod reader;
mod store;

pub use drive::{Schedule, Troubles, run, run_over, run_spilling};
pub use life::Spilling;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_expr::AggregateUDF;
use datafusion_functions_aggregate::count::count_udaf;
use datafusion_functions_aggregate::min_max::max_udaf;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::aggregate::AggregateExprBuilder;
use datafusion_physical_expr::expressions::{col, lit};
use hitters_dataflow::publish::window_fields;
use hitters_planner::connector::{Direction, TableSpec};
use hitters_planner::plan::{Aggregate, NamedExpr, Node, NodeKind, Plan, SourceNode, WindowNode};
use hitters_planner::table::Table;
use hitters_planner::window::Window;
use std::sync::Arc;

/// Rows of each partition: time in nanoseconds, item, weight.
pub type Log = Vec<Vec<(i64, String, i64)>>;

/// A small generator (splitmix64): its seed replays a failure.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}

/// A log of so many rows over partitions, Zipf-like items, disorder below `disorder` nanoseconds, `step` between rows.
pub fn log(random: &mut Random, partitions: usize, rows: usize, items: u64, disorder: u64, step: i64) -> Log {
    let mut log = vec![Vec::new(); partitions];
    for row in 0..rows {
        let time = row as i64 * step - random.below(disorder.max(1)) as i64;
        let item = items / (1 + random.below(items));
        log[random.below(partitions as u64) as usize].push((time, format!("item-{item}"), random.below(100) as i64));
    }
    log
}

#[derive(Debug)]
struct NoSpec;

impl TableSpec for NoSpec {
    fn connector(&self) -> &'static str {
        "simulation"
    }
    fn direction(&self) -> Direction {
        Direction::Source
    }
    fn describe(&self) -> String {
        String::new()
    }
    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

fn table() -> Arc<Table> {
    Arc::new(Table {
        name: "events".into(),
        columns: vec![],
        spec: Arc::new(NoSpec),
        span: None,
    })
}

pub fn source_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("item", DataType::Utf8View, false),
        Field::new("weight", DataType::Int64, false),
    ]))
}

/// What is computed for each window.
#[derive(Clone, Copy, Debug)]
pub enum Query {
    /// `item, window, count(*), max(weight)`.
    CountByItem,
    /// `window, approx_top_k_accumulate(item, 16)`: a sketch that evicts.
    Sketch,
    /// `item, window, approx_top_sum_accumulate(item, weight, 8)`: many small sketches.
    SketchByItem,
}

fn function(name: &str) -> Arc<AggregateUDF> {
    hitters_functions::aggregate_functions()
        .into_iter()
        .find(|f| f.name() == name)
        .expect("a function of the crate")
}

fn aggregate(
    udaf: Arc<AggregateUDF>,
    arguments: Vec<Arc<dyn PhysicalExpr>>,
    name: &str,
    commutative: bool,
) -> Aggregate {
    let function = AggregateExprBuilder::new(udaf, arguments)
        .schema(source_schema())
        .alias(name)
        .build()
        .unwrap();
    Aggregate {
        function: Arc::new(function),
        filter: None,
        commutative,
    }
}

/// source -> window -> two sinks: one that publishes exactly once, one whose rows are seen at once.
pub fn plan(window: Window, query: Query) -> Plan {
    let schema = source_schema();
    let item = col("item", &schema).unwrap();
    let weight = col("weight", &schema).unwrap();
    let (by_item, aggregates) = match query {
        Query::CountByItem => (
            true,
            vec![
                aggregate(count_udaf(), vec![lit(1i64)], "count", true),
                aggregate(max_udaf(), vec![weight], "max", true),
            ],
        ),
        Query::Sketch => (
            false,
            vec![aggregate(
                function("approx_top_k_accumulate"),
                vec![item.clone(), lit(16i64)],
                "sketch",
                false,
            )],
        ),
        Query::SketchByItem => {
            let arguments = vec![item.clone(), weight, lit(8i64)];
            (
                true,
                vec![aggregate(
                    function("approx_top_sum_accumulate"),
                    arguments,
                    "sketch",
                    false,
                )],
            )
        }
    };
    let mut fields = vec![];
    let mut keys = vec![];
    if by_item {
        fields.push(Field::new("item", DataType::Utf8View, true));
        keys.push(NamedExpr {
            expr: item,
            name: "item".into(),
        });
    }
    fields.push(Field::new("window", DataType::Struct(window_fields()), false));
    let position = keys.len();
    fields.extend(
        aggregates
            .iter()
            .map(|a| a.function.field().as_ref().clone().with_nullable(true)),
    );
    let output: SchemaRef = Arc::new(Schema::new(fields));
    let source = SourceNode {
        table: table(),
        stored: vec![0, 1],
        generated: vec![],
        event_time: None,
        watermark: None,
        output: vec![0, 1],
    };
    let window = WindowNode {
        window,
        position,
        keys,
        aggregates,
    };
    let node = |kind, inputs, schema: &SchemaRef| Node {
        kind,
        inputs,
        schema: schema.clone(),
        span: None,
    };
    Plan {
        nodes: vec![
            node(NodeKind::Source(source), vec![], &schema),
            node(NodeKind::Window(window), vec![0], &output),
            node(NodeKind::Sink(None), vec![1], &output),
            node(NodeKind::Sink(None), vec![1], &output),
        ],
        ..Plan::default()
    }
}
