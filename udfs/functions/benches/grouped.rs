//! Nanoseconds of CPU a row of the grouped path, beside a bare loop over the same sketches: `cargo bench -p hitters-functions`.
//!
//! Zipf items (exponent 1.1, 100,000 of them, about 11 bytes), batches of 8192 rows, one thread. The bare loop calls the
//! sketch row by row, without Arrow, groups or NULLs: what the path costs beyond it is its own.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::EmitTo;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion_physical_expr::expressions::{Column, Literal};
use hitters_sketch::{ItemKind, Measure, TopK};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rand_distr::Zipf;

const BATCH: usize = 8192;
const BATCHES: usize = 500;

/// Time that this thread was on a CPU, as Linux tells; elapsed time elsewhere. Other work on the machine does not count.
struct Stopwatch {
    elapsed: Instant,
    on_cpu: Option<Duration>,
}

impl Stopwatch {
    fn start() -> Self {
        Self {
            elapsed: Instant::now(),
            on_cpu: Self::on_cpu(),
        }
    }

    fn on_cpu() -> Option<Duration> {
        let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        statistics
            .split_whitespace()
            .next()?
            .parse()
            .map(Duration::from_nanos)
            .ok()
    }

    fn nanoseconds(&self) -> f64 {
        let on_cpu = self.on_cpu.and_then(|start| Some(Self::on_cpu()? - start));
        on_cpu.unwrap_or_else(|| self.elapsed.elapsed()).as_nanos() as f64
    }
}

fn call(max_items: i64) -> Result<AggregateFunctionExpr> {
    let functions = hitters_functions::aggregate_functions();
    let function = functions.into_iter().find(|f| f.name() == "approx_top_k_accumulate");
    let schema = Schema::new(vec![Field::new("item", DataType::Utf8View, true)]);
    let arguments: Vec<Arc<dyn PhysicalExpr>> = vec![
        Arc::new(Column::new("item", 0)),
        Arc::new(Literal::new(ScalarValue::from(max_items))),
    ];
    let function = function.ok_or_else(|| datafusion_common::exec_datafusion_err!("no such function"))?;
    AggregateExprBuilder::new(function, arguments)
        .schema(Arc::new(schema))
        .alias("sketch")
        .build()
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    println!(
        "{:>9} {:>9} {:>10} {:>10} {:>10} {:>11} {:>11} {:>10}",
        "groups", "max_items", "ns/row", "bare", "ratio", "state us/gr", "merge us/gr", "MB"
    );
    for (groups, max_items) in [
        (1usize, 1024i64),
        (4, 1024),
        (1_000, 1024),
        (100_000, 64),
        (100_000, 1024),
    ] {
        let mut random = StdRng::seed_from_u64(7);
        let zipf = Zipf::new(100_000.0, 1.1)?;
        let batches: Vec<(ArrayRef, Vec<usize>)> = (0..BATCHES)
            .map(|_| {
                let items: StringViewArray = (0..BATCH)
                    .map(|_| Some(format!("item-{:06}", random.sample(zipf) as u32)))
                    .collect();
                let of = (0..BATCH).map(|_| random.random_range(0..groups)).collect();
                (Arc::new(items) as ArrayRef, of)
            })
            .collect();
        let literal: ArrayRef = Arc::new(Int64Array::from(vec![max_items; BATCH]));
        let rows = (BATCH * BATCHES) as f64;

        let call = call(max_items)?;
        let mut accumulator = call.create_groups_accumulator()?;
        let start = Stopwatch::start();
        for (items, of) in &batches {
            accumulator.update_batch(&[items.clone(), literal.clone()], of, None, groups)?;
            black_box(accumulator.size());
        }
        let path = start.nanoseconds() / rows;
        let size = accumulator.size();

        let start = Stopwatch::start();
        let state = accumulator.state(EmitTo::All)?;
        let save = start.nanoseconds() / 1e3 / groups as f64;
        let of: Vec<usize> = (0..groups).collect();
        let mut merged = call.create_groups_accumulator()?;
        let start = Stopwatch::start();
        merged.merge_batch(&state, &of, groups)?;
        let load = start.nanoseconds() / 1e3 / groups as f64;
        drop((state, merged));

        let mut sketches = (0..groups)
            .map(|_| TopK::new(ItemKind::Text, Measure::Count, max_items as usize))
            .collect::<std::result::Result<Vec<_>, _>>()?;
        let start = Stopwatch::start();
        for (items, of) in &batches {
            let items = arrow::array::AsArray::as_string_view(items);
            for (item, group) in items.iter().zip(of) {
                sketches[*group].update(item.unwrap_or_default().as_bytes(), 1);
            }
        }
        let bare = start.nanoseconds() / rows;
        black_box(&sketches);
        println!(
            "{groups:>9} {max_items:>9} {path:>10.1} {bare:>10.1} {:>10.2} {save:>11.2} {load:>11.2} {:>10.1}",
            path / bare,
            size as f64 / 1e6,
        );
    }
    Ok(())
}
