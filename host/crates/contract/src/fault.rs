//! Errors with a class that decides who reacts and how.

use std::fmt;

/// Who reacts to a fault, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Leave this one out and go on; counted.
    Skip,
    /// Try the same again, with back-off.
    Retry,
    /// The instance is dead: a fresh one takes its place, and the batch is tried again in halves.
    Replace,
    /// Cannot work as configured.
    Fatal,
}

/// An error at one of the three traits: what was tried, why it failed, what would cure it. Lower case, no period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The reaction.
    pub class: Class,
    /// What was tried, such as `cannot connect to redis at 10.0.3.7:6379`.
    pub tried: String,
    /// Why it failed.
    pub cause: String,
    /// What would cure it, where that is known.
    pub hint: Option<String>,
}

impl Fault {
    /// A fault of this class.
    pub fn new(class: Class, tried: impl Into<String>, cause: impl fmt::Display) -> Self {
        Self { class, tried: tried.into(), cause: cause.to_string(), hint: None }
    }

    /// Shorthand for [`Class::Skip`].
    pub fn skip(tried: impl Into<String>, cause: impl fmt::Display) -> Self {
        Self::new(Class::Skip, tried, cause)
    }

    /// Shorthand for [`Class::Retry`].
    pub fn retry(tried: impl Into<String>, cause: impl fmt::Display) -> Self {
        Self::new(Class::Retry, tried, cause)
    }

    /// Shorthand for [`Class::Replace`].
    pub fn replace(tried: impl Into<String>, cause: impl fmt::Display) -> Self {
        Self::new(Class::Replace, tried, cause)
    }

    /// Shorthand for [`Class::Fatal`].
    pub fn fatal(tried: impl Into<String>, cause: impl fmt::Display) -> Self {
        Self::new(Class::Fatal, tried, cause)
    }

    /// Adds the cure.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.tried, self.cause)?;
        match &self.hint {
            Some(hint) => write!(formatter, " (hint: {hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Fault {}
