//! Types through what the README says to somebody who has just got the sources: from compiling them to the first event, on this machine
//! and in a cluster.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use sluicebox_testkit::servers::{self, KubeApiServer};

use crate::command::say;
use crate::console::{self, Session};
use crate::{typing, workspace};

const PAGE: &str = "README.md";

/// Type through what README.md says, from the sources to the first event, and hold it against what it says comes then
///
/// The cluster is a real API server of the lab, and goes afterwards.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Write what the commands say into README.md
    #[arg(long)]
    bless: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    walk(|_| true, arguments.bless)
}

/// What belongs to every run of the tests; without a cluster what needs none. How many sessions that were.
pub(crate) fn as_test(with_cluster: bool) -> Result<usize> {
    let wanted = |session: &Session| with_cluster || !needs_cluster(session);
    walk(wanted, false)?;
    let page = page()?;
    Ok(console::sessions(&page)?.iter().filter(|session| wanted(session)).count())
}

fn walk(wanted: impl Fn(&Session) -> bool, bless: bool) -> Result<()> {
    let page = page()?;
    let sessions = console::sessions(&page)?;
    let mut all = Vec::new();
    for (number, session) in sessions.iter().enumerate().filter(|(_, session)| wanted(session)) {
        let folder = workspace::target().join(format!("newcomer/{number}"));
        let typed = || -> Result<Vec<String>> {
            say(format!("newcomer: typing what stands below `{}`", session.heading));
            if !needs_cluster(session) {
                return typing::type_through(session, &folder, at_home(&folder));
            }
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let api = runtime.block_on(KubeApiServer::start()).context("no API server; cure: cargo xtask lab")?;
            let environment = at_home(&folder).into_iter().chain(reached(&api)?).collect();
            typing::type_through(session, &folder, environment)
        };
        let said = typed().with_context(|| format!("{PAGE}: {}", session.heading))?;
        all.extend(session.commands.iter().zip(said));
    }
    typing::settle(PAGE, &page, &all, bless, "cargo xtask newcomer --bless")
}

fn page() -> Result<String> {
    fs::read_to_string(workspace::root().join(PAGE)).with_context(|| format!("cannot read {PAGE}"))
}

fn needs_cluster(session: &Session) -> bool {
    session.commands.iter().any(|typed| typed.command.contains("kubectl "))
}

/// What the program keeps goes into this folder: nothing is there yet, and nothing stays.
fn at_home(folder: &Path) -> Vec<(&'static str, OsString)> {
    let place = |below: &str| folder.join(below).into_os_string();
    vec![("XDG_STATE_HOME", place(".local/state")), ("XDG_CACHE_HOME", place(".cache"))]
}

/// What somebody has who can reach a cluster: a kubectl, and a file that says where it is.
fn reached(api: &KubeApiServer) -> Result<Vec<(&'static str, OsString)>> {
    let kubectl = servers::kubectl()?;
    let folder = kubectl.parent().context("kubectl lies nowhere")?.to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(folder).chain(std::env::split_paths(&path)))?;
    Ok(vec![("PATH", path), ("KUBECONFIG", api.kube_config(api.admin_token())?.into())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_begins_without_a_cluster_and_goes_on_in_one() {
        let page = page().unwrap();
        let sessions = console::sessions(&page).unwrap();
        let needs: Vec<bool> = sessions.iter().map(needs_cluster).collect();
        assert_eq!(needs, [false, true, true]);
        let first = sessions[0].commands.iter().position(|typed| typed.command.contains("cargo xtask build"));
        assert_eq!(first, Some(1), "the sources are compiled first");
    }
}
