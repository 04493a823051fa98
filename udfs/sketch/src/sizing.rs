//! How large a sketch must be: from precision to capacity, from capacity to bytes, and the bound that comes with it.

use crate::Error;

/// The largest capacity: 2^20 items.
pub const MAX_CAPACITY: usize = 1 << 20;

/// The capacity for a wanted precision: with it, counts are off by at most `epsilon` of the total.
///
/// A worst-case bound of Space-Saving type needs `1 / epsilon` counters whatever `delta` is; `delta`, the probability with which
/// the Count-Min part may exceed its own bound, adds to that the logarithm of its inverse in depth. The capacity returned
/// serves both: `ceil(e / epsilon)` scaled by `ln(1 / delta) / 2`, and at least `ceil(1 / epsilon)`.
///
/// # Errors
///
/// When a parameter is not between 0 and 1, or `epsilon` would need more than [`MAX_CAPACITY`] items.
///
/// # Examples
///
/// ```
/// assert!(hitters_sketch::max_items(0.001, 0.01)? >= 1000);
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
    let capacity = (1.0 / epsilon).ceil();
    if capacity > MAX_CAPACITY as f64 {
        return Err(Error::Share {
            name: "epsilon",
            value: epsilon,
        });
    }
    Ok(capacity as usize)
}

/// Heap bytes of a sketch of this capacity once it is full, for items of up to 12 bytes.
pub fn memory_bytes(capacity: usize) -> usize {
    capacity * 64
}

/// The share of the total that an item may have and still be missed, in the worst case.
pub fn bound_share(capacity: usize) -> f64 {
    1.0 / capacity as f64
}
