//! A mistake in a configuration.

use std::fmt;

/// A mistake in the configuration: where, what, and the cure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line, where one can be named.
    pub line: Option<usize>,
    /// What is wrong.
    pub text: String,
    /// How to put it right.
    pub hint: Option<String>,
}

impl Problem {
    /// Something on this line.
    pub fn at_line(line: usize, text: impl Into<String>) -> Self {
        Self { line: Some(line), text: text.into(), hint: None }
    }

    /// Something about the whole file.
    pub fn whole(text: impl Into<String>) -> Self {
        Self { line: None, text: text.into(), hint: None }
    }

    /// Adds the cure.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(formatter, "line {line}: ")?;
        }
        write!(formatter, "{}", self.text)?;
        match &self.hint {
            Some(hint) => write!(formatter, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}
