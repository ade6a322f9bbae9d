//! Types through what the author's guide says, from `sluicebox module new` to the module at work in the demo, in an empty folder.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::console::{self, Session};
use super::tools;
use crate::command::{self, say};
use crate::lab::Cache;
use crate::workspace;

const GUIDE: &str = "guest-sdk/README.md";
/// How the guide names the folder of the sources.
const SOURCES: &str = "path/to/sluicebox";
/// Stands before what each command says; nothing else prints it.
const MARK: char = '\u{1e}';

/// The language of a session of the guide, by its heading.
fn language(heading: &str) -> String {
    heading.trim_start_matches("In ").to_lowercase()
}

/// Types the session of each language that is wanted; with `bless`, what came is written into the guide. What does not come as the guide
/// says is an error, and so is a session that cannot be typed to its end.
pub(super) fn walk(wanted: impl Fn(&str) -> bool, bless: bool) -> Result<()> {
    let guide_path = workspace::root().join(GUIDE);
    let guide = fs::read_to_string(&guide_path).with_context(|| format!("cannot read {GUIDE}"))?;
    let sessions = console::sessions(&guide)?;
    command::must(workspace::cargo().args(["build", "--package", "sluicebox"]))?;
    let mut all = Vec::new();
    for session in sessions.iter().filter(|session| wanted(&language(&session.heading))) {
        let said = type_through(session).with_context(|| format!("{GUIDE}: {}", session.heading))?;
        all.extend(session.commands.iter().zip(said));
    }
    if bless {
        fs::write(&guide_path, console::blessed(&guide, &all)).with_context(|| format!("cannot write {GUIDE}"))?;
        return Ok(());
    }
    let mut differ = String::new();
    for (typed, now) in all.iter().filter(|(typed, now)| typed.says_otherwise(now)) {
        let _ = write!(differ, "$ {}--- {GUIDE} says\n{}--- now it says\n{now}", typed.command, typed.said);
    }
    if !differ.is_empty() {
        bail!("{GUIDE} is wrong; `cargo xtask languages --walk --bless` writes what comes into it\n{differ}");
    }
    Ok(())
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
    let folder = cache.path(&format!("walk/{language}"));
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot clear {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    say(format!("languages: typing what the guide says of {}", session.heading));

    let root = workspace::root().to_string_lossy();
    let mut script = String::from("exec 2>&1\n");
    for typed in &session.commands {
        let _ = write!(script, "printf '{MARK}\\n'\n{}", typed.command.replace(SOURCES, &root));
    }
    let _ = writeln!(script, "printf '{MARK}\\n'");
    let mut shell = shell(&script, &folder, tools)?;
    let output = shell.stdin(Stdio::null()).output().context("cannot run sh")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let text = text.replace(&*folder.to_string_lossy(), "~").replace(&*root, SOURCES);
    let mut said: Vec<String> = text.split(MARK).skip(1).map(|said| said.trim_start_matches('\n').to_owned()).collect();
    // What comes behind the last mark is nothing.
    if !output.status.success() || said.len() != session.commands.len() + 1 {
        let at = said.len().checked_sub(1).and_then(|at| session.commands.get(at));
        let at = at.map_or("", |typed| typed.command.trim_end());
        bail!("`{at}` failed ({}):\n{}", output.status, said.last().map_or("", String::as_str));
    }
    said.pop();
    Ok(said)
}

fn shell(script: &str, folder: &Path, tools: Vec<(&str, OsString)>) -> Result<Command> {
    let mut shell = Command::new("sh");
    shell.args(["-eu", "-c", script]).current_dir(folder);
    // A stranger's cargo: nothing of the one that runs us.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARGO_")) {
        if name != "CARGO_HOME" {
            shell.env_remove(name);
        }
    }
    let path = tools.iter().find(|(name, _)| *name == "PATH").map(|(_, path)| path.clone());
    let path = path.or_else(|| std::env::var_os("PATH")).unwrap_or_default();
    let program = workspace::target().join("debug");
    let path = std::env::join_paths(std::iter::once(program).chain(std::env::split_paths(&path)))?;
    shell.envs(tools).env("PATH", path);
    Ok(shell)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guide_goes_through_every_language() {
        assert_eq!(languages().unwrap(), ["rust", "c", "javascript", "python", "go"]);
    }
}
