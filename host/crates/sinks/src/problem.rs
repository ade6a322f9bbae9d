//! What is wrong with a sink's settings, said before anything runs.

use sluicebox_contract::Fault;

/// A mistake in the settings of a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where: the names of the fields from the sink's kind down, such as `["redis", "url"]`.
    pub field_path: Vec<&'static str>,
    /// What is wrong; lower case, no period.
    pub message: String,
    /// What would put it right.
    pub hint: Option<String>,
}

impl Problem {
    pub(crate) fn new(field_path: &[&'static str], message: impl Into<String>) -> Self {
        Self { field_path: field_path.to_vec(), message: message.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn within(mut self, kind: &'static str) -> Self {
        self.field_path.insert(0, kind);
        self
    }

    pub(crate) fn into_fault(self, sink: &str) -> Fault {
        let tried = format!("cannot make sink `{sink}` with this `{}`", self.field_path.join("."));
        let fault = Fault::fatal(tried, self.message);
        match self.hint {
            Some(hint) => fault.hint(hint),
            None => fault,
        }
    }
}
