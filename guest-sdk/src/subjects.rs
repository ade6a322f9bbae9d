//! Short ways to what a subject is.

use crate::Subject;

impl Subject {
    /// What its source knows of it under this name, such as `qos-class` or `pod-name`.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}
