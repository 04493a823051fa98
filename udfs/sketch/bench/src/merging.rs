//! Merging: time, what it does to recall and bounds, and how many bytes a sketch takes.

use std::time::Duration;

use hitters_sketch::TopK;

use crate::Options;
use crate::accuracy::{absent, broken, score, sized};
use crate::measure::cpu_time;
use crate::peers::{Keys, MAKERS, Ours, Peer};
use crate::stream::Stream;

/// Rows `from..to` of a stream, fed in batches.
fn feed(peer: &mut dyn Peer, stream: &Stream, from: usize, to: usize) {
    let mut at = from;
    while at < to {
        let slice = stream.slice(at, (at + 1_000_000).min(to));
        for row in (0..slice.len()).step_by(8192) {
            peer.feed(&slice, row, (row + 8192).min(slice.len()));
        }
        at += 1_000_000;
    }
}

/// The median CPU time of some calls, each on what `prepare` makes.
fn median<T>(n: usize, mut prepare: impl FnMut() -> T, mut call: impl FnMut(&mut T)) -> Duration {
    let mut times: Vec<Duration> = (0..n)
        .map(|_| {
            let mut value = prepare();
            let start = cpu_time();
            call(&mut value);
            cpu_time() - start
        })
        .collect();
    times.sort_unstable();
    times[n / 2]
}

/// Another one of a peer of ours.
fn copy(peer: &Ours) -> Ours {
    Ours(peer.0.clone(), peer.1)
}

pub fn run(options: &Options) {
    println!("\n## Merge of two halves of zipf11, text, k = 100");
    println!(
        "| KB | peer | merge us | recall@1000 before, after | bytes KB | compact bytes KB |\n|---|---|---|---|---|---|"
    );
    for stream in options.streams(&["zipf11"]) {
        let half = stream.events.len() / 2;
        for budget in options.budget.map_or(vec![64, 256, 1024], |b| vec![b]) {
            for maker in options
                .makers()
                .iter()
                .filter(|m| !m.name.contains("heavykeeper"))
            {
                let Some((size, mut a)) = sized(maker, &stream, 100, budget * 1024, Keys::Views)
                else {
                    continue;
                };
                let mut b = (maker.make)(100, size, Keys::Views);
                feed(&mut *a, &stream, 0, half);
                feed(&mut *b, &stream, half, stream.events.len());
                let recall = |p: &dyn Peer| score(p, &stream, 100, Keys::Views).recall;
                let mut whole = (maker.make)(100, size, Keys::Views);
                feed(&mut *whole, &stream, 0, stream.events.len());
                let before = recall(&*whole);
                let (time, compact) = match (
                    a.as_any().downcast_ref::<Ours>(),
                    b.as_any().downcast_ref::<Ours>(),
                ) {
                    (Some(x), Some(y)) => {
                        let time = median(options.merges, || copy(x), |x| x.0.merge(&y.0).unwrap());
                        (
                            time,
                            whole
                                .as_any()
                                .downcast_ref::<Ours>()
                                .map(|w| w.0.to_compact_bytes(100).len()),
                        )
                    }
                    _ => {
                        let start = cpu_time();
                        a.merge(&*b);
                        (cpu_time() - start, None)
                    }
                };
                if compact.is_some() {
                    a.merge(&*b);
                }
                println!(
                    "| {budget} | {} | {:.0} | {before:.3}, {:.3} | {} | {} |",
                    maker.name,
                    time.as_secs_f64() * 1e6,
                    recall(&*a),
                    whole
                        .bytes()
                        .map_or("-".into(), |b| format!("{:.1}", b as f64 / 1024.0)),
                    compact.map_or("-".into(), |b| format!("{:.1}", b as f64 / 1024.0)),
                );
            }
        }
    }
    println!("\n## 168 parts of drift merged, text, k = 100, 256 KB");
    println!("| peer | recall@100 | width | broken | absent / 100th |\n|---|---|---|---|---|");
    const PARTS: usize = 168;
    for stream in options.streams(&["drift"]) {
        let part = |i: usize| stream.events.len() * i / PARTS;
        for maker in options
            .makers()
            .iter()
            .filter(|m| !m.name.contains("heavykeeper"))
        {
            let Some((size, _)) = sized(maker, &stream, 100, 256 * 1024, Keys::Views) else {
                continue;
            };
            let mut merged: Option<Box<dyn Peer>> = None;
            let mut compact: Vec<Vec<u8>> = Vec::new();
            for i in 0..PARTS {
                let mut peer = (maker.make)(100, size, Keys::Views);
                feed(&mut *peer, &stream, part(i), part(i + 1));
                if let Some(ours) = peer.as_any().downcast_ref::<Ours>() {
                    compact.push(ours.0.to_compact_bytes(100));
                }
                match &mut merged {
                    None => merged = Some(peer),
                    Some(merged) => {
                        merged.merge(&*peer);
                    }
                }
            }
            report(maker.name, &*merged.unwrap(), &stream);
            if !compact.is_empty() {
                let sketches: Vec<TopK> = compact
                    .iter()
                    .map(|bytes| TopK::from_bytes(bytes).unwrap())
                    .collect();
                let merge = |sketches: &[TopK]| {
                    let mut all = sketches[0].clone();
                    sketches[1..].iter().for_each(|s| all.merge(s).unwrap());
                    all
                };
                let time = median(
                    options.merges.min(9).max(1),
                    || (),
                    |()| drop(std::hint::black_box(merge(&sketches))),
                );
                let read = median(
                    9,
                    || (),
                    |()| {
                        compact.iter().for_each(|bytes| {
                            drop(std::hint::black_box(TopK::from_bytes(bytes).unwrap()))
                        });
                    },
                );
                report(
                    "hitters TopK, compact",
                    &Ours(merge(&sketches), Keys::Views),
                    &stream,
                );
                println!(
                    "\n168 compact sketches of {:.1} KB: read {:.1} ms, merged {:.1} ms",
                    compact.iter().map(Vec::len).sum::<usize>() as f64 / 168.0 / 1024.0,
                    read.as_secs_f64() * 1e3,
                    time.as_secs_f64() * 1e3
                );
            }
        }
    }
    let _ = MAKERS;
}

fn report(name: &str, peer: &dyn Peer, stream: &Stream) {
    let s = score(peer, stream, 100, Keys::Views);
    println!(
        "| {name} | {:.3} | {:.3} | {} | {} |",
        s.recall,
        s.width,
        broken(peer, stream).map_or("-".into(), |b| b.to_string()),
        absent(peer).map_or("-".into(), |a| format!("{:.3}", a / stream.kth(100) as f64)),
    );
}
