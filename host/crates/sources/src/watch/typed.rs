//! Makes a typed object out of its JSON.

pub(crate) use sluicebox_contract::Typed;

/// Makes a typed object out of its JSON.
pub(crate) type ReadTyped = fn(&str) -> Result<Typed, String>;
