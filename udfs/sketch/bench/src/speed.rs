//! Rows a second, on one thread, by its CPU time: all peers in turn on every slice, the median over passes.

use std::time::Duration;

use crate::Options;
use crate::accuracy::sized;
use crate::measure::cpu_time;
use crate::peers::{EXACT, Keys};
use crate::stream::Slice;

/// Rows that each peer gets in turn. They are read once before, so that nobody pays for the first look.
const SLICE: usize = 65_536;
const PASSES: usize = 3;

pub fn run(options: &Options) {
    let budgets = options.budget.map_or(vec![64, 256, 1024], |b| vec![b]);
    println!(
        "\n## Speed, k = {}: M rows/s (ratio to datasketches in the same run)",
        options.k.unwrap_or(100)
    );
    println!("| stream | keys | KB | peer | M rows/s | ratio |\n|---|---|---|---|---|---|");
    for stream in options.streams(&["zipf11", "zipf08", "zipf15", "identifiers"]) {
        let end = stream.events.len().min(options.events / 2);
        let slices: Vec<Slice> = (0..end)
            .step_by(SLICE)
            .map(|at| stream.slice(at, at + SLICE))
            .collect();
        for keys in [Keys::Views, Keys::Offsets, Keys::Integers] {
            if stream.name == "identifiers" && keys == Keys::Integers {
                continue;
            }
            for budget in &budgets {
                let mut makers = options.makers();
                if keys == Keys::Offsets {
                    makers
                        .retain(|m| m.name.contains("hitters") || m.name.contains("datasketches"));
                } else {
                    makers.push(EXACT);
                }
                let sizes: Vec<Option<usize>> = makers
                    .iter()
                    .map(|m| {
                        sized(m, &stream, options.k.unwrap_or(100), budget * 1024, keys)
                            .map(|(size, _)| size)
                    })
                    .collect();
                let mut passes = vec![Vec::new(); makers.len()];
                for _ in 0..PASSES {
                    let mut peers: Vec<_> = makers
                        .iter()
                        .zip(&sizes)
                        .map(|(m, size)| {
                            size.map(|size| (m.make)(options.k.unwrap_or(100), size, keys))
                        })
                        .collect();
                    let mut times = vec![Duration::ZERO; makers.len()];
                    for slice in &slices {
                        std::hint::black_box(slice.sum());
                        for (peer, time) in peers.iter_mut().zip(&mut times) {
                            let Some(peer) = peer else { continue };
                            let start = cpu_time();
                            for from in (0..slice.len()).step_by(8192) {
                                peer.feed(&slice, from, (from + 8192).min(slice.len()));
                            }
                            *time += cpu_time() - start;
                        }
                    }
                    let rows: usize = slices.iter().map(Slice::len).sum();
                    for (pass, time) in passes.iter_mut().zip(times) {
                        pass.push(rows as f64 / 1e6 / time.as_secs_f64().max(1e-9));
                    }
                }
                let medians: Vec<f64> = passes
                    .iter_mut()
                    .map(|pass| {
                        pass.sort_by(f64::total_cmp);
                        pass[PASSES / 2]
                    })
                    .collect();
                let base = makers
                    .iter()
                    .position(|m| m.name == "datasketches")
                    .map_or(f64::NAN, |i| medians[i]);
                for ((maker, median), size) in makers.iter().zip(&medians).zip(&sizes) {
                    let label = match keys {
                        Keys::Views => "text, views",
                        Keys::Offsets => "text, offsets",
                        Keys::Integers => "int64",
                    };
                    match size {
                        Some(_) => println!(
                            "| {} | {label} | {budget} | {} | {median:.1} | {:.1} x |",
                            stream.name,
                            maker.name,
                            median / base
                        ),
                        None => println!(
                            "| {} | {label} | {budget} | {} | does not fit | |",
                            stream.name, maker.name
                        ),
                    }
                }
            }
        }
    }
}

/// Ours alone, for those who tune it: the best of some passes.
pub fn alone(options: &Options) {
    for stream in options.streams(&["zipf11", "zipf08", "zipf15", "identifiers"]) {
        let end = stream.events.len().min(options.events / 2);
        let slices: Vec<Slice> = (0..end)
            .step_by(SLICE)
            .map(|at| stream.slice(at, at + SLICE))
            .collect();
        for (label, keys) in [
            ("views", Keys::Views),
            ("offsets", Keys::Offsets),
            ("int64", Keys::Integers),
        ] {
            let best = (0..5)
                .map(|_| {
                    let bytes = options.budget.unwrap_or(64) * 1024;
                    let mut peer =
                        (crate::peers::MAKERS[0].make)(options.k.unwrap_or(100), bytes, keys);
                    let mut time = Duration::ZERO;
                    for slice in &slices {
                        std::hint::black_box(slice.sum());
                        let start = cpu_time();
                        for from in (0..slice.len()).step_by(8192) {
                            peer.feed(slice, from, (from + 8192).min(slice.len()));
                        }
                        time += cpu_time() - start;
                    }
                    time
                })
                .min()
                .unwrap_or_default();
            let rows: usize = slices.iter().map(Slice::len).sum();
            println!(
                "{} {label}: {:.1} M rows/s",
                stream.name,
                rows as f64 / 1e6 / best.as_secs_f64()
            );
        }
    }
}
