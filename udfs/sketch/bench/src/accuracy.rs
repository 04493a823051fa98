//! Recall, width of the bounds, what is known of absent items, and whether any bound is broken.

use crate::Options;
use crate::measure::live;
use crate::peers::{Keys, Maker, Peer, dictionary};
use crate::stream::{Random, Stream};

const SLICE: usize = 1_000_000;

/// The largest peer that stays within the budget after a prefix of the stream.
pub fn sized(
    maker: &Maker,
    stream: &Stream,
    k: usize,
    budget: usize,
    keys: Keys,
) -> Option<(usize, Box<dyn Peer>)> {
    if maker.by_bytes {
        return Some((budget, (maker.make)(k, budget, keys)));
    }
    let slice = stream.slice(0, stream.events.len().min(500_000));
    let fits = |size: usize| {
        let before = live();
        let mut peer = (maker.make)(k, size, keys);
        peer.feed(&slice, 0, slice.len());
        live() - before <= budget
    };
    let (mut low, mut high) = (8usize, budget);
    if !fits(low) {
        return None;
    }
    if maker.doubling {
        while fits(low * 2) {
            low *= 2;
        }
    } else {
        while high - low > 1 + low / 64 {
            let middle = low.midpoint(high);
            if fits(middle) {
                low = middle
            } else {
                high = middle
            }
        }
    }
    Some((low, (maker.make)(k, low, keys)))
}

pub struct Score {
    pub recall: f64,
    pub width: f64,
    pub error: f64,
}

/// Recall of the true top `k` (ties are fair), mean width of bounds over true counts, mean relative error.
pub fn score(peer: &dyn Peer, stream: &Stream, k: usize, keys: Keys) -> Score {
    let dictionary = dictionary(stream, keys);
    let kth = stream.kth(k).max(1);
    let rows = peer.top(k);
    let (mut right, mut width, mut error) = (0, 0.0, 0.0);
    for row in &rows {
        let truth = dictionary
            .get(&row.item)
            .map_or(0, |i| stream.counts[*i as usize]);
        right += usize::from(truth >= kth);
        width += (row.upper.saturating_sub(row.lower)) as f64 / truth.max(1) as f64;
        if truth >= kth {
            error += row.estimate.abs_diff(truth) as f64 / truth as f64;
        }
    }
    let n = rows.len().max(1) as f64;
    Score {
        recall: right as f64 / k as f64,
        width: width / n,
        error: error / right.max(1) as f64,
    }
}

/// How many items of the stream have a broken bound.
pub fn broken(peer: &dyn Peer, stream: &Stream) -> Option<usize> {
    let mut broken = 0;
    for (i, item) in stream.items.iter().enumerate() {
        let (lower, upper) = peer.bounds(item, stream.integers[i])?;
        broken += usize::from(!(lower..=upper).contains(&stream.counts[i]));
    }
    Some(broken)
}

/// Mean upper bound of 10,000 items that never came.
pub fn absent(peer: &dyn Peer) -> Option<f64> {
    let mut sum = 0.0;
    for i in 0..10_000u64 {
        sum += peer
            .bounds(&format!("none-{i:06}"), Random(!i).next() as i64)?
            .1 as f64;
    }
    Some(sum / 10_000.0)
}

pub fn run(options: &Options) {
    let names = [
        "zipf11",
        "zipf08",
        "zipf15",
        "drift",
        "advmix",
        "advseq",
        "identifiers",
    ];
    let budgets = options.budget.map_or(vec![64, 256, 1024], |b| vec![b]);
    for stream in options.streams(&names) {
        let hundredth = stream.kth(100) as f64;
        println!(
            "\n## {} ({} events, {} distinct; 100th {}, 1000th {})",
            stream.name,
            stream.events.len(),
            stream.counts.iter().filter(|c| **c > 0).count(),
            stream.kth(100),
            stream.kth(1000)
        );
        println!(
            "| peer | keys | KB | k | live KB | recall | width | rel. error | broken | absent / 100th | certain | bytes KB |"
        );
        println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
        let keys: &[Keys] = if options.text {
            &[Keys::Views]
        } else {
            &[Keys::Views, Keys::Integers]
        };
        for keys in keys.iter().copied() {
            for budget in &budgets {
                for k in [100, 1000] {
                    if options.k.is_some_and(|wanted| wanted != k)
                        || keys == Keys::Integers && k == 100
                    {
                        continue;
                    }
                    for maker in options.makers() {
                        let label = if keys == Keys::Integers {
                            "int64"
                        } else {
                            "text"
                        };
                        let before = live();
                        let Some((_, mut peer)) = sized(&maker, &stream, k, budget * 1024, keys)
                        else {
                            println!(
                                "| {} | {label} | {budget} | {k} | does not fit | | | | | | | |",
                                maker.name
                            );
                            continue;
                        };
                        let mut at = 0;
                        while at < stream.events.len() {
                            let slice = stream.slice(at, at + SLICE);
                            for from in (0..slice.len()).step_by(8192) {
                                peer.feed(&slice, from, (from + 8192).min(slice.len()));
                            }
                            at += SLICE;
                        }
                        let bytes = live() - before;
                        let s = score(&*peer, &stream, k, keys);
                        let number = |x: Option<f64>| x.map_or("-".into(), |x| format!("{x:.3}"));
                        let whole = |x: Option<usize>| x.map_or("-".into(), |x| x.to_string());
                        println!(
                            "| {} | {label} | {budget} | {k} | {:.1} | {:.3} | {} | {:.4} | {} | {} | {} | {} |",
                            maker.name,
                            bytes as f64 / 1024.0,
                            s.recall,
                            if maker.bounded {
                                format!("{:.3}", s.width)
                            } else {
                                "none".into()
                            },
                            s.error,
                            whole(broken(&*peer, &stream)),
                            number(absent(&*peer).map(|x| x / hundredth)),
                            whole(peer.certain_leaders(k)),
                            number(peer.bytes().map(|b| b as f64 / 1024.0)),
                        );
                    }
                }
            }
        }
    }
}
