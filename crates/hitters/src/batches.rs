//! What `hitters explain` says of sketches of record batches on an Arroyo cluster. The embedded engine knows no batches: it adds rows to the
//! sketch of their group at once, whichever form the SQL has.
//!
//! A window there keeps what its aggregate is given until it closes: every value with the plain aggregate, a sketch for each bin of
//! each record batch with the batch form. A sketch of few rows is larger than the rows.

use hitters_pipeline::Pipeline;
use hitters_planner::called_functions;
use hitters_sketch::{ItemKind, Measure, TopK};
use std::fmt::Write;

/// Rows of a record batch, if `pipeline.source-batch-size` does not say otherwise.
const BATCH: usize = 512;
/// An item as it is usual: so many bytes.
const ITEM: usize = 16;
/// What Arrow and the constant argument add to each value that is kept.
const BESIDE: usize = 4 + 8;

/// `None` where the SQL has neither form.
pub fn describe(pipeline: &Pipeline) -> Option<String> {
    let called = called_functions(pipeline.script.text());
    let of = |batch: &str, plain: &[&str]| {
        let plain = plain
            .iter()
            .find(|name| called.contains(**name))
            .map(|name| (*name).to_owned());
        (called.contains(batch).then(|| batch.to_owned()), plain)
    };
    let counts = of("approx_top_k_batch", &["approx_top_k_accumulate", "approx_top_k"]);
    let sums = of("approx_top_sum_batch", &["approx_top_sum_accumulate", "approx_top_sum"]);
    let forms = [
        (counts, "approx_top_k_batch", "approx_top_k_accumulate"),
        (sums, "approx_top_sum_batch", "approx_top_sum_accumulate"),
    ];
    let least = least_rows();
    let groups = BATCH / least;
    let mut out = String::new();
    for ((batched, kept), batch, accumulate) in forms {
        if batched.is_some() {
            let _ = writeln!(
                out,
                "  {batch} makes a sketch for each bin of a record batch, of {BATCH} rows if nothing else is set. With less than about {least} \
                 rows a bin, which is more than {groups} groups in a batch, its sketches are larger than the rows: there {accumulate} is the \
                 better one, or larger batches (pipeline.source-batch-size)"
            );
        }
        if let Some(name) = kept {
            let _ = writeln!(
                out,
                "  {name} keeps every value until its window closes. With more than about {least} rows of each group in a record batch, \
                 {batch} below approx_top_k_combine keeps less"
            );
        }
    }
    (!out.is_empty()).then(|| format!("\non an Arroyo cluster:\n{out}"))
}

/// The number of rows whose sketch is no larger than they are, though none repeats an item.
fn least_rows() -> usize {
    let fits = |rows: &usize| sketch_bytes(*rows) <= rows * (ITEM + BESIDE);
    (1..BATCH).find(fits).unwrap_or(BATCH)
}

fn sketch_bytes(rows: usize) -> usize {
    let Ok(mut sketch) = TopK::new(ItemKind::Text, Measure::Count, 1024) else {
        return usize::MAX;
    };
    for row in 0..rows {
        let item = format!("{row:0ITEM$}");
        sketch.update(item.as_bytes(), 1);
    }
    sketch.to_bytes().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_the_border_on_a_sketch_is_smaller_than_its_rows() {
        let least = least_rows();
        println!(
            "{least} rows; sketches of 1, {least} and {BATCH} rows: {:?} bytes",
            [1, least, BATCH].map(sketch_bytes)
        );
        assert!((2..BATCH).contains(&least), "{least}");
        assert!((least..BATCH).all(|rows| sketch_bytes(rows) <= rows * (ITEM + BESIDE)));
    }
}
