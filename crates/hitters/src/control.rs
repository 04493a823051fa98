//! The control socket of a run that keeps state: `status`, `scale` and `stop` from other shells.
//!
//! A Unix socket in the state folder (for state elsewhere, in the user's runtime folder): who may write the folder may steer
//! the run. One request a connection, one line of JSON each way. The thread that serves it answers `status` by itself;
//! orders are left for the loop of the run, which tells when they are done.

use crate::failure::Failure;
use crate::run::closing;
use hitters_dataflow::Metrics;
use hitters_storage::Location;
use serde_json::{Value, json};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The longest path that a Unix socket may have on every system, with room for its end.
const LONGEST: usize = 100;
/// A request is one short line; whoever sends none in this time is let go.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the end of a run waits for answers to arrive.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// What a run is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Do {
    /// End, with a last checkpoint.
    Stop,
    /// Go on with so many workers.
    Scale(usize),
}

/// An order and the way to say that it was carried out.
pub struct Order {
    /// What to do.
    pub what: Do,
    done: Sender<Value>,
}

impl Order {
    /// Tells whoever asked. They may have gone.
    pub fn done(self, answer: Value) {
        let _ = self.done.send(answer);
    }
}

/// What `status` shows; replaced when the run begins again with other workers.
#[derive(Clone)]
pub struct Shown {
    /// Name of the pipeline.
    pub pipeline: String,
    /// Its version.
    pub version: u64,
    /// Where its state is.
    pub place: String,
    /// Its workers.
    pub parallelism: usize,
    /// Its counters.
    pub metrics: Arc<Metrics>,
}

/// A socket that is served; removed when dropped.
pub struct Control {
    path: PathBuf,
    shown: Arc<Mutex<Option<Shown>>>,
    orders: Receiver<Order>,
    /// Connections that have no answer yet.
    open: Arc<AtomicUsize>,
}

/// Where the socket of a run with this state is.
pub fn socket(place: &str) -> PathBuf {
    let folder = |folder: &PathBuf| std::path::absolute(folder).unwrap_or_else(|_| folder.clone());
    // However it is written, with all that tells one store from another.
    let (inside, place) = match Location::parse(place) {
        Ok(Location::Local(local)) => (
            Some(folder(&local).join("control")),
            folder(&local).display().to_string(),
        ),
        Ok(other) => (None, format!("{other:?}")),
        Err(_) => (None, place.to_owned()),
    };
    match inside.filter(|path| path.as_os_str().len() <= LONGEST) {
        Some(path) => path,
        None => {
            let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
            let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).or_else(home);
            let mut hasher = DefaultHasher::new();
            place.hash(&mut hasher);
            let name = format!("{:016x}", hasher.finish());
            runtime.unwrap_or_else(std::env::temp_dir).join("hitters").join(name)
        }
    }
}

impl Control {
    /// Serves the socket of a run with this state. The state must be taken, so that a socket that is there is a dead one.
    pub fn serve(place: &str) -> Result<Self, Failure> {
        let path = socket(place);
        let failed = |error: std::io::Error| {
            Failure::Run(format!("cannot serve the control socket {}: {error}", path.display()))
        };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).map_err(failed)?;
        let shown: Arc<Mutex<Option<Shown>>> = Arc::default();
        let (send, orders) = channel();
        let (seen, begun) = (shown.clone(), Instant::now());
        let open: Arc<AtomicUsize> = Arc::default();
        let unanswered = open.clone();
        let serve = move || {
            for stream in listener.incoming().flatten() {
                let (seen, send, unanswered) = (seen.clone(), send.clone(), unanswered.clone());
                // A thread each: an order is answered when it is done, and status goes on meanwhile.
                let answer = move || {
                    unanswered.fetch_add(1, Relaxed);
                    // An error is that of a peer that has gone.
                    let _ = answer(stream, &seen, &send, begun);
                    unanswered.fetch_sub(1, Relaxed);
                };
                let _ = std::thread::Builder::new().name("control".into()).spawn(answer);
            }
        };
        std::thread::Builder::new()
            .name("control".into())
            .spawn(serve)
            .map_err(failed)?;
        Ok(Self {
            path,
            shown,
            orders,
            open,
        })
    }

    /// What `status` shows from now on.
    pub fn show(&self, shown: Shown) {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(shown);
    }

    /// The next order, if there is one.
    pub fn order(&self) -> Option<Order> {
        self.orders.try_recv().ok()
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
        // The process ends now, and its threads with it: answers that are on their way arrive first.
        let until = Instant::now() + LAST_ANSWERS;
        while self.open.load(Relaxed) > 0 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Answers one connection. Errors are those of a peer that has gone.
fn answer(
    stream: UnixStream,
    shown: &Mutex<Option<Shown>>,
    orders: &Sender<Order>,
    begun: Instant,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line)?;
    let order = |what: Do| {
        let (done, answer) = channel();
        let gone = json!({ "error": "the run has ended" });
        match orders.send(Order { what, done }) {
            Ok(()) => answer.recv().unwrap_or(gone),
            Err(_) => gone,
        }
    };
    let request: Value = serde_json::from_str(&line).unwrap_or(Value::Null);
    let reply = match (request["do"].as_str(), request["parallelism"].as_u64()) {
        (Some("status"), _) => status(shown, begun),
        (Some("stop"), _) => order(Do::Stop),
        (Some("scale"), Some(n @ 1..=1024)) => order(Do::Scale(n as usize)),
        _ => {
            json!({ "error": "ask {\"do\": \"status\"}, {\"do\": \"stop\"}, or {\"do\": \"scale\", \"parallelism\": 1 to 1024}" })
        }
    };
    writeln!(&stream, "{reply}")
}

fn status(shown: &Mutex<Option<Shown>>, begun: Instant) -> Value {
    let shown = shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let Some(shown) = shown else {
        return json!({ "state": "starting", "pid": std::process::id() });
    };
    let metrics = &shown.metrics;
    let time = |nanos: i64| (nanos != i64::MIN).then(|| nanos.div_euclid(1_000_000));
    let partitions = metrics.partitions.iter().map(|partition| {
        let position = partition.position.load(Relaxed);
        json!({
            "table": partition.table,
            "partition": partition.number,
            "position": (position >= 0).then_some(position),
            "event_time": time(partition.latest.load(Relaxed)),
            "records": partition.records.load(Relaxed),
        })
    });
    json!({
        "state": "running",
        "pid": std::process::id(),
        "pipeline": shown.pipeline,
        "version": shown.version,
        "parallelism": shown.parallelism,
        "uptime_seconds": begun.elapsed().as_secs_f64(),
        "events": metrics.records.load(Relaxed),
        "total": metrics.counts(),
        "complete_until": time(metrics.complete_until.load(Relaxed)),
        "state_bytes": metrics.state_bytes(),
        "disk_bytes": metrics.disk.load(Relaxed),
        "closing_ms": closing(metrics),
        "checkpoint": {
            "place": shown.place,
            "last": metrics.checkpoint.load(Relaxed),
            "stored": metrics.checkpoints.load(Relaxed),
            "failed": metrics.checkpoints_failed.load(Relaxed),
            "bytes": metrics.checkpoint_bytes.load(Relaxed),
            "longest_pause_ms": metrics.longest_pause.load(Relaxed) as f64 / 1000.0,
        },
        "partitions": partitions.collect::<Vec<_>>(),
    })
}

/// Asks the run with this state; waits for its answer as long as it takes.
pub fn ask(pipeline: &str, place: &str, request: &Value) -> Result<Value, Failure> {
    let path = socket(place);
    let stream = connect(&path).map_err(|error| {
        Failure::Run(format!(
            "no run of '{pipeline}' answers at {}: {error}. It runs where its state is kept: {place}",
            path.display()
        ))
    })?;
    let lost = |error: std::io::Error| Failure::Run(format!("the run of '{pipeline}' did not answer: {error}"));
    writeln!(&stream, "{request}").map_err(lost)?;
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).map_err(lost)?;
    let reply: Value = serde_json::from_str(&line)
        .map_err(|_| Failure::Run(format!("the run of '{pipeline}' ended before it answered")))?;
    match reply["error"].as_str() {
        Some(error) => Err(Failure::Run(format!("{pipeline}: {error}"))),
        None => Ok(reply),
    }
}

fn connect(path: &Path) -> std::io::Result<UnixStream> {
    UnixStream::connect(path)
}
