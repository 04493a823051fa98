//! The table of `udfs/sketch/README.md`: our sketch beside its peers, on the same streams, in one process, in turn.
//!
//! `hitters-sketch-bench [accuracy|speed|merge|all] [--events N] [--identifiers FILE] [--stream NAMES] [--only PEERS] [--budget KB] [--k K] [--text]`

mod accuracy;
mod measure;
mod merging;
mod peers;
mod speed;
mod stream;

use stream::Stream;

#[global_allocator]
static COUNTING: measure::Counting = measure::Counting;

pub struct Options {
    pub events: usize,
    pub identifiers: Option<String>,
    pub only: Option<String>,
    pub stream: Option<String>,
    pub budget: Option<usize>,
    pub k: Option<usize>,
    pub merges: usize,
    pub text: bool,
}

impl Options {
    pub fn makers(&self) -> Vec<peers::Maker> {
        peers::MAKERS
            .iter()
            .filter(|m| {
                self.only
                    .as_ref()
                    .is_none_or(|only| only.split(',').any(|only| m.name.contains(only)))
            })
            .copied()
            .collect()
    }

    /// The streams asked for, one after the other, so that only one is in memory.
    pub fn streams(&self, names: &[&'static str]) -> impl Iterator<Item = Stream> {
        let wanted = names.iter().filter(|n| {
            self.stream
                .as_ref()
                .is_none_or(|s| s.split(',').any(|s| s == **n))
        });
        wanted.filter_map(|name| self.load(name))
    }

    fn load(&self, name: &'static str) -> Option<Stream> {
        let n = self.events;
        Some(match name {
            "zipf08" => Stream::zipf(name, 0.8, n),
            "zipf11" => Stream::zipf(name, 1.1, n),
            "zipf15" => Stream::zipf(name, 1.5, n),
            "drift" => Stream::drift(n / 2),
            "advmix" => Stream::singles(name, n / 4, true),
            "advseq" => Stream::singles(name, n / 4, false),
            _ => match self
                .identifiers
                .as_ref()
                .map(|path| Stream::file(name, path, n))
            {
                Some(Ok(stream)) => stream,
                Some(Err(error)) => {
                    eprintln!("identifiers: {error}");
                    return None;
                }
                None => return None,
            },
        })
    }
}

fn main() {
    let mut options = Options {
        events: 20_000_000,
        identifiers: None,
        only: None,
        stream: None,
        budget: None,
        k: None,
        merges: 101,
        text: false,
    };
    let mut what = "all".to_string();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || {
            arguments
                .next()
                .unwrap_or_else(|| panic!("{argument} needs a value"))
        };
        match argument.as_str() {
            "--events" => options.events = value().parse().expect("a number of events"),
            "--identifiers" => options.identifiers = Some(value()),
            "--only" => options.only = Some(value()),
            "--stream" => options.stream = Some(value()),
            "--budget" => options.budget = Some(value().parse().expect("a number of KB")),
            "--text" => options.text = true,
            "--merges" => options.merges = value().parse().expect("a number of merges"),
            "--k" => options.k = Some(value().parse().expect("a number of items")),
            _ => what = argument,
        }
    }
    if what == "alone" {
        speed::alone(&options);
    }
    if matches!(what.as_str(), "accuracy" | "all") {
        accuracy::run(&options);
    }
    if matches!(what.as_str(), "speed" | "all") {
        speed::run(&options);
    }
    if matches!(what.as_str(), "merge" | "all") {
        merging::run(&options);
    }
}
