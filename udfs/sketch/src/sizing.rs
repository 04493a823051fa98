//! How large a sketch must be: from precision to capacity, from capacity to bytes, and the bound that comes with it.

use crate::{Error, TopK};

/// The largest capacity: 2^20 items.
pub const MAX_CAPACITY: usize = 1 << 20;

/// The capacity for a wanted precision: with it, an untracked item's upper bound exceeds its true weight by at most `epsilon` of the
/// total, with probability `1 - delta` over the draw of the seed.
///
/// By Markov's inequality from the mean that [`bound_share`] states, `1 / (2 epsilon delta)`, and at least the `1 / epsilon`
/// that any summary needs to list all items above the share `epsilon`. It holds for every stream, and is far on the safe side: an
/// answer's own bounds are proven whatever the capacity, and usually much closer.
///
/// # Errors
///
/// When a parameter is not between 0 and 1, or they would need more than [`MAX_CAPACITY`] items.
///
/// # Examples
///
/// ```
/// assert_eq!(hitters_sketch::max_items(0.01, 0.05)?, 1000);
/// assert!(hitters_sketch::max_items(0.0, 0.01).is_err());
/// # Ok::<(), hitters_sketch::Error>(())
/// ```
pub fn max_items(epsilon: f64, delta: f64) -> Result<usize, Error> {
    if !(epsilon > 0.0 && epsilon < 1.0) {
        return Err(Error::Share {
            name: "epsilon",
            value: epsilon,
        });
    }
    if !(delta > 0.0 && delta < 1.0) {
        return Err(Error::Share {
            name: "delta",
            value: delta,
        });
    }
    // Rounded down by less than a unit in the last place first, so that 1 / (2 x 0.01 x 0.05) is 1000.
    let capacity = ((0.5 / (epsilon * delta)).max(1.0 / epsilon) * (1.0 - 1e-12)).ceil();
    if capacity > MAX_CAPACITY as f64 {
        return Err(Error::Share {
            name: "epsilon",
            value: epsilon,
        });
    }
    Ok(capacity as usize)
}

/// Heap bytes of a sketch of this capacity once it is dense, for items of up to 12 bytes and counts below 2^16 beside the leaders.
///
/// Counters widen when numbers grow: to 1.4 times that with 32 bits, 2.3 times with 64. Longer items take
/// their length less 8 bytes each. A sketch of few items takes about 24 bytes for each of them.
pub fn memory_bytes(capacity: usize) -> usize {
    TopK::dense_bytes(capacity)
}

/// The share of the total by which an untracked item's upper bound exceeds its true weight, in the mean over seeds: `1 / (2 capacity)`.
///
/// It is a mean for any fixed stream, without merges: the rejects of others that share an item's cell are `1 / (16 cells)` of all
/// rejected rows in the mean, the floor of its line at most the line's accepted rows over its open slots, and the
/// default shape has `16 cells >= 2 capacity` and `8 lines >= 4 capacity` (for a line with half of its slots open).
pub fn bound_share(capacity: usize) -> f64 {
    0.5 / capacity.max(1) as f64
}
