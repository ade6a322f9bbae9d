//! Settings as they were found: texts, or words about where a text is that cannot be read from here.

use std::collections::{BTreeMap, BTreeSet};

/// A setting's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Value {
    /// As it stands in a configuration: `$` is written `$$` there, and `${NAME}` is what the environment says.
    pub(super) written: String,
    /// The text, where it is known.
    pub(super) text: Option<String>,
    /// Where it is instead, such as `the Secret redis, key host`.
    pub(super) whence: Option<String>,
}

/// What there is of an old program's settings.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Variables by name.
    pub(super) variables: BTreeMap<String, Value>,
    /// What stands on the command line, in order.
    pub(super) arguments: Vec<Value>,
    /// Variables that other values refer to: they are used, whatever they are called.
    pub(super) referred: BTreeSet<String>,
    /// What else was met that the user should know.
    pub(super) warnings: Vec<String>,
}

impl Found {
    /// The text as Kubernetes expands it; which variables it uses is kept.
    pub(super) fn expanded(&mut self, text: &str) -> Value {
        self.referred.extend(Value::references(text).map(str::to_owned));
        Value::expanded(text, &self.variables)
    }
}

impl Value {
    /// A text that is known.
    pub(super) fn text(text: &str) -> Self {
        Self { written: text.replace('$', "$$"), text: Some(text.to_owned()), whence: None }
    }

    /// What only the pod's environment will say, under this name.
    pub(super) fn elsewhere(name: &str, whence: String) -> Self {
        Self { written: format!("${{{name}}}"), text: None, whence: Some(whence) }
    }

    /// The text as Kubernetes expands it: `$(NAME)` is another variable of the container, `$$` one `$`.
    pub(super) fn expanded(text: &str, variables: &BTreeMap<String, Self>) -> Self {
        let mut value = Self::text("");
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            value.push(&Self::text(before));
            if let Some(after) = after.strip_prefix('$') {
                value.push(&Self::text("$"));
                rest = after;
                continue;
            }
            let named = after.strip_prefix('(').and_then(|after| after.split_once(')'));
            if let Some((other, after)) = named.and_then(|(name, after)| Some((variables.get(name)?, after))) {
                value.push(other);
                rest = after;
            } else {
                value.push(&Self::text("$"));
                rest = after;
            }
        }
        value.push(&Self::text(rest));
        value
    }

    /// The variables that [`Self::expanded`] would look for.
    pub(super) fn references(text: &str) -> impl Iterator<Item = &str> {
        let named = text.split("$(").skip(1).filter_map(|behind| behind.split_once(')'));
        named.map(|(name, _)| name)
    }

    /// What stands of it behind the first mark, if there is one.
    pub(super) fn behind(&self, mark: char) -> Option<Self> {
        let (_, written) = self.written.split_once(mark)?;
        let text = self.text.as_ref().and_then(|text| Some(text.split_once(mark)?.1.to_owned()));
        Some(Self { written: written.to_owned(), text, whence: self.whence.clone() })
    }

    fn push(&mut self, other: &Self) {
        self.written.push_str(&other.written);
        match (&mut self.text, &other.text) {
            (Some(text), Some(more)) => text.push_str(more),
            (text, _) => *text = None,
        }
        if self.whence.is_none() {
            self.whence.clone_from(&other.whence);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubernetes_references_are_followed() {
        let mut variables = BTreeMap::new();
        variables.insert("PORT".to_owned(), Value::text("6379"));
        variables.insert("HOST".to_owned(), Value::elsewhere("HOST", "a Secret".to_owned()));
        let expanded = |text: &str| {
            let value = Value::expanded(text, &variables);
            (value.written, value.text)
        };
        assert_eq!(expanded("a$(PORT)b"), ("a6379b".to_owned(), Some("a6379b".to_owned())));
        assert_eq!(expanded("$(HOST):$(PORT)"), ("${HOST}:6379".to_owned(), None));
        assert_eq!(Value::references("a$(PORT)b $(HOST) $(").collect::<Vec<_>>(), ["PORT", "HOST"]);
        assert_eq!(expanded("$(NONE) $$(PORT) $"), ("$$(NONE) $$(PORT) $$".to_owned(), Some("$(NONE) $(PORT) $".to_owned())));
    }
}
