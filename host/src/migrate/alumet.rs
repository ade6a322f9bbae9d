//! Alumet's plugin k8s, and the outputs that its points went to.

use std::net::IpAddr;

use sluicebox_contract::TimeSpan;
use sluicebox_sources::kubernetes::is_object_name;

use super::draft::{Draft, Setting, System, host, port, quoted};
use super::found::{Found, Value};
use super::span::humantime;

/// The program.
pub(super) static SYSTEM: System = System {
    command: "alumet",
    program: "Alumet",
    settings: &[
        Setting { name: POLL, default: Some("5s"), becomes: "sources.cgroups.period" },
        Setting { name: DISABLE, default: Some("false"), becomes: "nothing: there is nothing but the source" },
        Setting { name: NODE, default: Some("the host name"), becomes: "node-name, where it is set" },
        Setting { name: API, default: Some("http://127.0.0.1:8080"), becomes: "kubernetes.url" },
        Setting { name: TOKEN, default: Some("auto"), becomes: "kubernetes.token-retrieval" },
        Setting { name: TOKEN_FILE, default: None, becomes: "kubernetes.token-retrieval.file, where it is set" },
        Setting { name: ACCOUNT, default: None, becomes: "kubernetes.token-retrieval.kubectl.service-account, where it is set" },
        Setting { name: NAMESPACE, default: None, becomes: "kubernetes.token-retrieval.kubectl.namespace, where it is set" },
        Setting { name: FOREIGN, default: Some("false"), becomes: "nothing: every cgroup is told with its pod" },
        Setting { name: CONTAINERS, default: Some("false"), becomes: "sources.cgroups.levels and modules.….settings.per" },
        Setting {
            name: PATH,
            default: Some("alumet-output.csv"),
            becomes: "sinks.csv.files.directory and append.file, with the plugin csv",
        },
        Setting { name: FLUSH, default: Some("true"), becomes: "nothing: each batch of lines is written at once" },
        Setting { name: APPEND_UNIT, default: Some("true"), becomes: "nothing: the unit stands behind each name" },
        Setting { name: DISPLAY_NAME, default: Some("true"), becomes: "nothing: units are written in their short form" },
        Setting { name: DELIMITER, default: Some(";"), becomes: "nothing: it is `;`" },
        Setting { name: QUOTE, default: Some("\"\""), becomes: "nothing: quotes are doubled, as RFC 4180 has it" },
        Setting {
            name: HOST,
            default: Some("0.0.0.0"),
            becomes: "sinks.scraped.prometheus.listen, with the plugin prometheus-exporter",
        },
        Setting {
            name: PORT,
            default: Some("9091"),
            becomes: "sinks.scraped.prometheus.listen, with the plugin prometheus-exporter",
        },
        Setting {
            name: PREFIX,
            default: Some(""),
            becomes: "modules.scraped.settings.prefix, with the plugin prometheus-exporter",
        },
        Setting {
            name: SUFFIX,
            default: Some("_alumet"),
            becomes: "modules.scraped.settings.suffix, with the plugin prometheus-exporter",
        },
        Setting { name: LABELS, default: Some("true"), becomes: "nothing: attributes are always labels" },
    ],
    prefixes: &["plugins.k8s.", "plugins.csv.", "plugins.prometheus-exporter."],
    common: &[],
};

const POLL: &str = "plugins.k8s.poll_interval";
const DISABLE: &str = "plugins.k8s.disable_sources";
const NODE: &str = "plugins.k8s.k8s_node";
const API: &str = "plugins.k8s.k8s_api_url";
const TOKEN: &str = "plugins.k8s.token_retrieval";
const TOKEN_FILE: &str = "plugins.k8s.token_retrieval.file";
const ACCOUNT: &str = "plugins.k8s.token_retrieval.kubectl.service_account";
const NAMESPACE: &str = "plugins.k8s.token_retrieval.kubectl.namespace";
const FOREIGN: &str = "plugins.k8s.annotate_foreign_measurements";
const CONTAINERS: &str = "plugins.k8s.annotate_containers";
const PATH: &str = "plugins.csv.output_path";
const FLUSH: &str = "plugins.csv.force_flush";
const APPEND_UNIT: &str = "plugins.csv.append_unit_to_metric_name";
const DISPLAY_NAME: &str = "plugins.csv.use_unit_display_name";
const DELIMITER: &str = "plugins.csv.csv_delimiter";
const QUOTE: &str = "plugins.csv.csv_escaped_quote";
const HOST: &str = "plugins.prometheus-exporter.host";
const PORT: &str = "plugins.prometheus-exporter.port";
const PREFIX: &str = "plugins.prometheus-exporter.prefix";
const SUFFIX: &str = "plugins.prometheus-exporter.suffix";
const LABELS: &str = "plugins.prometheus-exporter.add_attributes_to_labels";
/// What can only be as it is here, and how it is.
const FIXED: [(&str, &str); 5] =
    [(APPEND_UNIT, "true"), (DISPLAY_NAME, "true"), (DELIMITER, ";"), (QUOTE, "\"\""), (LABELS, "true")];

/// The plugins of a configuration whose settings are read.
#[derive(Debug, Default)]
pub(super) struct Outputs {
    csv: bool,
    prometheus: bool,
}

/// Reads Alumet's file: its settings by their names with dots, and which outputs there are.
pub(super) fn read(text: &str) -> Result<(Found, Outputs), String> {
    let table: toml::Table =
        text.parse().map_err(|error: toml::de::Error| format!("not TOML: {}", error.to_string().trim_end()))?;
    let (mut found, mut outputs) = (Found::default(), Outputs::default());
    for name in table.keys().filter(|name| *name != "plugins") {
        found.warnings.push(format!("`{name}` stands outside of `[plugins.…]`: it is not in this configuration"));
    }
    let plugins = table.get("plugins").and_then(toml::Value::as_table);
    if plugins.is_none_or(|plugins| !plugins.contains_key("k8s")) {
        return Err("there is no table `[plugins.k8s]` in it".to_owned());
    }
    for (name, settings) in plugins.into_iter().flatten() {
        let off = |key: &&str| settings.get(key).and_then(toml::Value::as_bool) == Some(false);
        if let Some(key) = ["enable", "enabled"].iter().find(|key| off(key)) {
            let becomes = if name == "k8s" { "this configuration measures all the same" } else { "it is left out" };
            found.warnings.push(format!("the plugin `{name}` was switched off (`{key} = false`): {becomes}"));
            if name != "k8s" {
                continue;
            }
        }
        match name.as_str() {
            "k8s" => {}
            "csv" => outputs.csv = true,
            "prometheus-exporter" => outputs.prometheus = true,
            other => {
                found.warnings.push(format!(
                    "the plugin `{other}` is not in this configuration: see the sinks and sources of CONFIGURATION.md for what takes its place"
                ));
                continue;
            }
        }
        flatten(&format!("plugins.{name}"), settings, &mut found);
    }
    found.variables.retain(|name, _| !name.ends_with(".enable") && !name.ends_with(".enabled"));
    Ok((found, outputs))
}

fn flatten(path: &str, value: &toml::Value, found: &mut Found) {
    match value {
        toml::Value::Table(table) => table.iter().for_each(|(name, value)| flatten(&format!("{path}.{name}"), value, found)),
        toml::Value::String(text) => {
            found.variables.insert(path.to_owned(), substituted(text));
        }
        other => {
            found.variables.insert(path.to_owned(), Value::text(&plain(other)));
        }
    }
}

/// What is no text, as one. No setting is a list or a date: such a value is one that cannot be used.
fn plain(value: &toml::Value) -> String {
    match value {
        toml::Value::Boolean(value) => value.to_string(),
        toml::Value::Integer(value) => value.to_string(),
        toml::Value::Float(value) => value.to_string(),
        other => other.type_str().to_owned(),
    }
}

/// `${NAME}` in it stays, as both programs take it from the environment.
fn substituted(text: &str) -> Value {
    let mut value = Value::text(text);
    let referring = text.split_once("${").is_some_and(|(_, rest)| rest.contains('}'));
    if referring {
        value = Value { written: value.written.replace("$${", "${"), text: None, whence: None };
    }
    value
}

/// The configuration.
pub(super) fn configuration(draft: &mut Draft<'_>, outputs: &Outputs) -> String {
    let cure = "write a time from 100ms to 10m";
    let period = draft.read(POLL, cure, |text| {
        let TimeSpan(period) = humantime(text)?;
        (0.1..=600.0).contains(&period.as_secs_f64()).then(|| TimeSpan(period).to_string())
    });
    let period = quoted(&period.unwrap_or_default());
    let set = draft.set(NODE).is_some() && !draft.leaves_node(NODE);
    let name = |text: &str| is_object_name(text).then(|| text.to_owned());
    let node = if set { draft.read(NODE, "write the name of a node, as `kubectl get nodes` has it", name) } else { None };
    let node = node.map(|node| format!("node-name: {}\n", quoted(&node))).unwrap_or_default();
    let cure = "there is nothing to be measured with it: remove it, and keep Alumet for what other plugins measure";
    draft.read(DISABLE, cure, |text| (text == "false").then(String::new));
    draft.read(FOREIGN, "write true or false", boolean);
    let containers = draft.read(CONTAINERS, "write true or false", boolean).as_deref() == Some("true");
    let (level, per) = if containers { ("container", "per: container, ") } else { ("pod", "") };
    let kubernetes = kubernetes(draft);
    let (modules, sinks) = written_to(draft, outputs, per);
    draft.differs("100 percent are one core, as the plugin's README says; `cpu-percent: machine` makes them all cores, as its later versions do");
    draft.differs("processor time is in nanoseconds with both versions of cgroups, and a counter that began anew makes no point");
    draft.differs("the API server's certificate is verified: where its authority is not known, give `kubernetes.ca-file`");
    if containers {
        draft.differs("containers are told with their names and ids, and not beside their pod under the same attributes");
    }
    let root = if draft.in_pod { "root: /host, " } else { "" };
    format!(
        "{node}{kubernetes}sources:\n  cgroups: {{period: {period}, {root}levels: [{level}], metrics: [cpu, memory, pressure]}}\n\
         modules:\n{modules}sinks:\n{sinks}"
    )
}

fn kubernetes(draft: &mut Draft<'_>) -> String {
    let cure = "write an address such as https://kubernetes.default.svc:443";
    // A user in front of the host, or a query, may hold a password, and the API server is asked with neither.
    if draft.set(API).is_some_and(|value| value.written.contains(['@', '?'])) {
        draft.conceal(API);
        draft
            .mistakes
            .push(format!("`{API}` has a user or a query in it, which is not shown here and cannot be used\nhint: {cure}"));
        return String::new();
    }
    let url = |text: &str| (text.starts_with("http://") || text.starts_with("https://")).then(|| text.to_owned());
    let url = draft.read(API, cure, url).unwrap_or_default();
    let clear = url.starts_with("http://");
    let token = token(draft);
    // A proxy on this machine authenticates by itself; elsewhere a token would be there for all to read.
    let token = match token.as_str() {
        "auto" => String::new(),
        _ if clear && !["http://127.", "http://localhost", "http://[::1]"].iter().any(|near| url.starts_with(near)) => {
            draft.warnings.push(format!("`{API}` is without TLS: the token is not sent there, where anybody could read it"));
            ", token-retrieval: none".to_owned()
        }
        token => format!(", token-retrieval: {token}"),
    };
    format!("kubernetes: {{url: {}{token}}}\n", quoted(&url))
}

fn token(draft: &mut Draft<'_>) -> String {
    if let Some(file) = draft.set(TOKEN_FILE) {
        draft.becomes(TOKEN, "see below");
        return format!("{{file: {}}}", quoted(&file.written));
    }
    let name = |text: &str| is_object_name(text).then(|| text.to_owned());
    let mut set = |of: &'static str, default: &str| {
        let read = draft.set(of).and_then(|_| draft.read(of, "write a name as Kubernetes has it", name));
        quoted(read.as_deref().unwrap_or(default))
    };
    let (account, namespace) = (set(ACCOUNT, "alumet-reader"), set(NAMESPACE, "alumet"));
    let kubectl = format!("{{kubectl: {{service-account: {account}, namespace: {namespace}}}}}");
    if draft.set(ACCOUNT).is_some() || draft.set(NAMESPACE).is_some() {
        draft.becomes(TOKEN, "see below");
        return kubectl;
    }
    let cure = "write `auto`, `file`, `kubectl`, `.file = \"…\"` or `.kubectl = {…}`";
    let word = draft.read(TOKEN, cure, |text| ["auto", "file", "kubectl"].contains(&text).then(|| text.to_owned()));
    match word.as_deref() {
        Some("kubectl") => kubectl,
        Some(word) => word.to_owned(),
        None => "auto".to_owned(),
    }
}

/// The lanes and the sinks of the outputs.
fn written_to(draft: &mut Draft<'_>, outputs: &Outputs, per: &str) -> (String, String) {
    for (name, only) in FIXED {
        if draft.set(name).is_some_and(|value| value.text.as_deref() != Some(only)) {
            draft.warnings.push(format!("`{name}` has no counterpart: it is always `{only}` here"));
        }
    }
    let (mut modules, mut sinks) = (String::new(), String::new());
    if outputs.csv {
        let file = |text: &str| text.rsplit('/').next().filter(|name| !["", ".", ".."].contains(name)).map(|_| text.to_owned());
        let path = draft.read(PATH, "write the path of a file", file).unwrap_or_default();
        let (directory, file) = path.rsplit_once('/').unwrap_or((".", &path));
        let (directory, file) = (quoted(if directory.is_empty() { "/" } else { directory }), quoted(file));
        modules.push_str(&lane("csv", &format!("{per}form: csv")));
        sinks = format!("  csv:\n    files:\n      directory: {directory}\n      append: {{file: {file}}}\n");
        draft.differs("the CSV file is rotated at 64 MiB, five are kept; its columns are there from the first line on");
    }
    if outputs.prometheus {
        let listen = draft.read(HOST, "write the address to listen on, such as 0.0.0.0 or [::]", address).zip(draft.read(
            PORT,
            "write a number from 1 to 65535",
            port,
        ));
        let listen = listen.map(|(host, port)| format!("{host}:{port}")).unwrap_or_default();
        let mut affix =
            |name| draft.read(name, "write letters, digits and `_`", |text| Some(text.to_owned())).unwrap_or_default();
        let (prefix, suffix) = (quoted(&affix(PREFIX)), quoted(&affix(SUFFIX)));
        modules.push_str(&lane("scraped", &format!("{per}form: prometheus, prefix: {prefix}, suffix: {suffix}")));
        sinks = format!("{sinks}  scraped:\n    prometheus: {{listen: {}}}\n", quoted(&listen));
        draft.differs("series of pods that are gone leave the page");
    }
    if modules.is_empty() {
        modules = lane("lines", &format!("{per}form: point-json"));
        sinks.push_str("  lines:\n    stdout: {}\n");
        draft.differs("none of the outputs csv and prometheus-exporter is in the file, so points go to standard output: name a sink of your own");
    }
    (modules, sinks)
}

fn lane(name: &str, settings: &str) -> String {
    format!("  {name}:\n    use: pod-metrics\n    settings: {{{settings}}}\n    to: [{name}]\n")
}

/// An address of this machine. Names are none: what they mean is not the same everywhere.
fn address(text: &str) -> Option<String> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    match bare {
        "localhost" => Some("127.0.0.1".to_owned()),
        bare => bare.parse::<IpAddr>().ok().and_then(|_| host(bare)),
    }
}

fn boolean(text: &str) -> Option<String> {
    ["true", "false"].contains(&text).then(|| text.to_owned())
}
