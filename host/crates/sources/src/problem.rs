//! What is wrong with a configuration, in the form that `sluicebox check` prints.

/// One mistake in a configuration, found without touching the network or the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The field, as it is written, such as `token-retrieval`.
    pub field: String,
    /// What is wrong with it.
    pub cause: String,
    /// What would put it right.
    pub cure: String,
}

impl Problem {
    pub(crate) fn new(field: impl Into<String>, cause: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { field: field.into(), cause: cause.into(), cure: cure.into() }
    }
}
