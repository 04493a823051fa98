//! The sources that bundles are made of, embedded in the binary so that it needs no checkout to write them.
//!
//! Invariant: every file of `functions/`, `glue/` and the sketch's `src/` stands here (a test compares the lists with the
//! folders), and nothing else.

/// A source file by its path below its folder.
pub(crate) type File = (&'static str, &'static str);

macro_rules! files {
    ($folder:literal: $($path:literal)*) => {
        &[$(($path, include_str!(concat!($folder, $path)))),*]
    };
}

/// One file a function, by name.
pub(crate) const FUNCTIONS: &[File] = files!("../functions/":
    "approx_count_estimate.rs"
    "approx_heavy_hitters.rs"
    "approx_max_items.rs"
    "approx_top_k.rs"
    "approx_top_k_accumulate.rs"
    "approx_top_k_batch.rs"
    "approx_top_k_combine.rs"
    "approx_top_k_estimate.rs"
    "approx_top_sum.rs"
    "approx_top_sum_accumulate.rs"
    "approx_top_sum_batch.rs"
    "count_min_accumulate.rs"
    "count_min_combine.rs"
    "count_min_estimate.rs"
);

/// What stands between Arroyo and a function.
pub(crate) const GLUE: &[File] = files!("../glue/": "columns.rs" "mod.rs" "rows.rs");

/// The mathematics.
pub(crate) const SKETCH: &[File] = files!("../../sketch/src/":
    "answer.rs"
    "count_min.rs"
    "datasketches.rs"
    "error.rs"
    "hash.rs"
    "index.rs"
    "item.rs"
    "lib.rs"
    "sizing.rs"
    "space_saving.rs"
    "topk/bits.rs"
    "topk/block.rs"
    "topk/bytes.rs"
    "topk/column.rs"
    "topk/counter.rs"
    "topk/dense.rs"
    "topk/entries.rs"
    "topk/form.rs"
    "topk/key.rs"
    "topk/merge.rs"
    "topk/mod.rs"
    "topk/probe.rs"
    "topk/project.rs"
    "topk/read.rs"
    "topk/rejects.rs"
    "topk/scratch.rs"
    "topk/shape.rs"
    "topk/sparse.rs"
    "topk/table.rs"
    "topk/tight.rs"
    "topk/update.rs"
    "topk/wide.rs"
    "wire.rs"
);

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn below(folder: &Path, prefix: &str, found: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap());
            if path.is_dir() {
                below(&path, &format!("{name}/"), found);
            } else {
                found.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }

    #[test]
    fn bundles_are_made_of_the_sources_as_they_are() {
        for (folder, files) in [("functions", FUNCTIONS), ("glue", GLUE), ("../sketch/src", SKETCH)] {
            let mut found = Vec::new();
            below(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), "", &mut found);
            found.sort();
            let mut known: Vec<(String, String)> = files
                .iter()
                .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
                .collect();
            known.sort();
            let paths = |files: &[(String, String)]| files.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>();
            assert_eq!(
                paths(&known),
                paths(&found),
                "name each file of udfs/plugin/{folder} in sources.rs"
            );
            assert!(known == found, "udfs/plugin/{folder} has changed since this was built");
        }
    }
}
