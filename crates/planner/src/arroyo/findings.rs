//! What the rules found.

use crate::error::Error;
use crate::plan::Warning;

/// Errors and warnings, each once.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    errors: Vec<Error>,
    warnings: Vec<Error>,
}

impl Findings {
    /// Something that Arroyo refuses, gets wrong or stops at.
    pub(crate) fn error(&mut self, error: Error) {
        if !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    /// Something that costs, or that is easily got wrong.
    pub(crate) fn warning(&mut self, warning: Error) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    pub(crate) fn finish(mut self) -> (Vec<Error>, Vec<Warning>) {
        self.warnings.sort_by_key(|w| w.span);
        let warning = |w: Error| Warning {
            message: w.message,
            span: w.span,
            hint: w.hint,
        };
        (self.errors, self.warnings.into_iter().map(warning).collect())
    }
}
