//! The SQL of a pipeline as one text, parameters filled, with the way back to the files that it came from.

use crate::fault::{Fault, FileId, Files, Place};
use crate::fill::fill;
use crate::parameter::{Environment, Parameters};
use std::ops::Range;

/// One text for the planner, made of the SQL files in their order.
///
/// A place in it (a 1-based line and column, in characters, as SQL parsers count) leads back to the place in the file: a
/// character that was copied to itself, one that was filled in to its whole `${...}`.
#[derive(Debug, Default)]
pub struct Script {
    text: String,
    masked: String,
    /// In order, without gaps.
    origins: Vec<Origin>,
    secrets: Secrets,
}

/// Values that must not be shown, the longest first.
#[derive(Clone, Debug, Default)]
pub struct Secrets(Vec<String>);

impl Secrets {
    fn add(&mut self, secret: String) {
        if !secret.is_empty() {
            self.0.push(secret);
            self.0.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        }
    }

    /// A message with every secret in it as `****`.
    pub fn mask(&self, message: &str) -> String {
        let hide = |text: String, secret: &String| text.replace(secret, "****");
        self.0.iter().fold(message.to_owned(), hide)
    }
}

/// Where a part of the text comes from.
#[derive(Debug)]
struct Origin {
    /// Bytes of the script's text.
    filled: Range<usize>,
    file: FileId,
    /// Bytes of the file.
    source: Range<usize>,
    copied: bool,
}

impl Script {
    /// What an engine gets, secrets in clear.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What may be shown: secrets as `****`.
    pub fn masked(&self) -> &str {
        &self.masked
    }

    /// A message about the script or its pipeline with every secret in it as `****`.
    pub fn mask(&self, message: &str) -> String {
        self.secrets.mask(message)
    }

    /// The secrets of the script and of where its pipeline keeps state.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Adds secrets that stand elsewhere in the pipeline file.
    pub(crate) fn hide(&mut self, secrets: &[String]) {
        secrets.iter().for_each(|secret| self.secrets.add(secret.clone()));
    }

    /// Adds a file.
    pub(crate) fn push(
        &mut self,
        file: FileId,
        files: &Files,
        parameters: &Parameters,
        environment: Environment<'_>,
    ) -> Vec<Fault> {
        let source = files.text(file);
        let (filled, unfilled) = fill(source, parameters, environment);
        for piece in filled.pieces {
            let start = self.text.len();
            self.text.push_str(&piece.value.text);
            self.masked.push_str(&piece.value.shown);
            if piece.value.text != piece.value.shown {
                self.secrets.add(piece.value.text.clone());
            }
            self.origins.push(Origin {
                filled: start..self.text.len(),
                file,
                source: piece.source,
                copied: piece.copied,
            });
        }
        // The next file is a new statement, even if this one forgets the semicolon or ends in a comment.
        let glue = if filled.closed { "\n" } else { "\n;\n" };
        let start = self.text.len();
        self.text.push_str(glue);
        self.masked.push_str(glue);
        self.origins.push(Origin {
            filled: start..self.text.len(),
            file,
            source: source.len()..source.len(),
            copied: false,
        });
        unfilled
            .into_iter()
            .map(|(place, message, hint)| Fault::new(message).at(file, place).hint(hint))
            .collect()
    }

    /// The place in a file that a range of the script stands for, `start` and `end` as 1-based (line, column), `end`
    /// behind the last character. `None` only for an empty script.
    pub fn locate(&self, start: (u64, u64), end: (u64, u64)) -> Option<Place> {
        let (start, end) = (self.offset(start), self.offset(end));
        let first = self.origin(start)?;
        // The last character, not the one behind it: that may be in the next piece or file.
        let last = self.origin(end.saturating_sub(1).max(start))?;
        let from = if first.copied {
            first.source.start + (start - first.filled.start)
        } else {
            first.source.start
        };
        let to = if last.file != first.file {
            first.source.end
        } else if last.copied {
            last.source.start + (end.max(start) - last.filled.start)
        } else {
            last.source.end
        };
        Some(Place {
            file: first.file,
            range: from..to.max(from),
        })
    }

    /// Byte offset of a 1-based line and column; the end of the line or text if there is no such character.
    fn offset(&self, (line, column): (u64, u64)) -> usize {
        let mut start = 0;
        for _ in 1..line {
            match self.text[start..].find('\n') {
                Some(newline) => start += newline + 1,
                None => return self.text.len(),
            }
        }
        let rest = &self.text[start..];
        let rest = &rest[..rest.find('\n').unwrap_or(rest.len())];
        let column = usize::try_from(column.saturating_sub(1)).unwrap_or(usize::MAX);
        start + rest.char_indices().nth(column).map_or(rest.len(), |(offset, _)| offset)
    }

    fn origin(&self, offset: usize) -> Option<&Origin> {
        let next = self.origins.partition_point(|origin| origin.filled.end <= offset);
        self.origins.get(next).or(self.origins.last())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(texts: &[&str], values: &[(&str, &str)]) -> (Script, Files) {
        let (mut files, mut script, mut parameters) = (Files::default(), Script::default(), Parameters::default());
        values.iter().for_each(|(name, value)| parameters.set(name, value));
        for (number, text) in texts.iter().enumerate() {
            let file = files.add(format!("{number}.sql"), *text);
            assert_eq!(script.push(file, &files, &parameters, &|_| Some("hush".into())), []);
        }
        (script, files)
    }

    /// What the place of a range stands for in its file.
    fn found<'a>(script: &Script, files: &'a Files, start: (u64, u64), end: (u64, u64)) -> (&'a str, &'a str) {
        let place = script.locate(start, end).unwrap();
        (files.name(place.file), &files.text(place.file)[place.range])
    }

    #[test]
    fn places_lead_back_over_filled_values_and_files() {
        let (script, files) = script(&["SELECT ${k}, é, wrong\n", "FROM ${t:x}.y"], &[("k", "1\n + 2")]);
        assert_eq!(script.text(), "SELECT 1\n + 2, é, wrong\n\n;\nFROM x.y\n;\n");
        assert_eq!(found(&script, &files, (2, 10), (2, 15)), ("0.sql", "wrong"));
        assert_eq!(found(&script, &files, (2, 4), (2, 5)), ("0.sql", "${k}"));
        assert_eq!(found(&script, &files, (5, 6), (5, 9)), ("1.sql", "${t:x}.y"));
        assert_eq!(found(&script, &files, (5, 8), (5, 9)), ("1.sql", "y"));
        assert_eq!(found(&script, &files, (99, 1), (99, 1)), ("1.sql", ""));
    }

    #[test]
    fn only_the_text_for_the_engine_holds_a_secret() {
        let (script, _) = script(&["'${env:PASSWORD}'"], &[]);
        assert!(script.text().contains("hush") && !script.masked().contains("hush"));
        assert!(script.masked().contains("'****'"));
        assert_eq!(script.mask("'hush' is wrong"), "'****' is wrong");
    }
}
