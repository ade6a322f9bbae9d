//! The list of licences that is read by people, `deploy/LICENCES.md`: of everything that a document says is linked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::Value;

use super::Known;
use crate::workspace::{list, text};

/// The page of what is linked and not ours: by licence, in the order of the alphabet.
pub(super) fn page(document: &Value, known: &Known) -> String {
    let mut by_licence: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let linked = list(document, "components").filter(|component| text(component, "scope") == "required");
    for component in linked.filter(|component| !known.is_ours(text(component, "name"), text(component, "version"))) {
        let licence = component.pointer("/licenses/0/expression").and_then(Value::as_str).unwrap_or("see its file");
        let shown = format!("{} {}", text(component, "name"), text(component, "version"));
        by_licence.entry(same(licence)).or_default().insert(shown);
    }
    let count: usize = by_licence.values().map(BTreeSet::len).sum();
    let mut page = format!(
        "# Licences\n\n<!-- made by `cargo xtask sbom` -->\n\nThe program and its modules are Apache-2.0. They are linked with {count} crates \
         and libraries, under these licences. Which ones are allowed at\nall says `.cargo/deny.toml`; everything that is known of each \
         stands in what `cargo xtask sbom` writes.\n"
    );
    for (licence, names) in by_licence {
        let names: Vec<String> = names.into_iter().collect();
        let _ = write!(page, "\n## {licence}\n\n{}.\n", names.join(", "));
    }
    page
}

/// One way to write what is written in several: choices in the order of the alphabet.
fn same(licence: &str) -> String {
    if licence.contains(['(', ')']) || licence.contains(" AND ") {
        return licence.to_owned();
    }
    let choices: BTreeSet<&str> = licence.split(" OR ").collect();
    choices.into_iter().collect::<Vec<_>>().join(" OR ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_the_same_in_any_order() {
        assert_eq!(same("MIT OR Apache-2.0"), same("Apache-2.0 OR MIT"));
        assert_eq!(same("(MIT OR Apache-2.0) AND Unicode-3.0"), "(MIT OR Apache-2.0) AND Unicode-3.0");
    }
}
