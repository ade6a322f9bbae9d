//! `sluicebox pull-module`: what the collector starts when it needs a module of a registry. Nobody types it.

use std::process::ExitCode;

use sluicebox_registry::PullTask;

use crate::say;

/// Pulls what standard input says. The component goes to standard output, what is to be said of it to standard error.
pub fn pull_module() -> ExitCode {
    let task = match PullTask::read(std::io::stdin().lock()) {
        Ok(task) => task,
        Err(error) => {
            say::complaint(format_args!("error: cannot read what is to be pulled: {error}"));
            return ExitCode::FAILURE;
        }
    };
    say::complaint(task.run(&mut std::io::stdout().lock()));
    ExitCode::SUCCESS
}
