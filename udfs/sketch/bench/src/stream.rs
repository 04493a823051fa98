//! The streams: events as numbers of items, and a dictionary of those.

use std::collections::HashMap;

/// A stream of events over a dictionary.
pub struct Stream {
    pub name: &'static str,
    pub events: Vec<u32>,
    pub items: Vec<String>,
    /// What the integer peers get for an item.
    pub integers: Vec<i64>,
    /// True counts.
    pub counts: Vec<u64>,
}

/// Some events as columns.
pub struct Slice {
    pub offsets: Vec<i32>,
    pub bytes: Vec<u8>,
    pub views: Vec<u128>,
    pub integers: Vec<i64>,
}

impl Slice {
    pub fn text(&self, i: usize) -> &str {
        std::str::from_utf8(&self.bytes[self.offsets[i] as usize..self.offsets[i + 1] as usize])
            .unwrap()
    }

    /// Reads everything once.
    pub fn sum(&self) -> u64 {
        let sum = self
            .bytes
            .iter()
            .fold(0u64, |sum, b| sum.wrapping_add((*b).into()));
        let sum = self
            .offsets
            .iter()
            .fold(sum, |sum, x| sum.wrapping_add(*x as u64));
        let sum = self
            .views
            .iter()
            .fold(sum, |sum, x| sum.wrapping_add(*x as u64));
        self.integers
            .iter()
            .fold(sum, |sum, x| sum.wrapping_add(*x as u64))
    }

    pub fn len(&self) -> usize {
        self.integers.len()
    }
}

/// splitmix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn shuffle<T>(&mut self, values: &mut [T]) {
        for i in (1..values.len()).rev() {
            let j = self.below(i + 1);
            values.swap(i, j);
        }
    }
}

/// Walker's alias method over `1 / rank^exponent`.
struct Zipf {
    cut: Vec<f64>,
    alias: Vec<u32>,
}

impl Zipf {
    fn new(n: usize, exponent: f64) -> Self {
        let weights: Vec<f64> = (1..=n).map(|rank| (rank as f64).powf(-exponent)).collect();
        let sum: f64 = weights.iter().sum();
        let mut cut: Vec<f64> = weights.iter().map(|w| w * n as f64 / sum).collect();
        let mut alias: Vec<u32> = (0..n as u32).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) = (0..n).partition(|i| cut[*i] < 1.0);
        while let (Some(s), Some(l)) = (small.pop(), large.last().copied()) {
            alias[s] = l as u32;
            cut[l] -= 1.0 - cut[s];
            if cut[l] < 1.0 {
                large.pop();
                small.push(l);
            }
        }
        Zipf { cut, alias }
    }

    fn draw(&self, random: &mut Random) -> u32 {
        let i = random.below(self.cut.len());
        if random.unit() < self.cut[i] {
            i as u32
        } else {
            self.alias[i]
        }
    }
}

impl Stream {
    fn new(name: &'static str, events: Vec<u32>, items: Vec<String>) -> Self {
        let mut counts = vec![0; items.len()];
        for event in &events {
            counts[*event as usize] += 1;
        }
        let integers = (0..items.len())
            .map(|i| Random(i as u64).next() as i64)
            .collect();
        Stream {
            name,
            events,
            items,
            integers,
            counts,
        }
    }

    fn named(n: usize) -> Vec<String> {
        (0..n).map(|i| format!("item-{i:06}")).collect()
    }

    /// Independent draws.
    pub fn zipf(name: &'static str, exponent: f64, n: usize) -> Self {
        let mut random = Random(exponent.to_bits());
        let mut items = Self::named(1_000_000);
        random.shuffle(&mut items);
        let zipf = Zipf::new(items.len(), exponent);
        let events = (0..n).map(|_| zipf.draw(&mut random)).collect();
        Self::new(name, events, items)
    }

    /// A new ranking with every tenth.
    pub fn drift(n: usize) -> Self {
        let mut random = Random(77);
        let items = Self::named(1_000_000);
        let zipf = Zipf::new(items.len(), 1.1);
        let mut ranking: Vec<u32> = (0..items.len() as u32).collect();
        let mut events = Vec::with_capacity(n);
        for i in 0..n {
            if i % (n / 10).max(1) == 0 {
                random.shuffle(&mut ranking);
            }
            events.push(ranking[zipf.draw(&mut random) as usize]);
        }
        Self::new("drift", events, items)
    }

    /// A thousand heavy items and `singles` that come once: mixed, or all before.
    pub fn singles(name: &'static str, singles: usize, mixed: bool) -> Self {
        let mut random = Random(5);
        let mut items: Vec<String> = (0..1000).map(|i| format!("heavy-{i:04}")).collect();
        items.extend((0..singles).map(|i| format!("once-{i:07}")));
        let mut heavy = Vec::new();
        for i in 0..1000u32 {
            let count = (singles as f64 / 50.0 / f64::from(i + 1).powf(0.7)) as usize;
            heavy.extend(std::iter::repeat_n(i, count.max(1)));
        }
        let once = 1000..(1000 + singles) as u32;
        let events = if mixed {
            heavy.extend(once);
            random.shuffle(&mut heavy);
            heavy
        } else {
            random.shuffle(&mut heavy);
            once.chain(heavy).collect()
        };
        Self::new(name, events, items)
    }

    /// Real data: one item a line.
    pub fn file(name: &'static str, path: &str, n: usize) -> std::io::Result<Self> {
        use std::io::BufRead;
        let mut items = Vec::new();
        let mut known: HashMap<String, u32> = HashMap::new();
        let mut events = Vec::new();
        for line in std::io::BufReader::new(std::fs::File::open(path)?)
            .lines()
            .take(n)
        {
            let line = line?;
            let next = items.len() as u32;
            events.push(*known.entry(line).or_insert_with_key(|line| {
                items.push(line.clone());
                next
            }));
        }
        Ok(Self::new(name, events, items))
    }

    /// Events as columns.
    pub fn slice(&self, from: usize, to: usize) -> Slice {
        let events = &self.events[from..to.min(self.events.len())];
        let mut s = Slice {
            offsets: Vec::with_capacity(events.len() + 1),
            bytes: Vec::with_capacity(events.iter().map(|e| self.items[*e as usize].len()).sum()),
            views: Vec::with_capacity(events.len()),
            integers: Vec::with_capacity(events.len()),
        };
        s.offsets.push(0);
        for event in events {
            let item = self.items[*event as usize].as_bytes();
            let at = s.bytes.len();
            s.bytes.extend_from_slice(item);
            s.offsets.push(s.bytes.len() as i32);
            let mut view = [0u8; 16];
            view[..4].copy_from_slice(&(item.len() as u32).to_le_bytes());
            if item.len() <= 12 {
                view[4..4 + item.len()].copy_from_slice(item);
            } else {
                view[4..8].copy_from_slice(&item[..4]);
                view[12..].copy_from_slice(&(at as u32).to_le_bytes());
            }
            s.views.push(u128::from_le_bytes(view));
            s.integers.push(self.integers[*event as usize]);
        }
        s
    }

    /// The true count of the `k`th item.
    pub fn kth(&self, k: usize) -> u64 {
        let mut counts = self.counts.clone();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        counts.get(k - 1).copied().unwrap_or(0)
    }
}
