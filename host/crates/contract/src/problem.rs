//! What is wrong with a configuration, said before anything runs.

/// One mistake in a configuration, found without touching the network or the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The field as it is written, below its section, with a dot at each step down: `token-retrieval`, `redis.url`.
    pub field: String,
    /// What is wrong with it; lower case, no period.
    pub cause: String,
    /// What would put it right.
    pub cure: String,
}

impl Problem {
    /// The mistake of this field.
    pub fn new(field: impl Into<String>, cause: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { field: field.into(), cause: cause.into(), cure: cure.into() }
    }

    /// The same mistake, seen from one section further up.
    #[must_use]
    pub fn within(self, section: &str) -> Self {
        Self { field: format!("{section}.{}", self.field), ..self }
    }
}
