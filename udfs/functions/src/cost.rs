//! What a call costs and what it promises: the figures of `hitters explain`.

use std::fmt;

use datafusion_common::ScalarValue;
use datafusion_physical_expr::aggregate::AggregateFunctionExpr;
use hitters_sketch::{CountMin, ItemKind, MAX_CAPACITY, bound_share, memory_bytes};

use crate::{argument, top_k};

/// What an aggregate keeps for a group, and what is known of its error.
#[derive(Debug, Clone, PartialEq)]
pub struct Cost {
    /// Heap bytes for one group once its sketch is dense, for items of up to 12 bytes and counts below 2^16 beside the leaders.
    /// A group of few items takes less; counters widen with the numbers, to 1.4 times the bytes with 32 bits and 2.3 times with 64.
    pub bytes: usize,
    /// How many items the sketch tracks; `None` for a Count-Min table, which tracks none.
    pub capacity: Option<usize>,
    /// What is promised about counts, strongest first.
    pub bounds: Vec<Bound>,
}

/// A promise about the error of counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Bound {
    /// Of which kind it is.
    pub kind: BoundKind,
    /// One sentence, without a full stop.
    pub text: String,
}

/// How sure a promise is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum BoundKind {
    /// It holds for every stream.
    WorstCase,
    /// It holds with this probability over the draw of the hashes, for each item on its own.
    Probability(f64),
    /// It holds for every stream, as the mean over the draw of the seed.
    Mean,
    /// It is computed from the rows seen and stands in each answer.
    Observed,
}

impl fmt::Display for BoundKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BoundKind::WorstCase => f.write_str("worst case"),
            BoundKind::Probability(probability) => write!(f, "with probability {probability}"),
            BoundKind::Mean => f.write_str("in the mean over the seeds, for every stream"),
            BoundKind::Observed => f.write_str("observed"),
        }
    }
}

/// The cost of an aggregate call by the function's name and the call's literals (`None` for arguments that are none).
///
/// `None` for functions of others, for calls with wrong literals, and for the `_combine` functions: theirs is the cost of
/// the sketches that come in.
///
/// # Examples
///
/// ```
/// use datafusion_common::ScalarValue;
///
/// let cost = hitters_functions::cost("approx_top_k", &[None, Some(ScalarValue::from(100i64))]).unwrap();
/// assert_eq!(cost.capacity, Some(1024));
/// assert_eq!(cost.bounds[0].kind.to_string(), "worst case");
/// ```
pub fn cost(function: &str, literals: &[Option<ScalarValue>]) -> Option<Cost> {
    let literal = |i: usize| literals.get(i).and_then(Option::as_ref);
    match (function, literals.len()) {
        ("approx_top_k", 2) | ("approx_top_sum", 3) => {
            let k = argument::positive(function, "k", literal(literals.len() - 1), top_k::MAX_K).ok()?;
            Some(of_top_k(top_k::capacity_for(k)))
        }
        ("approx_top_k_accumulate", 2) | ("approx_top_sum_accumulate", 3) => {
            let capacity = literal(literals.len() - 1);
            Some(of_top_k(
                argument::positive(function, "max_items", capacity, MAX_CAPACITY).ok()?,
            ))
        }
        ("count_min_accumulate", 3) => {
            let epsilon = argument::fraction(function, "epsilon", literal(1)).ok()?;
            let delta = argument::fraction(function, "delta", literal(2)).ok()?;
            of_count_min(epsilon, delta)
        }
        _ => None,
    }
}

/// The cost of an aggregate call; see [`cost`].
pub fn cost_of(call: &AggregateFunctionExpr) -> Option<Cost> {
    let literals: Vec<_> = call.expressions().iter().map(argument::literal).collect();
    cost(call.fun().name(), &literals)
}

fn of_top_k(capacity: usize) -> Cost {
    let share = Percent(bound_share(capacity));
    Cost {
        bytes: memory_bytes(capacity),
        capacity: Some(capacity),
        bounds: vec![
            Bound {
                kind: BoundKind::WorstCase,
                text: "every true count lies between the lower and the upper bound of its answer".to_owned(),
            },
            Bound {
                kind: BoundKind::Mean,
                text: format!("the upper bound of an item that is not tracked is too high by {share} of the total"),
            },
            Bound {
                kind: BoundKind::Observed,
                text: "each answer gives max_missed: no item that it does not list has a higher count".to_owned(),
            },
        ],
    }
}

fn of_count_min(epsilon: f64, delta: f64) -> Option<Cost> {
    let table = CountMin::new(ItemKind::Int64, epsilon, delta).ok()?;
    let share = Percent(table.epsilon());
    Some(Cost {
        bytes: table.size_bytes(),
        capacity: None,
        bounds: vec![
            Bound {
                kind: BoundKind::WorstCase,
                text: "no count is too low".to_owned(),
            },
            Bound {
                kind: BoundKind::Probability(1.0 - delta),
                text: format!("a count is too high by at most {share} of the total"),
            },
        ],
    })
}

/// A share with three digits: `0.0488 %`.
struct Percent(f64);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = self.0 * 100.0;
        let digits = (2 - percent.log10().floor() as i32).clamp(0, 12) as usize;
        write!(f, "{percent:.digits$} %")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literals(values: &[f64]) -> Vec<Option<ScalarValue>> {
        std::iter::once(None)
            .chain(values.iter().map(|value| Some(ScalarValue::from(*value))))
            .collect()
    }

    #[test]
    fn a_cost_names_bytes_and_kind_of_bound() {
        let k = |k: i64| cost("approx_top_k", &[None, Some(k.into())]);
        let hundred = k(100).unwrap();
        assert_eq!(hundred, k(1).unwrap());
        assert_eq!(hundred.bytes, memory_bytes(1024));
        assert_eq!(hundred.bounds[1].kind, BoundKind::Mean);
        assert!(
            hundred.bounds[1].text.contains(" 0.0488 % "),
            "{}",
            hundred.bounds[1].text
        );
        assert!(k(1000).unwrap().bytes > hundred.bytes);

        let table = cost("count_min_accumulate", &literals(&[0.001, 0.01])).unwrap();
        assert_eq!(table.bytes, 4096 * 5 * 8);
        assert_eq!(table.bounds[1].kind, BoundKind::Probability(0.99));
        assert!(table.bounds[1].text.contains(" 0.0664 % "), "{}", table.bounds[1].text);
    }

    #[test]
    fn calls_that_cannot_run_have_no_cost() {
        assert_eq!(cost("approx_top_k", &[None, None]), None);
        assert_eq!(cost("approx_top_k", &[None, Some(0i64.into())]), None);
        assert_eq!(cost("approx_top_k", &[None]), None);
        assert_eq!(cost("count_min_accumulate", &literals(&[0.0, 0.5])), None);
        assert_eq!(cost("approx_top_k_combine", &[None]), None);
        assert_eq!(cost("count", &[None]), None);
    }
}
