//! What sinks may rely on: they know what became of a checkpoint before they are asked for the next one.

#[allow(dead_code, reason = "the other tests use the rest of it")]
mod simulation;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewArray};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use hitters_dataflow::checkpoint::fault::{Faults, Point};
use hitters_dataflow::checkpoint::{Checkpoints, Claim, Storage, StorageError};
use hitters_dataflow::sink::{Checkpoint, Sink, SinkFactory};
use hitters_dataflow::source::{Partition, Poll, Reader, Rows, Source, SourceFactory, Start};
use hitters_dataflow::{Error, Job, JobOptions};
use hitters_planner::plan::SourceNode;
use hitters_planner::table::Table;
use hitters_planner::window::Window;
use simulation::{Query, plan};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const ROWS: i64 = 150;

/// A row each millisecond.
struct Slow(i64);

impl Reader for Slow {
    fn poll(&mut self, _: Duration) -> Result<Poll, Error> {
        if self.0 == ROWS {
            return Ok(Poll::End(0));
        }
        std::thread::sleep(Duration::from_millis(1));
        self.0 += 1;
        let schema = Schema::new(vec![
            Field::new("item", DataType::Utf8View, false),
            Field::new("weight", DataType::Int64, false),
        ]);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringViewArray::from_iter_values(["x"])),
            Arc::new(Int64Array::from(vec![1])),
        ];
        Ok(Poll::Rows(Rows {
            partition: 0,
            batch: RecordBatch::try_new(Arc::new(schema), columns)?,
            times: ScalarBuffer::from(vec![self.0 * 1_000_000]),
            next: self.0,
            records: 1,
            bytes: 0,
            bad: 0,
        }))
    }

    fn reject(&mut self, rows: &[(usize, String)]) -> Result<(), Error> {
        Err(Error::State(format!("no row is bad here: {rows:?}")))
    }
}

struct OneReader;

impl Source for OneReader {
    fn partitions(&mut self) -> Result<Vec<Partition>, Error> {
        Ok(vec![Partition {
            number: 0,
            rows: None,
            start: Some(0),
        }])
    }

    fn reader(&mut self, starts: &[Start]) -> Result<Box<dyn Reader>, Error> {
        Ok(Box::new(Slow(starts[0].at.position().unwrap_or(0))))
    }
}

impl SourceFactory for OneReader {
    fn open(&self, _: &SourceNode) -> Result<Box<dyn Source>, Error> {
        Ok(Box::new(Self))
    }
}

/// What a sink was asked for: `None` is a barrier, a number the commit of that checkpoint.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<Vec<Option<u64>>>>, Arc<AtomicU64>);

impl Sink for Calls {
    fn write(&mut self, _: &RecordBatch) -> Result<(), Error> {
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn prepare(&mut self) -> Result<Option<Vec<u8>>, Error> {
        self.0.lock().unwrap().push(None);
        Ok(Some(vec![1]))
    }

    fn commit(&mut self, checkpoint: &Checkpoint<'_>) -> Result<(), Error> {
        self.0.lock().unwrap().push(Some(checkpoint.number));
        Ok(())
    }
}

impl SinkFactory for Calls {
    fn open(&self, _: Option<&Arc<Table>>, _: SchemaRef) -> Result<Box<dyn Sink>, Error> {
        // The first sink of the plan is listened to.
        let first = self.1.fetch_add(1, Ordering::Relaxed) == 0;
        Ok(Box::new(if first { self.clone() } else { Self::default() }))
    }
}

/// Storing takes longer than the interval, so that a checkpoint is on its way when the input ends.
struct SlowStore;

impl Faults for SlowStore {
    fn reach(&self, point: Point) {
        if matches!(point, Point::Manifest | Point::Commit) {
            std::thread::sleep(Duration::from_millis(7));
        }
    }
}

/// A store in memory that refuses each third manifest after the first few, if asked to, and counts them.
#[derive(Default)]
struct Refusing {
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
    refuses: bool,
    manifests: AtomicU64,
}

impl Refusing {
    fn refuses(&self, manifest: u64) -> bool {
        self.refuses && manifest > 3 && manifest.is_multiple_of(3)
    }
}

impl Storage for Refusing {
    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
        self.objects.lock().unwrap().insert(name.to_string(), bytes.to_vec());
        Ok(())
    }

    fn put_new(&self, name: &str, bytes: &[u8]) -> Result<bool, StorageError> {
        if self.refuses(1 + self.manifests.fetch_add(1, Ordering::Relaxed)) {
            return Err(StorageError::new("refused"));
        }
        let mut objects = self.objects.lock().unwrap();
        let is_new = !objects.contains_key(name);
        objects.entry(name.to_string()).or_insert_with(|| bytes.to_vec());
        Ok(is_new)
    }

    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.objects.lock().unwrap().get(name).cloned())
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, StorageError> {
        let objects = self.objects.lock().unwrap();
        let inside = objects.keys().filter(|name| name.starts_with(&format!("{folder}/")));
        Ok(inside.cloned().collect())
    }

    fn delete(&self, name: &str) -> Result<(), StorageError> {
        self.objects.lock().unwrap().remove(name);
        Ok(())
    }

    fn describe(&self) -> String {
        "memory".into()
    }
}

/// Runs to the end of the input, with a checkpoint as often as it goes. Gives what the sink was asked for and how many
/// checkpoints were refused.
fn calls(refuses: bool) -> (Vec<Option<u64>>, usize, Result<(), Error>) {
    let storage = Arc::new(Refusing {
        refuses,
        ..Refusing::default()
    });
    let checkpoints = Checkpoints {
        claim: Claim::take(storage.clone()).unwrap(),
        interval: Some(Duration::from_millis(1)),
        keep: 3,
        faults: Arc::new(SlowStore),
        before: Box::new(|| Ok(())),
        report: Box::new(|_| ()),
    };
    let calls = Calls::default();
    let plan = plan(Window::Tumble { width: 10_000_000 }, Query::CountByItem);
    let job = Job::start(plan, &OneReader, &calls, JobOptions::default(), Some(checkpoints)).unwrap();
    let ended = job.join().map(|_| ());
    let calls = calls.0.lock().unwrap().clone();
    let manifests = storage.manifests.load(Ordering::Relaxed);
    let refused = (1..=manifests).filter(|manifest| storage.refuses(*manifest)).count();
    (calls, refused, ended)
}

#[test]
fn each_barrier_is_committed_before_the_next_also_at_the_end_of_the_input() {
    for _ in 0..5 {
        let (calls, _, ended) = calls(false);
        ended.unwrap();
        assert!(calls.len() >= 6, "{calls:?}");
        for (place, call) in calls.iter().enumerate() {
            assert_eq!(call.is_none(), place % 2 == 0, "{calls:?}");
        }
        let numbers: Vec<u64> = calls.iter().copied().flatten().collect();
        assert!(numbers.is_sorted_by(|one, next| one < next), "{calls:?}");
    }
}

#[test]
fn a_checkpoint_that_was_not_stored_is_never_committed_and_the_next_one_is() {
    let (calls, refused, ended) = calls(true);
    // The last one may be one of those.
    if let Err(error) = ended {
        assert!(error.to_string().contains("refused"), "{error}");
    }
    let barriers = calls.iter().filter(|call| call.is_none()).count();
    assert!(refused >= 2, "{calls:?}");
    assert_eq!(calls.len() - barriers, barriers - refused, "{calls:?}");
    // Two barriers in a row are one that failed; two commits in a row would be one that sinks did not expect.
    assert!(calls.windows(2).any(|two| two == [None, None]), "{calls:?}");
    assert!(
        calls.windows(2).all(|two| two[0].is_none() || two[1].is_none()),
        "{calls:?}"
    );
}
