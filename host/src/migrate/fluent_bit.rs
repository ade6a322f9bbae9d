//! pod-meta-exporter. A flag counts before the variable of the same meaning.

use sluicebox_sources::kubernetes::is_object_name;

use super::draft::{Draft, Setting, System, quoted};
use super::found::{Found, Value};
use super::span::go;

/// The program.
pub(super) static SYSTEM: System = System {
    command: "fluent-bit",
    program: "pod-meta-exporter",
    settings: &[
        Setting { name: NODE.flag, default: None, becomes: "node-name, where it is set" },
        Setting { name: NODE.variable, default: Some("the host name"), becomes: "node-name, where it is set" },
        Setting { name: DIRECTORY.flag, default: None, becomes: "sinks.kube-meta.files.directory, where it is set" },
        Setting { name: DIRECTORY.variable, default: Some("/var/kube_meta"), becomes: "sinks.kube-meta.files.directory" },
        Setting { name: RETENTION.flag, default: None, becomes: "modules.meta.settings.retention, where it is set" },
        Setting { name: RETENTION.variable, default: Some("1m"), becomes: "modules.meta.settings.retention" },
    ],
    prefixes: &["EXPORTER_", "--"],
    common: &[],
};

/// The two names of one setting.
struct Names {
    flag: &'static str,
    variable: &'static str,
}

const NODE: Names = Names { flag: "--node-name", variable: "EXPORTER_NODE_NAME" };
const DIRECTORY: Names = Names { flag: "--destination-dir", variable: "EXPORTER_DESTINATION_DIR" };
const RETENTION: Names = Names { flag: "--retention-period", variable: "EXPORTER_RETENTION_PERIOD" };

/// Whether these words are a shell's: which flags the command in them has is for a shell to say.
pub(super) fn is_of_a_shell(words: &[Value]) -> bool {
    let mut words = words.iter().map(|word| word.written.as_str());
    let called =
        |word: &str| word.rsplit('/').next().is_some_and(|name| ["sh", "bash", "ash", "dash", "busybox"].contains(&name));
    let is_command = |word: &str| word.starts_with('-') && !word.starts_with("--") && word.ends_with('c');
    words.next().is_some_and(called) && words.any(is_command)
}

/// Makes settings of what stands on the command line: `--name=value`, `--name value`, with one dash or two.
pub(super) fn flags(found: &mut Found) {
    let mut words = std::mem::take(&mut found.arguments).into_iter().peekable();
    while let Some(word) = words.next() {
        let Some(name) = word.written.strip_prefix('-') else { continue };
        let name = format!("--{}", name.strip_prefix('-').unwrap_or(name));
        if let Some((name, value)) = name.split_once('=').map(|(name, _)| name.to_owned()).zip(word.behind('=')) {
            found.variables.insert(name, value);
        } else if let Some(value) = words.next_if(|next| !next.written.starts_with('-')) {
            found.variables.insert(name, value);
        } else {
            found.variables.insert(name, Value::text(""));
        }
    }
}

/// The configuration.
pub(super) fn configuration(draft: &mut Draft<'_>) -> String {
    let node = effective(draft, &NODE);
    let set = draft.set(node).is_some_and(|value| value.text.as_deref() != Some(""));
    let name = |text: &str| is_object_name(text).then(|| text.to_owned());
    let node = if set && !draft.leaves_node(node) {
        draft.read(node, "write the name of a node, as `kubectl get nodes` has it", name)
    } else {
        None
    };
    let node = node.map(|node| format!("node-name: {}\n", quoted(&node))).unwrap_or_default();
    let directory = effective(draft, &DIRECTORY);
    let directory = draft.read(directory, "write the path of a directory", |text| (!text.is_empty()).then(|| text.to_owned()));
    let retention = effective(draft, &RETENTION);
    let retention = draft.read(retention, "write a time such as `90s` or `5m`", |text| Some(go(text)?.to_string()));
    draft.differs(
        "files are the pods as the API server has them, put in place in one step; fields newer than the old program stay",
    );
    draft.differs("a file goes when its time has come, not with the next event, and never when its pod has come back meanwhile");
    draft.differs("files of an earlier run that belong to nothing go a minute after the start, not at the start");
    let (directory, retention) = (quoted(&directory.unwrap_or_default()), quoted(&retention.unwrap_or_default()));
    format!(
        "{node}kubernetes: {{access: in-cluster}}\nsources:\n  pods: {{}}\n\
         modules:\n  meta:\n    use: fluent-bit-meta\n    settings: {{retention: {retention}}}\n    to: [kube-meta]\n\
         sinks:\n  kube-meta:\n    files:\n      directory: {directory}\n      remove-unclaimed: {{suffix: .meta}}\n"
    )
}

/// The name that counts.
fn effective(draft: &mut Draft<'_>, names: &Names) -> &'static str {
    if draft.set(names.flag).is_none() {
        draft.becomes(names.flag, format!("nothing: {} counts", names.variable));
        return names.variable;
    }
    draft.becomes(names.variable, format!("nothing: {} counts", names.flag));
    names.flag
}
