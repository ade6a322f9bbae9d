//! The configuration from a file, checked: what `run` and `check` begin with.

use std::io::Read as _;
use std::path::Path;

use super::decode::decode;
use super::yaml::{Document, parse};
use super::{Config, Problem};
use crate::plan::{Plan, plan};

/// A configuration larger than this is refused.
const LARGEST: u64 = 4 << 20;

/// A configuration that was looked through.
#[derive(Debug)]
pub struct Checked {
    /// What can be run of it. The whole only if there are no problems.
    pub plan: Option<Plan>,
    /// The text, so that later findings can name their lines.
    pub document: Document,
    /// Every mistake.
    pub problems: Vec<Problem>,
}

/// Reads and checks a configuration.
pub fn load(path: &Path) -> Checked {
    match read(path) {
        Ok(text) => check(&text, &|name| std::env::var(name).ok()),
        Err(problem) => Checked { plan: None, document: Document::default(), problems: vec![problem] },
    }
}

/// Checks the text of a configuration.
pub fn check(text: &str, environment: &dyn Fn(&str) -> Option<String>) -> Checked {
    let (document, mut problems) = match parse(text, environment) {
        Ok(parsed) => parsed,
        Err(problems) => {
            return Checked { plan: None, document: Document::default(), problems };
        }
    };
    let (config, more) = decode::<Config>(&document);
    problems.extend(more);
    let plan = config.map(|config| {
        let (plan, more) = plan(config, &document);
        problems.extend(more);
        plan
    });
    problems.sort_by_key(|problem| problem.line);
    Checked { plan, document, problems }
}

fn read(path: &Path) -> Result<String, Problem> {
    let name = path.display();
    let hint = "give the path of a configuration; `sluicebox --help` shows how to begin";
    let failed = |error: std::io::Error| Problem::whole(format!("cannot read the configuration {name}: {error}")).hint(hint);
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(LARGEST + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).map_err(failed)?.take(LARGEST + 1).read_to_string(&mut text)
    };
    if read.map_err(failed)? as u64 > LARGEST {
        return Err(Problem::whole(format!("the configuration {name} is larger than 4 MiB")).hint("is it the right file?"));
    }
    Ok(text)
}
