//! `sluicebox check`: every mistake in a configuration, found without touching the network. Modules are loaded and started with their
//! settings, so that what they would refuse is known before.

use std::process::ExitCode;

use sluicebox_contract::Shaper as _;
use sluicebox_wasm::{Engine, LoadOptions, Module};

use crate::cli::ConfigArguments;
use crate::config::Problem;
use crate::config::load::{Checked, load};
use crate::config::yaml::{Document, step};
use crate::foundry;
use crate::log;
use crate::plan::{Component, LanePlan, Plan};
use crate::registries::Registries;
use crate::run::complain;
use crate::say;
use crate::wire;

/// Checks a configuration and says what it would run.
pub fn check(arguments: &ConfigArguments) -> ExitCode {
    let name = arguments.config.display().to_string();
    let Checked { plan, document, mut problems } = load(&arguments.config);
    if let Some(plan) = &plan {
        log::start(&plan.log);
        let node = match wire::node(plan, arguments.node_name.as_deref()) {
            Ok(node) => node,
            Err(error) => {
                // With other mistakes it may be only their consequence.
                if problems.is_empty() {
                    problems.push(Problem::whole(format!("{error:#}")));
                }
                String::new()
            }
        };
        problems.extend(try_out(plan, &document, &node));
        problems.sort_by_key(|problem| problem.line);
    }
    match plan {
        Some(plan) if problems.is_empty() => {
            say::line(format_args!("{name} is right: {}", summary(&plan)));
            let registries = Registries::at_hand(&plan);
            for lane in plan.lanes.iter().filter(|lane| !is_here(&registries, lane)) {
                say::line(format_args!(
                    "note: the module of `{}` was not tried, as no copy of it is here: `sluicebox module inspect {}` pulls it",
                    lane.name, lane.component
                ));
            }
            ExitCode::SUCCESS
        }
        _ => {
            complain(&name, &problems);
            ExitCode::from(2)
        }
    }
}

fn summary(plan: &Plan) -> String {
    let lanes: Vec<String> = plan
        .lanes
        .iter()
        .map(|lane| format!("{} ({} from {} to {})", lane.name, lane.component, lane.from.join("+"), lane.to.join("+")))
        .collect();
    lanes.join(", ")
}

/// Loads and starts every module; reads nothing else but their files.
pub fn try_out(plan: &Plan, document: &Document, node: &str) -> Vec<Problem> {
    let engine = match Engine::new() {
        Ok(engine) => engine,
        Err(error) => return vec![Problem::whole(error.to_string())],
    };
    let registries = Registries::at_hand(plan);
    plan.lanes
        .iter()
        .filter(|lane| is_here(&registries, lane))
        .filter_map(|lane| try_lane(&engine, &registries, lane, node).map(|(path, found)| at(document, lane, path, found)))
        .collect()
}

/// A module in a registry is checked only where there is a copy of it: nothing is asked.
fn is_here(registries: &Registries, lane: &LanePlan) -> bool {
    match &lane.component {
        Component::Registry(reference) => registries.has(reference, foundry::most_bytes(lane)),
        _ => true,
    }
}

/// What was found, and its cure.
type Finding = (String, Option<String>);

fn at(document: &Document, lane: &LanePlan, field: &str, (text, hint): Finding) -> Problem {
    let path = step(&step("/modules", &lane.name), field);
    Problem { line: document.line(&path), text: format!("`modules.{}.{field}`: {text}", lane.name), hint }
}

/// The field that is wrong, and why.
fn try_lane(engine: &Engine, registries: &Registries, lane: &LanePlan, node: &str) -> Option<(&'static str, Finding)> {
    let options = LoadOptions { component_bytes: foundry::most_bytes(lane), ..LoadOptions::default() };
    let loaded = foundry::read(lane, registries)
        .and_then(|component| Module::load(engine, &lane.component.to_string(), &component, &options));
    let module = match loaded {
        Ok(module) => module,
        Err(error) => {
            return Some(("use", (error.refusal.to_string(), Some(error.refusal.hint().to_owned()))));
        }
    };
    let useful = foundry::useful(lane, module.handlers());
    // Without sources something is wrong that was named before.
    if useful.is_empty() && !lane.from.is_empty() {
        let text = format!("the module handles no events of {}", lane.from.join(", "));
        return Some(("use", (text, Some("`sluicebox modules NAME` shows what it handles; add such a source".to_owned()))));
    }
    if let Some(useless) = lane.from.iter().find(|source| lane.from_is_explicit && !useful.contains(source)) {
        return Some((
            "from",
            (format!("the module does not handle {useless}"), Some(format!("remove `{useless}` from the list"))),
        ));
    }
    let mut shaper = foundry::shaper(module, lane, node);
    let fault = shaper.renew().err()?;
    Some(("settings", (fault.cause, fault.hint)))
}
