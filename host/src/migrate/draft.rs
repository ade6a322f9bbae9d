//! What is made of an old program's settings: each is asked for by name, and each leaves a line that says what became of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::found::{Found, Value};

/// One setting of an old program.
#[derive(Debug)]
pub(super) struct Setting {
    /// Its name.
    pub(super) name: &'static str,
    /// What counted where it was not set.
    pub(super) default: Option<&'static str>,
    /// What becomes of it, for people.
    pub(super) becomes: &'static str,
}

/// An old program.
#[derive(Debug)]
pub(super) struct System {
    /// What stands behind `sluicebox migrate`.
    pub(super) command: &'static str,
    /// The program's name, which is a part of its image's.
    pub(super) program: &'static str,
    /// Every setting that it had.
    pub(super) settings: &'static [Setting],
    /// What its settings begin with: others that begin so are mistakes.
    pub(super) prefixes: &'static [&'static str],
    /// Settings whose names say nothing: programs of all kinds have them.
    pub(super) common: &'static [&'static str],
}

/// As the `sluicebox.yaml` of each overlay has it.
const SURROUNDINGS: &str = "admin: {listen: \"0.0.0.0:9420\"}\nmemory: {queues: 64MiB}\ncompiler: {memory: 160MiB}\n\
    reload: {kubernetes-events: false}\nstate-directory: /var/lib/sluicebox/state\ncache-directory: /var/cache/sluicebox/modules\n";

/// A configuration on its way.
#[derive(Debug)]
pub(super) struct Draft<'found> {
    system: &'static System,
    found: &'found BTreeMap<String, Value>,
    /// What became of a setting, where it is not what its table says.
    became: BTreeMap<&'static str, String>,
    secrets: Vec<&'static str>,
    /// Whether the configuration is for the manifests in `deploy/`.
    pub(super) in_pod: bool,
    /// How much is logged, where it is not what it is by default.
    pub(super) level: Option<&'static str>,
    /// What is different from the old program, a sentence each.
    pub(super) differences: Vec<String>,
    /// What stands in the way.
    pub(super) mistakes: Vec<String>,
    /// What should be looked at.
    pub(super) warnings: Vec<String>,
}

impl<'found> Draft<'found> {
    /// Begins with what was found.
    pub(super) fn new(system: &'static System, found: &'found Found, in_pod: bool) -> Self {
        let mut warnings = found.warnings.clone();
        let unused = found.variables.keys().filter(|name| !found.referred.contains(*name));
        warnings.extend(unused.filter_map(|name| strange(system, name)));
        Self {
            system,
            found: &found.variables,
            became: BTreeMap::new(),
            secrets: Vec::new(),
            in_pod,
            level: None,
            differences: Vec::new(),
            mistakes: Vec::new(),
            warnings,
        }
    }

    /// A setting as it was set.
    pub(super) fn set(&self, name: &str) -> Option<&'found Value> {
        self.found.get(name)
    }

    /// A setting as it was set, else its default. A required one that is missing is a mistake.
    pub(super) fn value(&mut self, name: &'static str, cure: &str) -> Option<Value> {
        if let Some(value) = self.found.get(name) {
            return Some(value.clone());
        }
        let default = self.setting(name).and_then(|setting| setting.default);
        if default.is_none() {
            let mistake = format!("`{name}` is not set, and {} did not start without it\nhint: {cure}", self.system.program);
            self.mistakes.push(mistake);
        }
        default.map(Value::text)
    }

    /// The value in the form that `read` makes of its text; what only the environment knows is written as a reference to it. What cannot
    /// be read is a mistake that is named with `cure`.
    pub(super) fn read(&mut self, name: &'static str, cure: &str, read: impl FnOnce(&str) -> Option<String>) -> Option<String> {
        let value = self.value(name, cure)?;
        let Some(text) = &value.text else {
            // A part of it is known, and looks like a user with a password.
            if value.written.split_once('@').is_some_and(|(user, _)| user.contains(':')) {
                self.bad(name, &value.written, cure);
                return None;
            }
            return Some(value.written);
        };
        let done = read(text.trim()).map(|text| Value::text(&text).written);
        if done.is_none() {
            self.bad(name, text, cure);
        }
        done
    }

    /// Names a value that cannot be used; of one with a user in front of an `@`, only what stands behind it, as a password may be there.
    pub(super) fn bad(&mut self, name: &str, value: &str, cure: &str) {
        let shown = value.rsplit_once('@').map_or_else(|| value.to_owned(), |(_, behind)| format!("…@{behind}"));
        self.mistakes.push(format!("`{name}`: `{}` cannot be used\nhint: {cure}", plain(&shown)));
    }

    /// Says what became of a setting, in place of what the table says.
    pub(super) fn becomes(&mut self, name: &'static str, text: impl Into<String>) {
        self.became.insert(name, text.into());
    }

    /// Keeps the value of a setting out of what is printed.
    pub(super) fn conceal(&mut self, name: &'static str) {
        self.secrets.push(name);
    }

    /// Says what is different from before.
    pub(super) fn differs(&mut self, text: impl Into<String>) {
        self.differences.push(text.into());
    }

    /// Whether the node is left to `NODE_NAME`, as the manifests set it: what only the old program's pod knows is not known there.
    pub(super) fn leaves_node(&mut self, name: &'static str) -> bool {
        let left = self.in_pod && self.found.get(name).is_some_and(|value| value.text.is_none());
        if left {
            self.becomes(name, "nothing: the manifests say which node it is");
        }
        left
    }

    /// The section `lease` of what works for the whole cluster.
    pub(super) fn lease(&mut self, works: &str) -> &'static str {
        if self.in_pod {
            self.differs(format!("of several programs the one that holds the lease {works}"));
            return "";
        }
        self.differs(format!(
            "one program {works}, as before; with the `lease` left out several may run, and one of them {works}"
        ));
        "lease: {enabled: false}\n"
    }

    /// The section `log`.
    pub(super) fn log(&self) -> String {
        let format = self.in_pod.then_some("format: json");
        let level = self.level.map(|level| format!("level: {level}"));
        let both: Vec<&str> = format.into_iter().chain(level.as_deref()).collect();
        if both.is_empty() { String::new() } else { format!("log: {{{}}}\n", both.join(", ")) }
    }

    /// What the manifests count on: the address of their probes, and the directories that can be written.
    pub(super) fn surroundings(&self) -> &'static str {
        if self.in_pod { SURROUNDINGS } else { "" }
    }

    /// The comments that stand above the configuration.
    pub(super) fn comments(&self) -> String {
        let System { program, command, .. } = self.system;
        let mut out = format!(
            "# What {program} did with its settings. Made by `sluicebox migrate {command}{}`.\n#\n",
            if self.in_pod { " --in-pod" } else { "" }
        );
        for setting in self.system.settings {
            let _never = writeln!(out, "# {}", self.line(setting));
        }
        if !self.differences.is_empty() {
            out.push_str("#\n");
        }
        for difference in &self.differences {
            let _never = writeln!(out, "# - {}", plain(difference));
        }
        out.push('\n');
        out
    }

    fn line(&self, setting: &Setting) -> String {
        let Setting { name, default, becomes } = setting;
        let value = match (self.found.get(*name), default) {
            (Some(_), _) if self.secrets.contains(name) => format!("{name} = (not shown)"),
            (Some(Value { text: Some(text), .. }), _) => format!("{name} = {}", plain(text)),
            (Some(Value { whence: Some(whence), .. }), _) => {
                format!("{name}, from {}: leave the variable as it is in the pod", plain(whence))
            }
            (Some(Value { written, .. }), _) => format!("{name} = {}", plain(written)),
            (None, Some(default)) => format!("{name} was not set: {default}"),
            (None, None) => format!("{name} was not set"),
        };
        let becomes = self.became.get(name).map_or(*becomes, String::as_str);
        format!("{value} -> {}", plain(becomes))
    }

    fn setting(&self, name: &str) -> Option<&'static Setting> {
        self.system.settings.iter().find(|setting| setting.name == name)
    }
}

/// The way to the API server by the file that a variable names; `mistake` is what to say where it names none.
pub(super) fn by_kubeconfig(draft: &mut Draft<'_>, name: &str, mistake: String) -> String {
    if let Some(file) = draft.set(name).filter(|file| !file.written.is_empty()) {
        return format!("kubernetes: {{access: kubeconfig, kubeconfig: {}}}\n", quoted(&file.written));
    }
    draft.mistakes.push(mistake);
    String::new()
}

/// A value of YAML, in quotes.
pub(super) fn quoted(written: &str) -> String {
    serde_json::Value::from(written).to_string()
}

/// A port of TCP.
pub(super) fn port(text: &str) -> Option<String> {
    text.parse::<u16>().ok().filter(|port| *port > 0).map(|port| port.to_string())
}

/// A name or an address of a host, as it stands in a URL.
pub(super) fn host(text: &str) -> Option<String> {
    if let Ok(address) = text.parse::<std::net::Ipv6Addr>() {
        return Some(format!("[{address}]"));
    }
    let inside = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    if let Some(Ok(address)) = inside.map(str::parse::<std::net::Ipv6Addr>) {
        return Some(format!("[{address}]"));
    }
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.' | '_');
    (!text.is_empty() && text.chars().all(fits)).then(|| text.to_owned())
}

/// Text on one line.
fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

/// What is to be said of a variable that is none of the program's and looks like one.
fn strange(system: &System, name: &str) -> Option<String> {
    let names = || system.settings.iter().map(|setting| setting.name);
    if names().any(|known| known == name) || is_of_a_service(name) {
        return None;
    }
    let lower = name.to_lowercase();
    let begins = system.prefixes.iter().any(|prefix| lower.starts_with(&prefix.to_lowercase()));
    let distance = |known: &&str| strsim::damerau_levenshtein(&known.to_lowercase(), &lower);
    let nearest = names().filter(|known| !system.common.contains(known)).min_by_key(|known| distance(known));
    let near = nearest.filter(|known| distance(known) <= 3 && known.len() > 7);
    match near {
        Some(known) => Some(format!("`{name}` is no setting of {}: did you mean `{known}`?", system.program)),
        None if name.starts_with("--") => {
            Some(format!("`{name}` is no flag of {}, which does not start with it: it has no effect here", system.program))
        }
        None if begins => {
            Some(format!("`{name}` is no setting of {}: it had no effect there, and has none here", system.program))
        }
        None => None,
    }
}

/// Kubernetes tells of a Service `kafka` by `KAFKA_SERVICE_HOST`, `KAFKA_PORT_9092_TCP` and so on.
fn is_of_a_service(name: &str) -> bool {
    let of_port = name.split_once("_PORT_").is_some_and(|(_, rest)| rest.starts_with(|letter: char| letter.is_ascii_digit()));
    name.ends_with("_SERVICE_HOST") || name.contains("_SERVICE_PORT") || of_port
}
