//! The comment behind the SQL of a pipeline that says what was deployed.
//!
//! ```text
//! -- hitters: pipeline=shop version=2 sql=5f2c... functions=91ab... text=5f2c...
//! ```
//!
//! It stands in the SQL since every version of Arroyo keeps that, and only newer ones keep tags; behind it, so that lines keep their
//! numbers. The digests are those of the SQL as the pipeline's files have it, of the sources of the functions that it calls, and
//! of the text before the comment: that differs from the first in a replay, which begins elsewhere in the log, and tells a text
//! that somebody changed by hand.

use sha2::{Digest, Sha256};
use std::fmt::Write;

const START: &str = "-- hitters: ";
/// Characters of a digest: enough that no two texts of a user share them, in a line that people read.
const DIGITS: usize = 32;

/// What was deployed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Name of the pipeline.
    pub pipeline: String,
    /// Its version.
    pub version: u64,
    /// Digest of the SQL.
    pub sql: String,
    /// Digest of the functions; two deployments with the same functions have the same.
    pub functions: String,
    /// Digest of the text that was sent.
    pub text: String,
}

impl Mark {
    /// The mark of a pipeline's SQL, of the text that is sent for it, and of the sources of its functions, which are in the order of
    /// their names.
    pub fn of<'a>(
        pipeline: &str,
        version: u64,
        sql: &str,
        text: &str,
        functions: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let mut all = Sha256::new();
        for source in functions {
            // With their lengths, so that no two lists run together to the same bytes.
            all.update(source.len().to_le_bytes());
            all.update(source);
        }
        Self {
            pipeline: pipeline.to_owned(),
            version,
            sql: digest(sql),
            functions: hex(&all.finalize()),
            text: digest(text),
        }
    }

    /// The text with its mark behind it.
    pub fn sign(&self, text: &str) -> String {
        format!(
            "{}\n{START}pipeline={} version={} sql={} functions={} text={}\n",
            text.trim_end(),
            self.pipeline,
            self.version,
            self.sql,
            self.functions,
            self.text
        )
    }

    /// The mark behind a text, and whether the text before it is still the one that it was written for.
    pub fn read(signed: &str) -> Option<(Self, bool)> {
        let signed = signed.trim_end();
        let (text, line) = signed.rsplit_once('\n')?;
        let line = line.strip_prefix(START)?;
        let field = |name: &str| {
            let fields = line.split(' ').filter_map(|field| field.split_once('='));
            fields
                .into_iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.to_owned())
        };
        let mark = Self {
            pipeline: field("pipeline")?,
            version: field("version")?.parse().ok()?,
            sql: field("sql")?,
            functions: field("functions")?,
            text: field("text")?,
        };
        let intact = mark.text == digest(text);
        Some((mark, intact))
    }
}

/// White space at its end does not count: whoever keeps the text may cut it.
fn digest(text: &str) -> String {
    hex(&Sha256::digest(text.trim_end()))
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes.iter().take(DIGITS / 2) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_back_and_tells_a_changed_text() {
        let mark = Mark::of("shop", 3, "SELECT 0;\n", "SELECT 1;\n", ["fn a", "fn b"]);
        let signed = mark.sign("SELECT 1;\n");
        assert!(signed.starts_with("SELECT 1;\n-- hitters: pipeline=shop version=3 sql="));
        assert_eq!(Mark::read(&signed), Some((mark.clone(), true)));
        let (read, intact) = Mark::read(&signed.replace("SELECT 1", "SELECT 2")).unwrap();
        assert_eq!((read, intact), (mark, false));
        assert_eq!(Mark::read("SELECT 1;"), None);
        assert_eq!(Mark::read("SELECT 1;\n-- hitters: pipeline=shop"), None);
    }

    #[test]
    fn other_functions_have_another_mark() {
        let functions = |list: &[&'static str]| Mark::of("p", 1, "", "", list.iter().copied()).functions;
        assert_ne!(functions(&["ab", "c"]), functions(&["a", "bc"]));
        assert_ne!(functions(&[]), functions(&[""]));
    }
}
