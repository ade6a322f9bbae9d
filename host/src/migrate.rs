//! `sluicebox migrate`: the settings of the programs that this one takes the place of become a configuration that does the same.

mod alumet;
mod arguments;
mod connections;
mod draft;
mod env_file;
mod fluent_bit;
mod found;
mod galileo;
mod manifest;
mod mape;
mod span;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub use arguments::{AlumetArguments, EnvironmentArguments, FlagArguments, MigrateArguments, SystemArguments};

use crate::config::{self, Problem};
use crate::say;
use draft::{Draft, System};
use found::{Found, Value};

/// A file larger than this is refused.
const LARGEST: u64 = 4 << 20;

/// Prints the configuration; what is wrong with the settings goes to standard error.
pub fn migrate(arguments: &MigrateArguments) -> ExitCode {
    let in_pod = arguments.in_pod;
    let of_environment = |arguments, system: &'static System, configuration: fn(&mut Draft<'_>) -> String| {
        Ok(make(system, &find(arguments, system)?, in_pod, configuration))
    };
    let made = match &arguments.system {
        SystemArguments::Galileo(arguments) => of_environment(arguments, &galileo::SYSTEM, galileo::configuration),
        SystemArguments::FluentBit(arguments) => of_flags(arguments, in_pod),
        SystemArguments::Mape(arguments) => of_environment(arguments, &mape::SYSTEM, mape::configuration),
        SystemArguments::Connections(arguments) => of_environment(arguments, &connections::SYSTEM, connections::configuration),
        SystemArguments::Alumet(arguments) => of_alumet(&arguments.config, in_pod),
    };
    match made {
        Ok(made) => tell(made),
        Err(error) => say::wrong(error),
    }
}

/// What was made, or what stands in the way.
struct Made {
    configuration: String,
    warnings: Vec<String>,
    mistakes: Vec<String>,
}

fn of_flags(arguments: &FlagArguments, in_pod: bool) -> Result<Made, String> {
    let mut found = find(&arguments.environment, &fluent_bit::SYSTEM)?;
    if fluent_bit::is_of_a_shell(&found.arguments) {
        if arguments.flags.is_empty() {
            return Err("the container runs a command of a shell, which is not read: flags may be in it\n\
                        hint: give the flags that stand there behind `--`, such as `-- --retention-period=5m`; where there is none, \
                        `-- --retention-period=1m`, which is the default"
                .to_owned());
        }
        found.arguments.clear();
    }
    found.arguments.extend(arguments.flags.iter().map(|flag| Value::text(flag)));
    fluent_bit::flags(&mut found);
    Ok(make(&fluent_bit::SYSTEM, &found, in_pod, fluent_bit::configuration))
}

fn of_alumet(path: &Path, in_pod: bool) -> Result<Made, String> {
    let (found, outputs) = alumet::read(&read(path)?).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(make(&alumet::SYSTEM, &found, in_pod, |draft| alumet::configuration(draft, &outputs)))
}

fn make(system: &'static System, found: &Found, in_pod: bool, configuration: impl FnOnce(&mut Draft<'_>) -> String) -> Made {
    let mut draft = Draft::new(system, found, in_pod);
    let text = configuration(&mut draft);
    let text = format!("{}{}{text}{}", draft.comments(), draft.log(), draft.surroundings());
    if draft.mistakes.is_empty() {
        draft.mistakes = problems(&text);
    }
    Made { configuration: text, warnings: draft.warnings, mistakes: draft.mistakes }
}

/// What `check` has against a configuration, but for what only the environment will say.
fn problems(text: &str) -> Vec<String> {
    let depends = |line: usize| text.lines().nth(line.saturating_sub(1)).is_some_and(|line| line.contains("${"));
    let problems = config::load::check(text, &|_| Some("x".to_owned())).problems.into_iter();
    let problems = problems.filter(|problem| !problem.line.is_some_and(depends));
    let hint = |problem: &Problem| problem.hint.as_ref().map_or_else(String::new, |hint| format!("\nhint: {hint}"));
    problems.map(|problem| format!("what would be printed is not right: {}{}", problem.text, hint(&problem))).collect()
}

fn tell(Made { configuration, warnings, mistakes }: Made) -> ExitCode {
    for warning in warnings {
        say::complaint(format_args!("warning: {warning}"));
    }
    if mistakes.is_empty() {
        say::line(configuration.trim_end());
        return ExitCode::SUCCESS;
    }
    for mistake in &mistakes {
        say::complaint(format_args!("error: {mistake}"));
    }
    ExitCode::from(2)
}

/// The settings, wherever they are.
fn find(arguments: &EnvironmentArguments, system: &System) -> Result<Found, String> {
    let of_process = |name: &str| std::env::var(name).ok();
    if let Some(path) = &arguments.env_file {
        return Ok(env_file::read(&read(path)?, &of_process));
    }
    if !arguments.manifest.is_empty() {
        let has = |name: &str| !system.common.contains(&name) && system.settings.iter().any(|setting| setting.name == name);
        let wanted = manifest::Wanted { container: arguments.container.as_deref(), image: system.program, has: &has };
        let mut objects = Vec::new();
        for path in files(&arguments.manifest)? {
            objects.extend(manifest::objects(&read(&path)?).map_err(|error| format!("{}: {error}", path.display()))?);
        }
        let names: Vec<String> = arguments.manifest.iter().map(|path| path.display().to_string()).collect();
        return manifest::read(&objects, &wanted).map_err(|error| format!("{}: {error}", names.join(", ")));
    }
    let text = |text: std::ffi::OsString| text.into_string().ok();
    Ok(env_file::of_process(std::env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?)))))
}

/// The files, and in place of each directory the manifests that are in it, in the order of their names.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let is_manifest =
        |path: &PathBuf| path.extension().is_some_and(|ending| ["yaml", "yml", "json"].iter().any(|one| ending == *one));
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let failed = |error: std::io::Error| format!("cannot list {}: {error}", path.display());
        let entries = std::fs::read_dir(path).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
        let mut within: Vec<PathBuf> = entries.map_err(failed)?;
        within.retain(is_manifest);
        if within.is_empty() {
            return Err(format!("there is no manifest in {}\nhint: they end in .yaml, .yml or .json", path.display()));
        }
        within.sort();
        files.append(&mut within);
    }
    Ok(files)
}

fn read(path: &Path) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(LARGEST + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).map_err(failed)?.take(LARGEST + 1).read_to_string(&mut text)
    };
    if read.map_err(failed)? as u64 > LARGEST {
        return Err(format!("{} is larger than 4 MiB\nhint: is it the right file?", path.display()));
    }
    // Some editors put a mark in front, which is no part of the text.
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}
