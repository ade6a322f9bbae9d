//! Runs other programs: says what runs, shows that it is alive, and shows its last words when it fails.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

const SIGN_OF_LIFE: Duration = Duration::from_secs(20);
const LAST_LINES: usize = 20;

/// Tells the developer what happens, on standard error.
pub(crate) fn say(words: impl AsRef<str>) {
    eprintln!("xtask: {}", words.as_ref());
}

/// The standard output of a short command.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let line = describe(command);
    let output =
        command.stdin(Stdio::null()).env("RUST_BACKTRACE", "0").output().with_context(|| format!("cannot run `{line}`"))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        bail!("`{line}` failed ({}):\n{}", output.status, tail(&words));
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{line}` printed something else than text"))
}

/// The standard output of a short command that reads a text from its standard input.
pub(crate) fn with_input(command: &mut Command, input: &str) -> Result<String> {
    let line = describe(command);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run `{line}`"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).with_context(|| format!("`{line}` does not read what it is given"))?;
    }
    let output = child.wait_with_output().with_context(|| format!("cannot wait for `{line}`"))?;
    if !output.status.success() {
        let words = [output.stdout, output.stderr].concat();
        bail!("`{line}` failed ({}):\n{}", output.status, tail(&String::from_utf8_lossy(&words)));
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{line}` printed something else than text"))
}

/// Runs a command whose output the developer wants to see.
pub(crate) fn show(command: &mut Command) -> Result<ExitStatus> {
    let line = describe(command);
    say(format!("$ {line}"));
    command.status().with_context(|| format!("cannot run `{line}`"))
}

/// Runs a command whose output the developer wants to see, and which must succeed.
pub(crate) fn must(command: &mut Command) -> Result<()> {
    let status = show(command)?;
    if !status.success() {
        bail!("`{}` failed ({status})", describe(command));
    }
    Ok(())
}

/// Runs a long command whose output goes to a file; prints a sign of life from time to time.
pub(crate) fn long(what: &str, log: &Path, command: &mut Command) -> Result<()> {
    let begun = Instant::now();
    let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let line = describe(command);
    say(format!("{what} (output in {})", log.display()));
    let mut child = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .spawn()
        .with_context(|| format!("cannot run `{line}`"))?;

    let (ended, end) = mpsc::sync_channel(1);
    let waiter = std::thread::spawn(move || ended.send(child.wait()));
    let status = loop {
        match end.recv_timeout(SIGN_OF_LIFE) {
            Ok(status) => break status.with_context(|| format!("cannot wait for `{line}`"))?,
            Err(RecvTimeoutError::Timeout) => {
                say(format!("{what}: {} s so far: {}", begun.elapsed().as_secs(), last_line(log)));
            }
            Err(RecvTimeoutError::Disconnected) => bail!("nobody waits for `{line}`"),
        }
    };
    drop(waiter);

    if !status.success() {
        let words = fs::read(log).unwrap_or_default();
        bail!("{what}: `{line}` failed ({status}); the end of {}:\n{}", log.display(), tail(&String::from_utf8_lossy(&words)));
    }
    say(format!("{what}: done in {:.0} s", begun.elapsed().as_secs_f32()));
    Ok(())
}

/// The same program with the same environment, and no arguments yet.
pub(crate) fn another(command: &Command) -> Command {
    let mut another = Command::new(command.get_program());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => another.env(name, value),
            None => another.env_remove(name),
        };
    }
    another
}

/// Where a program lies on the path, if it does.
pub(crate) fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|candidate| candidate.is_file())
}

fn describe(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    words.join(" ")
}

fn last_line(log: &Path) -> String {
    let words = fs::read(log).unwrap_or_default();
    let words = String::from_utf8_lossy(&words);
    let line = words.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no output yet");
    line.trim().chars().take(100).collect()
}

fn tail(words: &str) -> String {
    let mut lines: Vec<&str> = words.lines().rev().take(LAST_LINES).collect();
    lines.reverse();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_command_shows_its_last_words() {
        let error = capture(Command::new("sh").args(["-c", "echo once upon a time >&2; exit 3"])).unwrap_err();
        assert!(error.to_string().contains("once upon a time"), "{error}");
        assert!(error.to_string().contains("exit status: 3"), "{error}");
    }

    #[test]
    fn the_tail_keeps_the_order() {
        let words = (0..50).map(|number| number.to_string()).collect::<Vec<_>>().join(
            "
",
        );
        assert!(tail(&words).starts_with("30\n31\n"));
    }
}
