//! How many listen to live updates: each of them holds a connection, so they are counted, in all and by key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The seats there are, and who has them.
#[derive(Debug)]
pub struct Listeners {
    most: usize,
    most_of_a_key: usize,
    by_key: Mutex<HashMap<String, usize>>,
}

/// Why there is no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The key has as many as it may have.
    Key(usize),
    /// All are taken.
    All(usize),
}

/// A seat; it is given back when this is dropped.
#[derive(Debug)]
pub struct Seat {
    listeners: Arc<Listeners>,
    key: String,
}

impl Listeners {
    /// So many in all, and so many of one key.
    pub fn new(most: usize, most_of_a_key: usize) -> Self {
        Self {
            most,
            most_of_a_key,
            by_key: Mutex::default(),
        }
    }

    /// How many there are.
    pub fn all(&self) -> usize {
        self.seats().values().sum()
    }

    /// Takes a seat for a key.
    ///
    /// # Errors
    /// If there is none.
    pub fn take(self: &Arc<Self>, key: &str) -> Result<Seat, Full> {
        let mut seats = self.seats();
        if seats.values().sum::<usize>() >= self.most {
            return Err(Full::All(self.most));
        }
        let own = seats.get(key).copied().unwrap_or_default();
        if own >= self.most_of_a_key {
            return Err(Full::Key(self.most_of_a_key));
        }
        seats.insert(key.to_owned(), own + 1);
        Ok(Seat {
            listeners: self.clone(),
            key: key.to_owned(),
        })
    }

    fn seats(&self) -> std::sync::MutexGuard<'_, HashMap<String, usize>> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self.listeners.seats();
        match seats.get_mut(&self.key) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(seats.remove(&self.key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_that_is_left_is_free_again() {
        let listeners = Arc::new(Listeners::new(3, 2));
        let first = listeners.take("a").unwrap();
        let _second = listeners.take("a").unwrap();
        assert_eq!(listeners.take("a").unwrap_err(), Full::Key(2));
        let _third = listeners.take("b").unwrap();
        assert_eq!(listeners.take("c").unwrap_err(), Full::All(3));
        drop(first);
        assert_eq!(listeners.all(), 2);
        assert!(listeners.take("a").is_ok());
    }
}
