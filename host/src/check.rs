//! `sluicebox check`: every mistake in a configuration, found without touching the network unless permissions
//! are asked about. Modules are loaded and started with their
//! settings, so that what they would refuse is known before.

use std::process::ExitCode;

use sluicebox_contract::Shaper as _;
use sluicebox_wasm::{Asked, Description, Engine, LoadError, LoadOptions, Module};

use crate::cli::CheckArguments;
use crate::config::Problem;
use crate::config::load::{Checked, load};
use crate::config::yaml::{Document, step};
use crate::foundry;
use crate::log;
use crate::permissions::permissions;
use crate::plan::{Component, LanePlan, Plan};
use crate::registries::Registries;
use crate::run::complain;
use crate::say;
use crate::trust::{Demands, Distrust};
use crate::wire;

/// Checks a configuration and says what it would run; where that is wanted, also whether it may.
pub fn check(CheckArguments { config: arguments, permissions: with_permissions }: &CheckArguments) -> ExitCode {
    let name = arguments.config.display().to_string();
    let Checked { plan, document, mut problems } = load(&arguments.config);
    let (mut trusted, mut fed, mut node_name) = (Vec::new(), Vec::new(), String::new());
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
        let tried = try_out(plan, &document, &node);
        (trusted, fed, node_name) = (tried.trusted, tried.fed, node);
        problems.extend(tried.problems);
        problems.sort_by_key(|problem| problem.line);
    }
    match plan {
        Some(plan) if problems.is_empty() => {
            say::line(format_args!("{name} is right: {}", summary(&plan)));
            trusted.into_iter().for_each(say::line);
            let registries = Registries::at_hand(&plan);
            for lane in plan.lanes.iter().filter(|lane| !is_here(&registries, lane)) {
                say::line(format_args!(
                    "note: the module of `{}` was not tried, as no copy of it is here: `sluicebox module inspect {}` pulls it",
                    lane.name, lane.component
                ));
            }
            if *with_permissions { permissions(&plan, &node_name, &fed) } else { ExitCode::SUCCESS }
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

/// What was found out about the modules.
#[derive(Debug, Default)]
struct Tried {
    /// Of each that comes from a file, what it may do and why it is trusted.
    trusted: Vec<String>,
    /// Of each lane, the sources whose events its module handles.
    fed: Vec<Vec<String>>,
    /// What is wrong.
    problems: Vec<Problem>,
}

/// Loads and starts every module; reads nothing else but their files.
fn try_out(plan: &Plan, document: &Document, node: &str) -> Tried {
    let mut tried = Tried::default();
    let engine = match Engine::new() {
        Ok(engine) => engine,
        Err(error) => return Tried { problems: vec![Problem::whole(error.to_string())], ..tried },
    };
    let registries = Registries::at_hand(plan);
    for lane in &plan.lanes {
        if !is_here(&registries, lane) {
            // Which events it handles is not known: perhaps all.
            tried.fed.push(lane.from.clone());
            continue;
        }
        match try_lane(&engine, &registries, lane, node) {
            Ok(module) => {
                tried.fed.push(foundry::useful(lane, module.handlers()));
                if !matches!(lane.component, Component::Preset(_)) {
                    tried.trusted.push(trust(lane, &module));
                }
            }
            Err((path, found)) => {
                tried.fed.push(Vec::new());
                tried.problems.push(at(document, lane, path, found));
            }
        }
    }
    tried
}

/// What a module imports, and what was demanded of it.
fn trust(lane: &LanePlan, module: &Module) -> String {
    let Demands { digests, signed_by, .. } = &lane.demands;
    let asked = |name: &String| match Asked::by(name) {
        Asked::Call(_) => format!("{name} (granted)"),
        _ => format!("{name} (types)"),
    };
    let Description { imports, digest, .. } = module.describe();
    let imports: Vec<String> = imports.iter().map(asked).collect();
    let imports = if imports.is_empty() { "nothing".to_owned() } else { imports.join(", ") };
    let pinned = if digests.is_empty() { "" } else { ", as pinned" };
    let signed = if signed_by.is_empty() { String::new() } else { format!("; signed by {}", signed_by.join(" or ")) };
    format!("  {}: sha256:{digest}{pinned}{signed}; imports {imports}", lane.name)
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

/// The module; else the field that is wrong, and why.
fn try_lane(engine: &Engine, registries: &Registries, lane: &LanePlan, node: &str) -> Result<Module, (&'static str, Finding)> {
    let refused = |error: LoadError| ("use", (error.refusal.to_string(), Some(error.refusal.hint().into_owned())));
    let material = foundry::read(lane, registries).map_err(refused)?;
    let distrusted = |distrust: Distrust| (distrust.setting(), (distrust.to_string(), Some(distrust.hint())));
    material.examine(lane).map_err(distrusted)?;
    let (component_bytes, grants) = (foundry::most_bytes(lane), lane.demands.grants);
    let options = LoadOptions { component_bytes, grants, ..LoadOptions::default() };
    let module = Module::load(engine, &lane.component.to_string(), &material.component, &options).map_err(refused)?;
    let useful = foundry::useful(lane, module.handlers());
    // Without sources something is wrong that was named before.
    if useful.is_empty() && !lane.from.is_empty() {
        let text = format!("the module handles no events of {}", lane.from.join(", "));
        return Err(("use", (text, Some("`sluicebox modules NAME` shows what it handles; add such a source".to_owned()))));
    }
    if let Some(useless) = lane.from.iter().find(|source| lane.from_is_explicit && !useful.contains(source)) {
        return Err((
            "from",
            (format!("the module does not handle {useless}"), Some(format!("remove `{useless}` from the list"))),
        ));
    }
    let mut shaper = foundry::shaper(module.clone(), lane, node);
    shaper.renew().map_err(|fault| ("settings", (fault.cause, fault.hint)))?;
    Ok(module)
}
