//! Keeps the process within the memory limit of its state. State that closes leaves holes in the heap, which the allocator keeps
//! for what comes; with panes of gigabytes that come and go these holes are more than what is in use. When resident memory comes
//! near the limit, they are given back to the system.

use hitters_service::resident;

/// Near is from so many eighths of the limit on.
const NEAR: u64 = 7;
/// When it was not enough, or memory grows again, it is tried anew after this part of the limit.
const AGAIN: u64 = 16;

/// Watches the resident memory of this process.
pub struct Heap {
    /// Where giving back begins, and how much more memory is worth another try. `None` without a limit.
    near: Option<(u64, u64)>,
    next: u64,
}

impl Heap {
    /// For a run whose state is limited to so many bytes.
    pub fn new(limit: Option<usize>) -> Self {
        let near = limit.map(|limit| (limit as u64 / 8 * NEAR, limit as u64 / AGAIN));
        Self {
            near,
            next: near.map_or(0, |(near, _)| near),
        }
    }

    /// Gives free heap back if memory has come near the limit. True if it did.
    pub fn look(&mut self) -> bool {
        let Some((near, step)) = self.near else { return false };
        let Some(now) = resident().filter(|now| *now >= self.next) else {
            return false;
        };
        give_back();
        self.next = near.max(resident().unwrap_or(now) + step);
        true
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)]
fn give_back() {
    // SAFETY: malloc_trim has no requirements; it locks each arena as malloc does.
    unsafe { libc::malloc_trim(0) };
}

/// Other allocators give back by themselves, or have no such call.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn give_back() {}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    use super::*;

    #[test]
    fn holes_are_given_back_near_the_limit() {
        let before = resident().unwrap();
        // Of 200 MB in small pieces every hundredth stays, so that no part of the heap is free as a whole.
        let mut pieces: Vec<Option<Box<[u8]>>> = (0..200_000).map(|_| Some(vec![1; 1000].into())).collect();
        pieces
            .iter_mut()
            .enumerate()
            .filter(|(at, _)| at % 100 > 0)
            .for_each(|(_, piece)| *piece = None);
        let full = resident().unwrap();
        assert!(full > before + 150_000_000, "{before} {full}");
        assert!(!Heap::new(None).look());
        assert!(!Heap::new(Some(full as usize * 2)).look());
        let mut heap = Heap::new(Some(full as usize));
        assert!(heap.look());
        assert!(resident().unwrap() < full - 100_000_000, "{full} {:?}", resident());
        assert!(!heap.look(), "it was enough");
    }
}
