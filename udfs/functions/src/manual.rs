//! The manual pages of the functions, as DataFusion keeps them: what the arguments have in common.

use datafusion_expr::{DocSection, Documentation, DocumentationBuilder};

/// The chapter of the sketch functions.
const SKETCHES: DocSection = DocSection {
    include: true,
    label: "Heavy Hitters",
    description: Some(
        "The most frequent items of a stream, and counts of any item, in bounded memory with proven bounds.",
    ),
};

/// The chapter of the JSON functions.
const JSON: DocSection = DocSection {
    include: true,
    label: "JSON Path",
    description: Some("Parts of JSON text by JSONPath (RFC 9535)."),
};

pub(crate) const ITEM: &str = "What is counted: TEXT, BYTEA, an integer, or any other type that is one value, which is \
                               counted by its text. NULL is skipped.";
pub(crate) const WEIGHT: &str = "BIGINT, or an integer that fits: what the row adds to its item. NULL and negative weights \
                                 are skipped. Fractions are refused; count money in cents.";
pub(crate) const MAX_ITEMS: &str = "Literal whole number from 1 to 1048576: how many items the sketch tracks. \
                                    approx_max_items gives it for a wanted precision.";
pub(crate) const SKETCH: &str = "BYTEA: a sketch. NULL gives or adds nothing.";

/// A page about a function of sketches.
pub(crate) fn page(description: &str, syntax: &str) -> DocumentationBuilder {
    Documentation::builder(SKETCHES, description, syntax)
}

/// A page about a function of JSON.
pub(crate) fn json_page(description: &str, syntax: &str) -> DocumentationBuilder {
    Documentation::builder(JSON, description, syntax)
}
