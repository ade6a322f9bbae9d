//! From a case file to explicit steps: what was left out is filled in, what was abbreviated is written out. Everything here is plain
//! JSON under the WIT's names, so that whoever runs a case can read it into types of their own.

use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use super::reader::Reader;

/// A case, ready to be run.
#[derive(Clone, Debug)]
pub struct Case {
    /// The name of its file, without `.json`.
    pub name: String,
    /// What it proves.
    pub about: String,
    /// A JSON object: the settings that the module is started with.
    pub settings: Value,
    /// A JSON object: the WIT's `context`.
    pub context: Value,
    /// The module must refuse to start, and the text must contain this.
    pub start_error: Option<String>,
    /// What happens once it has started.
    pub steps: Vec<Step>,
}

/// One step of a case.
#[derive(Clone, Debug)]
pub enum Step {
    /// These subjects are defined.
    Define(Vec<Value>),
    /// These subjects are forgotten.
    Forget(Vec<u32>),
    /// A fresh instance takes over and is told of all subjects.
    Restart(Vec<Value>),
    /// As `Restart`, and the fresh instance is given what the old one saves, where the module has state.
    Swap(Vec<Value>),
    /// A batch is handed over.
    Batch {
        /// Subjects that the events name for the first time: they are defined before.
        define: Vec<Value>,
        /// The events, all of one kind.
        events: Vec<Event>,
        /// What must come of them.
        expect: Expect,
    },
}

/// An event, as the WIT's record in JSON.
#[derive(Clone, Debug)]
pub enum Event {
    /// For `pod-handler`.
    Pod(Value),
    /// For `service-handler`.
    Service(Value),
    /// For `node-handler`.
    Node(Value),
    /// For `object-handler`.
    Object(Value),
    /// For `sample-handler`: here `metric` is a name, and an increase has no rate yet.
    Tick(Value),
    /// For `connection-handler`: here addresses are text.
    Connections(Value),
    /// For `inventory-handler`.
    Inventory(Value),
    /// For `series-handler`: here values may be texts, as Prometheus writes them.
    Series(Value),
}

/// What must come of a batch.
#[derive(Clone, Debug)]
pub enum Expect {
    /// These entries, in this order.
    Entries(Vec<Value>),
    /// A refusal whose text contains this.
    Error(String),
}

/// Reads all cases of a folder, in the order of their names.
pub fn load(folder: &Path) -> Result<Vec<Case>, String> {
    let tried = |error: std::io::Error| format!("cannot read the cases in {}: {error}", folder.display());
    let mut paths: Vec<_> = fs::read_dir(folder)
        .map_err(tried)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(tried)?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    if paths.is_empty() {
        return Err(format!("there are no cases in {}: add a file whose name ends with .json", folder.display()));
    }
    paths
        .iter()
        .map(|path| {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let text = fs::read_to_string(path).map_err(|error| error.to_string());
            text.and_then(|text| read(&name, &text)).map_err(|error| format!("cannot read the case {}: {error}", path.display()))
        })
        .collect()
}

/// Reads one case.
pub fn read(name: &str, text: &str) -> Result<Case, String> {
    let file: File = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let (Value::Object(settings), Value::Object(given)) = (file.settings, file.given) else {
        return Err("`settings` and `given` must be objects".to_owned());
    };
    if file.start_error.is_some() && !file.steps.is_empty() {
        return Err("`steps` cannot follow a `start-error`: take one of them out".to_owned());
    }
    let mut reader = Reader::new(given);
    let mut steps = Vec::new();
    for (index, step) in file.steps.into_iter().enumerate() {
        reader.step(step, &mut steps).map_err(|error| format!("step {}: {error}", index + 1))?;
    }
    let context = file.context.unwrap_or_else(|| json!({"lane": "case", "node-name": "", "sources": ["pods"]}));
    Ok(Case {
        name: name.to_owned(),
        about: file.about,
        settings: Value::Object(settings),
        context,
        start_error: file.start_error,
        steps,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    about: String,
    #[serde(default = "empty")]
    settings: Value,
    context: Option<Value>,
    #[serde(default = "empty")]
    given: Value,
    start_error: Option<String>,
    #[serde(default)]
    steps: Vec<FileStep>,
}

fn empty() -> Value {
    json!({})
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct FileStep {
    pub(super) define: Option<Vec<Value>>,
    pub(super) forget: Option<Vec<u32>>,
    #[serde(default)]
    pub(super) restart: bool,
    #[serde(default)]
    pub(super) swap: bool,
    pub(super) events: Option<Vec<Value>>,
    pub(super) tick: Option<Value>,
    pub(super) report: Option<Value>,
    pub(super) inventory: Option<Value>,
    pub(super) series: Option<Value>,
    pub(super) expect: Option<Vec<Value>>,
    pub(super) expect_error: Option<String>,
}
