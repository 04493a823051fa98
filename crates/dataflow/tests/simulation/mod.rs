//! A simulation of a dataflow on one thread: partitions in memory, a seeded scheduler that decides which worker steps, how
//! batches are cut, when messages arrive, and where a checkpoint is taken, from which the run goes on with another number of
//! workers.

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewArray};
use arrow::buffer::ScalarBuffer;
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::functions_aggregate::min_max::max_udaf;
use datafusion::logical_expr::AggregateUDF;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateExprBuilder;
use datafusion::physical_expr::expressions::{col, lit};
use hitters_dataflow::Error;
use hitters_dataflow::checkpoint::align::{Aligner, Parcel, Turn};
use hitters_dataflow::checkpoint::layout::Layout;
use hitters_dataflow::checkpoint::restore::restore;
use hitters_dataflow::checkpoint::snapshot::Snapshot;
use hitters_dataflow::checkpoint::writer::Writer;
use hitters_dataflow::checkpoint::{Claim, NoFaults, Storage, StorageError};
use hitters_dataflow::finisher::Finisher;
use hitters_dataflow::frontier::Frontier;
use hitters_dataflow::graph::Graph;
use hitters_dataflow::metrics::{Metrics, PartitionMetrics};
use hitters_dataflow::publish::window_fields;
use hitters_dataflow::sink::{Sink, SinkFactory};
use hitters_dataflow::source::{Poll, Reader, Rows};
use hitters_dataflow::worker::{Message, Owned, Patience, Step, Worker};
use hitters_planner::connector::{Direction, TableSpec};
use hitters_planner::plan::{Aggregate, NamedExpr, Node, NodeKind, Plan, SourceNode, WindowNode};
use hitters_planner::table::Table;
use hitters_planner::window::Window;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

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

fn source_schema() -> SchemaRef {
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

/// source -> window -> sink.
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
        ],
        ..Plan::default()
    }
}

struct MemoryReader {
    log: Arc<Log>,
    positions: Arc<Mutex<Vec<usize>>>,
    mine: Vec<usize>,
    ended: Vec<bool>,
    random: Random,
    longest: u64,
}

impl Reader for MemoryReader {
    fn poll(&mut self, _wait: Duration) -> Result<Poll, Error> {
        let which = self.random.below(self.mine.len() as u64) as usize;
        let partition = self.mine[which];
        let mut positions = self.positions.lock().unwrap();
        let start = positions[partition];
        let rows = &self.log[partition];
        if start == rows.len() {
            if std::mem::replace(&mut self.ended[which], true) {
                return Ok(Poll::Idle);
            }
            return Ok(Poll::End(partition as i32));
        }
        let end = (start + 1 + self.random.below(self.longest) as usize).min(rows.len());
        positions[partition] = end;
        let rows = &rows[start..end];
        let columns: Vec<ArrayRef> = vec![
            Arc::new(rows.iter().map(|row| Some(row.1.as_str())).collect::<StringViewArray>()),
            Arc::new(rows.iter().map(|row| row.2).collect::<Int64Array>()),
        ];
        Ok(Poll::Rows(Rows {
            partition: partition as i32,
            batch: RecordBatch::try_new(source_schema(), columns)?,
            times: ScalarBuffer::from(rows.iter().map(|row| row.0).collect::<Vec<_>>()),
            next: end as i64,
            records: rows.len() as u64,
            bytes: 0,
            bad: 0,
        }))
    }

    fn reject(&mut self, rows: &[(usize, String)]) -> Result<(), Error> {
        Err(Error::State(format!("no row is bad here: {rows:?}")))
    }
}

#[derive(Clone, Default)]
struct Collected(Arc<Mutex<Vec<RecordBatch>>>);

impl Sink for Collected {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        self.0.lock().unwrap().push(batch.clone());
        Ok(())
    }
    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

impl SinkFactory for Collected {
    fn open(&self, _table: Option<&Arc<Table>>, _schema: SchemaRef) -> Result<Box<dyn Sink>, Error> {
        Ok(Box::new(self.clone()))
    }
}

/// How a run goes.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    pub workers: usize,
    pub seed: u64,
    /// Rows of a batch, at most.
    pub longest: u64,
    /// A checkpoint is taken, and the run goes on from it, about once in so many turns; 0: never.
    pub restart_every: u64,
}

/// What came out.
pub struct Outcome {
    pub rows: RecordBatch,
    pub late: u64,
    pub largest_state: usize,
}

struct Running {
    workers: Vec<(Worker, VecDeque<Message>, bool)>,
    finisher: Finisher,
}

/// What all runs over one log share.
struct World<'w> {
    window: Window,
    query: Query,
    log: Arc<Log>,
    positions: Arc<Mutex<Vec<usize>>>,
    metrics: Arc<Metrics>,
    sink: &'w Collected,
    schedule: Schedule,
    storage: Arc<Memory>,
}

/// Runs a query over a log.
pub fn run(window: Window, query: Query, log: &Log, schedule: Schedule) -> Outcome {
    let mut random = Random(schedule.seed);
    let sink = Collected::default();
    let metrics = Arc::new(metrics(8, log.len()));
    let world = World {
        window,
        query,
        log: Arc::new(log.clone()),
        positions: Arc::new(Mutex::new(vec![0; log.len()])),
        metrics: metrics.clone(),
        sink: &sink,
        schedule,
        storage: Arc::default(),
    };
    let mut running = world.start(&mut random, schedule.workers.min(log.len()));
    let mut largest_state = 0;
    while running
        .workers
        .iter()
        .any(|(_, queue, finished)| !finished || !queue.is_empty())
    {
        let number = random.below(running.workers.len() as u64) as usize;
        let (worker, queue, finished) = &mut running.workers[number];
        if random.below(2) == 0 && !*finished {
            *finished = worker.step(Duration::ZERO, Duration::ZERO).unwrap() == Step::Finished;
            queue.extend(worker.take_output());
            largest_state = largest_state.max(worker.size());
        } else if let Some(message) = queue.pop_front() {
            running.finisher.handle(message).unwrap();
        }
        if schedule.restart_every > 0 && random.below(schedule.restart_every) == 0 {
            running = world.restart(running, &mut random);
        }
    }
    running.finisher.close().unwrap();
    let batches = sink.0.lock().unwrap();
    let schema = plan(window, query).nodes[2].schema.clone();
    Outcome {
        rows: concat_batches(&schema, batches.iter()).unwrap(),
        late: metrics.late.load(std::sync::atomic::Ordering::Relaxed),
        largest_state,
    }
}

impl World<'_> {
    fn owned(&self) -> Vec<Owned> {
        let owned = (0..self.log.len()).map(|partition| Owned {
            partition,
            source: 0,
            number: partition as i32,
            start: Some(0),
        });
        owned.collect()
    }

    /// Fresh parts for so many workers.
    fn start(&self, random: &mut Random, workers: usize) -> Running {
        let frontier = Arc::new(Frontier::new(self.log.len()));
        let graph = Arc::new(Graph::new(plan(self.window, self.query)).unwrap());
        let owned = self.owned();
        let mut worker = |number: usize| {
            let mine: Vec<Owned> = owned
                .iter()
                .copied()
                .filter(|o| o.partition % workers == number)
                .collect();
            let reader = MemoryReader {
                log: self.log.clone(),
                positions: self.positions.clone(),
                mine: mine.iter().map(|o| o.partition).collect(),
                ended: vec![false; mine.len()],
                random: Random(random.below(u64::MAX)),
                longest: self.schedule.longest,
            };
            let patience = Patience {
                idle_timeout: Duration::MAX,
                idle_close: None,
            };
            let parts = (graph.clone(), frontier.clone(), self.metrics.clone());
            let readers: Vec<Option<Box<dyn Reader>>> = vec![Some(Box::new(reader))];
            let mut worker = Worker::new(number, parts, patience, mine, readers, &owned, Duration::ZERO);
            if self.schedule.restart_every > 0 {
                worker.to_freeze();
            }
            (worker, VecDeque::new(), false)
        };
        Running {
            workers: (0..workers).map(&mut worker).collect(),
            finisher: Finisher::new(graph.clone(), self.metrics.clone(), workers, self.sink).unwrap(),
        }
    }

    /// Lines a barrier up, stores a checkpoint as bytes, and goes on from it in fresh parts, with another number of workers.
    fn restart(&self, mut old: Running, random: &mut Random) -> Running {
        let mut aligner = Aligner::new(old.workers.len());
        let mut frozen = None;
        let mut order: Vec<usize> = (0..old.workers.len()).collect();
        for place in (1..order.len()).rev() {
            order.swap(place, random.below(place as u64 + 1) as usize);
        }
        for number in order {
            let (worker, queue, finished) = &mut old.workers[number];
            let snapshot = Box::new(worker.freeze().unwrap());
            let last = if *finished && random.below(2) == 0 {
                Parcel::Ended(snapshot)
            } else {
                Parcel::Barrier(snapshot)
            };
            for parcel in queue.drain(..).map(Parcel::Message).chain([last]) {
                match aligner.take(number, parcel) {
                    Turn::Messages(messages) => messages.into_iter().for_each(|m| old.finisher.handle(m).unwrap()),
                    Turn::Freeze(workers) => frozen = Some(workers),
                }
            }
        }
        let workers = frozen.or_else(|| aligner.ended()).expect("all barriers have come");
        assert!(aligner.release().is_empty());
        let snapshot = Snapshot {
            workers,
            end: old.finisher.save().unwrap(),
            held: old.finisher.prepare().unwrap(),
            counts: Default::default(),
        };
        let graph = Graph::new(plan(self.window, self.query)).unwrap();
        let layout = || Layout::new(&graph, &self.owned());
        let claim = Claim::take(self.storage.clone()).unwrap();
        let mut writer = Writer::new(&claim, layout(), 2, Arc::new(NoFaults));
        writer.write(snapshot).unwrap();
        writer.prune().unwrap();
        writer.clean().unwrap();
        let mut claim = Claim::take(self.storage.clone()).unwrap();
        let commutative: Vec<bool> = graph.windows.iter().map(|w| w.grouping.is_commutative()).collect();
        let mut restored = restore(&mut claim, &layout(), &commutative).unwrap();
        // What was read is in the state: readers go on where it says.
        for (partition, at) in restored.starts.iter().enumerate() {
            assert_eq!(at.position(), Some(self.positions.lock().unwrap()[partition] as i64));
        }
        let workers = 1 + random.below(self.log.len() as u64) as usize;
        let mut new = self.start(random, workers);
        new.finisher.load(std::mem::take(&mut restored.state.end)).unwrap();
        for (worker, _, _) in &mut new.workers {
            worker.load(&restored.state, workers).unwrap();
        }
        new
    }
}

/// A store in memory.
#[derive(Default)]
pub struct Memory(Mutex<BTreeMap<String, Vec<u8>>>);

impl Storage for Memory {
    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
        let before = self.0.lock().unwrap().insert(name.to_string(), bytes.to_vec());
        assert!(before.is_none_or(|before| before == bytes), "object {name} was changed");
        Ok(())
    }
    fn put_new(&self, name: &str, bytes: &[u8]) -> Result<bool, StorageError> {
        let mut objects = self.0.lock().unwrap();
        let new = !objects.contains_key(name);
        if new {
            objects.insert(name.to_string(), bytes.to_vec());
        }
        Ok(new)
    }
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.0.lock().unwrap().get(name).cloned())
    }
    fn list(&self, folder: &str) -> Result<Vec<String>, StorageError> {
        let prefix = format!("{folder}/");
        let objects = self.0.lock().unwrap();
        Ok(objects
            .keys()
            .filter(|name| name.starts_with(&prefix))
            .cloned()
            .collect())
    }
    fn delete(&self, name: &str) -> Result<(), StorageError> {
        self.0.lock().unwrap().remove(name);
        Ok(())
    }
    fn describe(&self) -> String {
        "memory".into()
    }
}

fn metrics(workers: usize, partitions: usize) -> Metrics {
    let partition = |number: usize| PartitionMetrics::new("events".into(), number as i32, None);
    Metrics::new(workers, (0..partitions).map(partition).collect())
}
