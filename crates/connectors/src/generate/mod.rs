//! `hitters generate`: streams of synthetic events whose answer is known, for tests, benchmarks and demonstrations.
//!
//! The same options give the same bytes, on every platform but for the last digits of `ln` and `exp` in the choice of items
//! (Zipf by rejection inversion). Each event is a JSON object of about 100 bytes:
//!
//! | key | type | |
//! |---|---|---|
//! | `ts` | BIGINT | event time, milliseconds since the epoch |
//! | `item` | TEXT | what is counted, by Zipf's law: a product, a path, an address, a hashtag, an advertisement |
//! | `category` | TEXT | belongs to the item |
//! | `region` | TEXT | where the event comes from |
//! | `user` | TEXT | who caused it, evenly from 200,000 |
//! | `amount` | BIGINT | cents, bytes or views, by profile |
//!
//! Event `n` has the base time `start + n / rate`. A share of the events is early in the log, or rather its time lies up to
//! `disorder` milliseconds before its base time, so that a watermark of that delay loses nothing.

mod output;
mod profile;
mod random;

pub use output::{Progress, to_file, to_topic};
pub use profile::Profile;

use profile::Writer;
use rand_distr::{Distribution, Zipf};
use random::Random;

/// What to generate.
#[derive(Clone, Debug, PartialEq)]
pub struct Generate {
    /// How items and categories look.
    pub profile: Profile,
    /// Number of events.
    pub events: u64,
    /// The same seed gives the same stream.
    pub seed: u64,
    /// Zipf's exponent: 0 is even, 1.1 is a usual skew.
    pub exponent: f64,
    /// Distinct items.
    pub items: u64,
    /// Distinct categories, for tests with many groups; every one has its fair share of the items. `None`: the few of the
    /// profile, with their names.
    pub categories: Option<u64>,
    /// Time of the first event, milliseconds since the epoch.
    pub start: i64,
    /// Events a second of event time.
    pub rate: f64,
    /// Share of the events that are out of order, 0 to 1.
    pub disorder_share: f64,
    /// How far these lie back at most, in milliseconds.
    pub disorder: i64,
    /// The hot set moves: after each period of so many milliseconds of event time, item of rank `r` becomes that of rank
    /// `r + drift_ranks`.
    pub drift_every: Option<i64>,
    /// Ranks of one move.
    pub drift_ranks: u64,
    /// Events go to the partitions in turn.
    pub partitions: u32,
    /// Partitions that say nothing for a while; their events go to the next ones.
    pub silences: Vec<Silence>,
}

/// A while in which a partition gets no events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    /// The partition.
    pub partition: u32,
    /// Milliseconds of event time after the start.
    pub from: i64,
    /// End, not included.
    pub to: i64,
}

impl Default for Generate {
    fn default() -> Self {
        Self {
            profile: Profile::Shop,
            events: 1_000_000,
            seed: 42,
            exponent: 1.1,
            items: 100_000,
            categories: None,
            start: 1_700_000_000_000,
            rate: 100_000.0,
            disorder_share: 0.1,
            disorder: 2_000,
            drift_every: None,
            drift_ranks: 10,
            partitions: 1,
            silences: Vec::new(),
        }
    }
}

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The JSON object.
    pub json: &'a [u8],
    /// Its `ts`.
    pub ts: i64,
    /// Where it goes.
    pub partition: u32,
}

/// The events one after the other.
pub struct Events {
    options: Generate,
    zipf: Zipf<f64>,
    random: Random,
    writer: Writer,
    /// Rank `r` is the item `r * step mod items`, so that neighbours in rank are no neighbours in name.
    step: u64,
    number: u64,
}

impl Events {
    /// A stream from its beginning.
    ///
    /// # Errors
    ///
    /// If an option makes no sense.
    pub fn new(options: &Generate) -> Result<Self, String> {
        let o = options;
        if o.items == 0 || o.partitions == 0 || o.categories == Some(0) {
            return Err("at least one item, one category and one partition are needed".into());
        }
        if !(o.rate.is_finite() && o.rate > 0.0) {
            return Err(format!("a rate of {} events a second makes no stream", o.rate));
        }
        if !(0.0..=1.0).contains(&o.disorder_share) || o.disorder < 0 {
            return Err("the disorder is a share from 0 to 1 and a number of milliseconds".into());
        }
        if o.drift_every.is_some_and(|every| every <= 0) {
            return Err("the period of the drift must be above 0 ms".into());
        }
        let zipf = Zipf::new(o.items as f64, o.exponent)
            .map_err(|error| format!("exponent {} over {} items: {error}", o.exponent, o.items))?;
        Ok(Self {
            zipf,
            random: Random::new(o.seed),
            writer: Writer::new(o.profile, o.categories),
            step: coprime(o.items),
            number: 0,
            options: options.clone(),
        })
    }

    /// The next event; `None` at the end.
    pub fn next_event(&mut self) -> Option<Event<'_>> {
        let o = &self.options;
        if self.number >= o.events {
            return None;
        }
        let since = (self.number as f64 * 1000.0 / o.rate) as i64;
        let rank = self.zipf.sample(&mut self.random) as u64 - 1;
        let moved = o
            .drift_every
            .map_or(0, |every| (since / every).unsigned_abs().wrapping_mul(o.drift_ranks));
        let rank = (rank % o.items + moved % o.items) % o.items;
        let item = (u128::from(rank) * u128::from(self.step) % u128::from(o.items)) as u64;
        let back = if o.disorder > 0 && self.random.share() < o.disorder_share {
            1 + self.random.below(o.disorder.unsigned_abs()) as i64
        } else {
            0
        };
        let ts = o.start + since - back;
        let partition = partition(o, self.number, since);
        self.number += 1;
        let json = self.writer.write(ts, item, &mut self.random);
        Some(Event { json, ts, partition })
    }
}

/// The next partition in turn that is not silent (if all are, the one whose turn it is).
fn partition(options: &Generate, number: u64, since: i64) -> u32 {
    let turn = (number % u64::from(options.partitions)) as u32;
    let silent = |partition: u32| {
        options
            .silences
            .iter()
            .any(|s| s.partition == partition && (s.from..s.to).contains(&since))
    };
    (0..options.partitions)
        .map(|next| (turn + next) % options.partitions)
        .find(|&next| !silent(next))
        .unwrap_or(turn)
}

/// A number without common factor with `items`, near the golden section of it.
fn coprime(items: u64) -> u64 {
    let mut step = ((items as f64 * 0.618_033_988_75) as u64).max(1);
    while gcd(step, items) != 1 {
        step += 1;
    }
    step
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests;
