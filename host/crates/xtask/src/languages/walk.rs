//! Types through what the author's guide says, from `sluicebox module new` to the module at work in the demo, in an empty folder.

use std::fs;

use anyhow::{Context, Result};

use super::tools;
use crate::command::{self, say};
use crate::console::{self, Session};
use crate::lab::Cache;
use crate::{typing, workspace};

const GUIDE: &str = "guest-sdk/README.md";

/// The language of a session of the guide, by its heading.
fn language(heading: &str) -> String {
    heading.trim_start_matches("In ").to_lowercase()
}

/// Types the session of each language that is wanted; with `bless`, what came is written into the guide. What does not come as the guide
/// says is an error, and so is a session that cannot be typed to its end.
pub(super) fn walk(wanted: impl Fn(&str) -> bool, bless: bool) -> Result<()> {
    let guide = fs::read_to_string(workspace::root().join(GUIDE)).with_context(|| format!("cannot read {GUIDE}"))?;
    let sessions = console::sessions(&guide)?;
    command::must(workspace::cargo().args(["build", "--package", "sluicebox"]))?;
    let mut all = Vec::new();
    for session in sessions.iter().filter(|session| wanted(&language(&session.heading))) {
        let said = type_through(session).with_context(|| format!("{GUIDE}: {}", session.heading))?;
        all.extend(session.commands.iter().zip(said));
    }
    typing::settle(GUIDE, &guide, &all, bless, "cargo xtask languages --walk --bless")
}

/// The languages that the guide has sessions for.
#[cfg(test)]
fn languages() -> Result<Vec<String>> {
    let guide = fs::read_to_string(workspace::root().join(GUIDE))?;
    Ok(console::sessions(&guide)?.iter().map(|session| language(&session.heading)).collect())
}

/// What each command of a session says.
fn type_through(session: &Session) -> Result<Vec<String>> {
    let language = language(&session.heading);
    let cache = Cache::open()?;
    let tools = if language == "rust" { Vec::new() } else { tools::of(&language, &cache)? };
    say(format!("languages: typing what the guide says of {}", session.heading));
    typing::type_through(session, &cache.path(&format!("walk/{language}")), tools)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guide_goes_through_every_language() {
        assert_eq!(languages().unwrap(), ["rust", "c", "javascript", "python", "go"]);
    }
}
