//! `sluicebox check --permissions`: whether the API server and this node let a configuration do what it wants, and what would.

mod node;
mod ports;
mod rights;
mod rules;
mod spared;

use std::process::ExitCode;

use sluicebox_sources::kubernetes::access::{Deed, is_there, may};
use sluicebox_sources::kubernetes::events::about;
use sluicebox_sources::kubernetes::{Api, Trouble, lease::Election};

use crate::live;
use crate::plan::Plan;
use crate::say;
use node::{Looked, Problem};
use rights::{Around, Rights, kubelets, rights};
use spared::{Granted, spared};

/// A row of the table.
struct Row {
    what: String,
    by: String,
    outcome: String,
}

/// Looks and asks, prints a table, and what grants that which is missing. `fed` are the sources that feed each lane of the plan.
pub fn permissions(plan: &Plan, node: &str, fed: &[Vec<String>]) -> ExitCode {
    let looked = node::look(plan, fed);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            say::complaint(format_args!("error: cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let asked = runtime.block_on(ask(plan, node, fed));
    runtime.shutdown_background();
    let (allowed, trouble) = asked.unwrap_or_else(|error| (Vec::new(), Some(error)));
    tell(&looked, &allowed);
    if let Some(error) = trouble {
        say::complaint(format_args!("error: {error}"));
        return ExitCode::FAILURE;
    }
    let is_missing = |problem: &Problem| problem.loss.is_none();
    let all = !looked.iter().filter_map(|looked| looked.problem.as_ref()).any(is_missing)
        && allowed.iter().all(|(_, _, granted)| *granted != Granted::No);
    if all { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What is needed, by whom, and whether it is granted.
type Allowed = Vec<(Deed, String, Granted)>;

/// Asks until the API server does not answer any more, which is told beside what it said before.
async fn ask(plan: &Plan, node: &str, fed: &[Vec<String>]) -> Result<(Allowed, Option<String>), String> {
    // Kubernetes Events are only posted where there is a way to an API server anyway, or one is looked for.
    if !plan.needs_api() && !live::report::wanted(plan) && kubelets(plan).next().is_none() {
        return Ok((Vec::new(), None));
    }
    let api = Api::connect(&plan.kubernetes)
        .await
        .map_err(|fault| described(&format!("{}: {}", fault.tried, fault.cause), fault.hint.as_deref()))?;
    let election = Election::new(api.clone(), &plan.lease, String::new(), plan.shutdown_grace).await;
    let about = about(node, |name| std::env::var(name).ok());
    let events = live::report::wanted(plan).then(|| about.namespace());
    let needed: Rights = rights(plan, &Around { node, fed, lease: election.lease(), events });
    let (mut allowed, mut trouble) = (Vec::new(), None);
    for (deed, by) in needed {
        let granted = match &trouble {
            Some(_) => Granted::Unasked,
            None => match may(&api, &deed).await {
                Ok(true) => Granted::Yes,
                Ok(false) => Granted::No,
                Err(error) => {
                    trouble = Some(troubled(&error));
                    Granted::Unasked
                }
            },
        };
        allowed.push((deed, by.into_iter().collect::<Vec<_>>().join(", "), granted));
    }
    if trouble.is_none() {
        spare(&api, &mut allowed).await;
    }
    Ok((allowed, trouble))
}

/// Tells what is refused from what is missed.
async fn spare(api: &Api, allowed: &mut Allowed) {
    let all = allowed.clone();
    let has = |group: &str, resource: &str| {
        let is_it = |deed: &Deed| (deed.group, deed.resource, deed.verb) == (group, resource, "get");
        all.iter().any(|(deed, _, granted)| is_it(deed) && *granted == Granted::Yes)
    };
    for (deed, _, granted) in allowed.iter_mut().filter(|(_, _, granted)| *granted == Granted::No) {
        let there = match &deed.namespace {
            Some(namespace) if (deed.verb, deed.resource) == ("create", "configmaps") => are_there(api, namespace, &all).await,
            _ => false,
        };
        if let Some(reason) = spared(deed, has, |_| there) {
            *granted = Granted::Spared(reason);
        }
    }
}

/// Whether all `ConfigMap`s of a namespace that are to be kept are there. Which ones they are may be for a module to know.
async fn are_there(api: &Api, namespace: &str, all: &Allowed) -> bool {
    let is_kept =
        |deed: &&Deed| (deed.verb, deed.resource) == ("get", "configmaps") && deed.namespace.as_deref() == Some(namespace);
    let names: Option<Vec<&str>> = all.iter().map(|(deed, ..)| deed).filter(is_kept).map(|deed| deed.name.as_deref()).collect();
    let names = names.unwrap_or_default();
    for name in &names {
        if !is_there(api, namespace, name).await {
            return false;
        }
    }
    !names.is_empty()
}

fn troubled(trouble: &Trouble) -> String {
    described(&trouble.to_string(), trouble.hint.as_deref())
}

fn described(text: &str, hint: Option<&str>) -> String {
    hint.map_or_else(|| text.to_owned(), |hint| format!("{text}\nhint: {hint}"))
}

fn tell(looked: &[Looked], allowed: &Allowed) {
    let at_the_node = looked.iter().map(|looked| Row {
        what: looked.what.clone(),
        by: looked.by.clone(),
        outcome: match &looked.problem {
            None => "ok".to_owned(),
            Some(Problem { cause, loss: None, .. }) => format!("missing: {cause}"),
            Some(Problem { cause, .. }) => format!("goes without: {cause}"),
        },
    });
    let at_the_server = allowed.iter().map(|(deed, by, granted)| Row {
        what: words(deed),
        by: by.clone(),
        outcome: match granted {
            Granted::Yes => "ok",
            Granted::Spared(reason) => reason,
            Granted::No => "missing",
            Granted::Unasked => "not known: the API server does not say",
        }
        .to_owned(),
    });
    let rows: Vec<Row> = at_the_server.chain(at_the_node).collect();
    if rows.is_empty() {
        say::line("nothing is needed of the API server and of this node");
        return;
    }
    let width = |of: fn(&Row) -> &str| rows.iter().map(|row| of(row).chars().count()).max().unwrap_or_default();
    let (what, by) = (width(|row| &row.what), width(|row| &row.by));
    for Row { what: text, by: whom, outcome } in &rows {
        say::line(format_args!("{text:what$}  {whom:by$}  {outcome}"));
    }
    for Looked { what, problem, .. } in looked {
        match problem {
            Some(Problem { cure, loss: None, .. }) => say::line(format_args!("\nto {what}: {cure}")),
            Some(Problem { cure, loss: Some(loss), .. }) => {
                say::line(format_args!("\nwithout the right to {what}, not named are {loss}; to have them named: {cure}"));
            }
            None => {}
        }
    }
    let roles = rules::rules(allowed.iter().filter(|(_, _, granted)| *granted == Granted::No).map(|(deed, ..)| deed));
    if !roles.is_empty() {
        say::line("\n# What is missing of the API server is granted by these, bound to the program's service account:");
        say::line(roles.trim_end());
    }
}

/// A right in words, such as `get configmaps/metadata in default`.
fn words(deed: &Deed) -> String {
    let Deed { group, resource, namespace, name, verb } = deed;
    let group = if group.is_empty() { String::new() } else { format!(".{group}") };
    let name = name.as_ref().map_or_else(String::new, |name| format!(" {name}"));
    let namespace = namespace.as_ref().map_or_else(String::new, |namespace| format!(" in {namespace}"));
    format!("{verb} {resource}{group}{name}{namespace}")
}
