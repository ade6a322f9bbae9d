//! Types the sessions of a guide into a shell, in an empty folder, and holds what comes against what the guide says.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::console::{self, Session, Typed};
use crate::workspace;

/// How a guide names the folder of the sources.
const SOURCES: &str = "path/to/sluicebox";
/// Stands before what each command says; nothing else prints it.
const MARK: char = '\u{1e}';

/// How long a session may take, in seconds: tools of other languages are downloaded in some.
const LONGEST: &str = "1800";

/// What each command of a session says, in a folder that is emptied for it. A session that cannot be typed to its end is an error.
pub(crate) fn type_through(session: &Session, folder: &Path, environment: Vec<(&str, OsString)>) -> Result<Vec<String>> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot clear {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let root = workspace::root().to_string_lossy();
    // What still runs in the background when the session fails ends with it.
    let mut script = String::from("exec 2>&1\nbehind=\ntrap 'kill $behind 2> /dev/null || :' EXIT\n");
    for typed in &session.commands {
        let _ = write!(script, "printf '{MARK}\\n'\n{}", typed.command.replace(SOURCES, &root));
        if typed.command.trim_end().ends_with(" &") {
            script.push_str("behind=\"$behind $!\"\n");
        }
    }
    let _ = writeln!(script, "printf '{MARK}\\n'");
    let mut shell = shell(&script, folder, environment)?;
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
    let mut shell = Command::new("timeout");
    shell.args([LONGEST, "sh", "-eu", "-c", script]).current_dir(folder);
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

/// Writes what came into the guide, with `bless`; else what does not come as the guide says is an error, which names the command that
/// writes it.
pub(crate) fn settle(page: &str, guide: &str, all: &[(&Typed, String)], bless: bool, cure: &str) -> Result<()> {
    if bless {
        let blessed = console::blessed(guide, all);
        return fs::write(workspace::root().join(page), blessed).with_context(|| format!("cannot write {page}"));
    }
    let mut differ = String::new();
    for (typed, now) in all.iter().filter(|(typed, now)| typed.says_otherwise(now)) {
        let _ = write!(differ, "$ {}--- {page} says\n{}--- now it says\n{now}", typed.command, typed.said);
    }
    if !differ.is_empty() {
        bail!("{page} is wrong; `{cure}` writes what comes into it\n{differ}");
    }
    Ok(())
}
