//! `sluicebox migrate`: what older programs were set to becomes a configuration that is right and does the same.

#[path = "migrate/refused.rs"]
mod refused;
mod support;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use support::{Place, binary};

/// A command line with nothing in the environment but these.
fn with(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(binary()).args(arguments).env_clear().envs(environment.iter().copied()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What is printed, which must be a configuration that is right where these variables are set.
fn configuration(arguments: &[&str], environment: &[(&str, &str)], later: &[(&str, &str)]) -> String {
    let output = with(arguments, environment);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    let printed = text(&output.stdout);
    let mut check = Command::new(binary());
    check.args(["check", "-"]).env_clear().env("NODE_NAME", "n1").envs(later.iter().copied());
    let mut check = check.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    check.stdin.take().unwrap().write_all(printed.as_bytes()).unwrap();
    let checked = check.wait_with_output().unwrap();
    assert!(checked.status.success(), "{printed}\n{}", text(&checked.stderr));
    printed
}

const GALILEO: [(&str, &str); 3] = [
    ("telemd_kubernetes_adapter_redis_host", "10.0.3.7"),
    ("telemd_kubernetes_adapter_redis_port", "6379"),
    ("telemd_kubernetes_adapter_location", "cluster"),
];

#[test]
fn the_adapter_s_variables_become_a_configuration() {
    let printed = configuration(&["migrate", "galileo"], &GALILEO, &[]);
    for part in [
        "# telemd_kubernetes_adapter_redis_port = 6379 -> the port in sinks.redis.redis.url",
        "kubernetes: {access: in-cluster}",
        "url: \"redis://10.0.3.7:6379\"",
        "settings: {schema: pod, null-labels: true}",
    ] {
        assert!(printed.contains(part), "{part}\n{printed}");
    }
}

#[test]
fn a_value_that_cannot_be_used_is_named_with_its_cure() {
    let environment = [
        ("telemd_kubernetes_adapter_redis_port", "tcp://10.0.0.1:6379"),
        ("telemd_kubernetes_adapter_location", "moon"),
        ("TELEMD_KUBERNETES_ADAPTER_REDIS_HOST", "x"),
    ];
    let output = with(&["migrate", "galileo"], &environment);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), String::new()));
    assert_eq!(
        text(&output.stderr).lines().collect::<Vec<_>>(),
        [
            "warning: `TELEMD_KUBERNETES_ADAPTER_REDIS_HOST` is no setting of telemd-kubernetes-adapter: did you mean \
             `telemd_kubernetes_adapter_redis_host`?",
            "error: `telemd_kubernetes_adapter_redis_host` is not set, and telemd-kubernetes-adapter did not start without it",
            "hint: write the name or the address of the host alone, without scheme, port and path",
            "error: `telemd_kubernetes_adapter_redis_port`: `tcp://10.0.0.1:6379` cannot be used",
            "hint: write a number from 1 to 65535; `tcp://…` is what Kubernetes sets for a Service of this name",
            "error: `telemd_kubernetes_adapter_location`: `moon` cannot be used",
            "hint: write `cluster` for a program in a pod, or `local` for the file that KUBECONFIG names",
        ]
    );
}

#[test]
fn a_password_is_not_printed() {
    let mut environment = BTreeMap::from(GALILEO);
    environment.insert("telemd_kubernetes_adapter_redis_host", "me:open-sesame@redis.lab");
    let environment: Vec<_> = environment.into_iter().collect();
    let printed = configuration(&["migrate", "galileo"], &environment, &[("REDIS_PASSWORD", "x")]);
    assert!(!printed.contains("sesame"), "{printed}");
    assert!(printed.contains("username: \"me\"\n      password: ${REDIS_PASSWORD}"), "{printed}");
    let said = with(&["migrate", "galileo"], &environment);
    assert!(text(&said.stderr).contains("REDIS_PASSWORD") && !text(&said.stderr).contains("sesame"));
}

/// Every setting of every program: its name, its default, another value, and what that makes of the configuration.
fn settings() -> BTreeMap<String, Vec<Setting>> {
    let all: BTreeMap<String, Vec<BTreeMap<String, Value>>> =
        serde_json::from_str(include_str!("migrate/settings.json")).unwrap();
    let read = |row: BTreeMap<String, Value>| Setting {
        name: row["name"].as_str().unwrap().to_owned(),
        default: row["default"].as_str().map(str::to_owned),
        example: row["example"].clone(),
        shows: row["shows"].as_str().unwrap().to_owned(),
    };
    all.into_iter().map(|(system, rows)| (system, rows.into_iter().map(read).collect())).collect()
}

struct Setting {
    name: String,
    default: Option<String>,
    example: Value,
    shows: String,
}

impl Setting {
    fn example(&self) -> String {
        self.example.as_str().map_or_else(|| self.example.to_string(), str::to_owned)
    }
}

/// Migrates settings of one system, wherever they are written for it.
fn migrated(place: &Place, system: &str, settings: &[(&str, Value)]) -> String {
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if system == "alumet" {
        let lines: Vec<String> = settings.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        let file = place.path("alumet.toml");
        std::fs::write(&file, format!("plugins.k8s.x = 1\n{}\n", lines.join("\n")).replace("plugins.k8s.x = 1\n", "")).unwrap();
        return configuration(&["migrate", "alumet", "--config", file.to_str().unwrap()], &[], &[]);
    }
    let (flags, variables): (Vec<_>, Vec<_>) = settings.iter().partition(|(name, _)| name.starts_with("--"));
    let lines: Vec<String> = variables.iter().map(|(name, value)| format!("{name}={}", plain(value))).collect();
    let file = place.path("old.env");
    std::fs::write(&file, lines.join("\n")).unwrap();
    let mut arguments = vec!["migrate".to_owned(), system.to_owned(), "--env-file".to_owned(), file.display().to_string()];
    if !flags.is_empty() {
        arguments.push("--".to_owned());
        arguments.extend(flags.iter().map(|(name, value)| format!("{name}={}", plain(value))));
    }
    configuration(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), &[], &[])
}

/// The names of settings that the comments tell of.
fn told(printed: &str) -> Vec<String> {
    let lines = printed.lines().filter_map(|line| line.strip_prefix("# ").filter(|line| line.contains(" -> ")));
    lines.map(|line| line.split([' ', ',']).next().unwrap().to_owned()).collect()
}

/// What cannot be given beside the others.
fn excludes(name: &str) -> Vec<&'static str> {
    match name {
        "plugins.k8s.token_retrieval" => vec![".file", ".kubectl"],
        "plugins.k8s.token_retrieval.file" => vec![".kubectl", "token_retrieval"],
        _ if name.contains(".kubectl.") => vec![".file", "token_retrieval"],
        _ => vec![".kubectl", ".file"],
    }
}

#[test]
fn every_setting_of_every_program_becomes_something() {
    let place = Place::new();
    for (system, settings) in settings() {
        for setting in &settings {
            let excluded = excludes(&setting.name);
            let is_left_out = |name: &str| {
                name != setting.name && excluded.iter().any(|end| name.ends_with(end) || name.contains(&format!("{end}.")))
            };
            let given: Vec<(&str, Value)> = settings
                .iter()
                .filter(|other| !is_left_out(&other.name))
                .map(|other| (other.name.as_str(), other.example.clone()))
                .collect();
            let printed = migrated(&place, &system, &given);
            let names: Vec<&str> = settings.iter().map(|setting| setting.name.as_str()).collect();
            assert_eq!(told(&printed), names, "{system}");
            let line = format!("# {} = {} -> ", setting.name, setting.example());
            let says = |line: &String| printed.contains(line.as_str());
            assert!(says(&line), "{line}\n{printed}");
            assert!(says(&setting.shows), "{}\n{printed}", setting.shows);
        }
    }
}

#[test]
fn what_was_not_set_is_as_it_was_by_default() {
    let place = Place::new();
    let required: BTreeMap<&str, Vec<(&str, Value)>> = BTreeMap::from([
        ("galileo", GALILEO.iter().map(|(name, value)| (*name, Value::from(*value))).collect()),
        ("connections", vec![("SOCKET_PATH", "/network/var/run/network-tracer.sock".into())]),
        ("alumet", vec![("plugins.k8s", serde_json::json!({}))]),
    ]);
    for (system, settings) in settings() {
        let given = required.get(system.as_str()).cloned().unwrap_or_default();
        let printed = migrated(&place, &system, &given);
        for setting in settings {
            let is_given = given.iter().any(|(name, _)| *name == setting.name);
            let line = setting.default.as_ref().map_or_else(
                || format!("# {} was not set -> ", setting.name),
                |default| format!("# {} was not set: {default} -> ", setting.name),
            );
            assert!(is_given || printed.contains(&line), "{line}\n{printed}");
        }
    }
    let fluent_bit = migrated(&place, "fluent-bit", &[]);
    assert!(fluent_bit.contains("directory: \"/var/kube_meta\"") && fluent_bit.contains("retention: \"1m\""), "{fluent_bit}");
    let mape = migrated(&place, "mape", &[]);
    assert!(mape.contains("period: \"20s\"") && mape.contains("brokers: [\"192.168.1.175:9092\"]"), "{mape}");
    let alumet = migrated(&place, "alumet", &required["alumet"]);
    assert!(alumet.contains("period: \"5s\", levels: [pod]") && alumet.contains("lines:\n    stdout: {}"), "{alumet}");
}

#[test]
fn a_manifest_s_references_stay_variables_of_the_pod() {
    let place = Place::new();
    let manifest = place.path("old.yaml");
    let container = "- name: publisher\n        image: 5gmedia/kubernetes-prometheus-publisher:1\n        env:\n\
        \x20       - {name: KAFKA_IP, valueFrom: {configMapKeyRef: {name: kafka, key: ip}}}\n\
        \x20       - {name: PORT, value: \"9093\"}\n        - {name: KAFKA_PORT, value: $(PORT)}\n\
        \x20       - {name: SCHEDULER_SECONDS, valueFrom: {secretKeyRef: {name: s, key: seconds}}}\n\
        \x20       - {name: KAFKA_SERVICE_HOST, value: \"10.0.0.1\"}\n        - {name: KAFKA_TOPIC, value: x}\n\
        \x20       envFrom: [{secretRef: {name: more}}]\n";
    let text = format!(
        "kind: Service\n---\nkind: Deployment\nspec:\n  template:\n    spec:\n      containers:\n      - {{name: sidecar, image: nginx}}\n      {container}"
    );
    std::fs::write(&manifest, text).unwrap();
    let arguments = ["migrate", "mape", "--manifest", manifest.to_str().unwrap()];
    let printed = configuration(&arguments, &[], &[("KAFKA_IP", "10.0.0.9"), ("SCHEDULER_SECONDS", "30")]);
    for part in [
        "# KAFKA_IP, from the ConfigMap `kafka`, key `ip`: leave the variable as it is in the pod -> the host in sinks.kafka",
        "brokers: [\"${KAFKA_IP}:9093\"]",
        "period: \"${SCHEDULER_SECONDS}s\"",
    ] {
        assert!(printed.contains(part), "{part}\n{printed}");
    }
    let said = text_of(&with(&arguments, &[]));
    assert!(said.contains("warning: `KAFKA_TOPIC` is no setting of kubernetes-prometheus-publisher"), "{said}");
    assert!(said.contains("from the Secret `more`") && !said.contains("KAFKA_SERVICE_HOST"), "{said}");
}

#[test]
fn what_a_manifest_takes_from_other_files_is_looked_for_where_they_are_given() {
    let place = Place::new();
    let write = |name: &str, text: &str| {
        std::fs::write(place.path(name), text).unwrap();
        place.path(name).display().to_string()
    };
    let pod = write(
        "pod.yaml",
        "kind: Pod\nspec:\n  containers:\n  - name: publisher\n    image: x/kubernetes-prometheus-publisher\n    env:\n\
         \x20   - {name: PROMETHEUS_HOST, value: prometheus}\n    envFrom: [{configMapRef: {name: kafka}}, {secretRef: {name: more}}]\n",
    );
    let map = write(
        "map.json",
        "{\"kind\": \"ConfigMap\", \"metadata\": {\"name\": \"kafka\"}, \"data\": {\"KAFKA_IP\": \"10.0.0.9\"}}",
    );
    let migrate = |paths: &[&str]| {
        let paths = paths.iter().flat_map(|path| ["-f", path]);
        let output = with(&["migrate", "mape"].into_iter().chain(paths).collect::<Vec<_>>(), &[]);
        (text(&output.stdout), text_of(&output))
    };
    let hint = |kind: &str, name: &str| format!("`kubectl get {kind} {name} -o yaml > {name}.yaml`");
    let (printed, said) = migrate(&[&pod]);
    assert!(said.contains(&hint("configmap", "kafka")) && said.contains(&hint("secret", "more")), "{said}");
    assert!(!printed.contains("${KAFKA_IP}"), "{printed}");
    let (printed, said) = migrate(&[&pod, &map]);
    assert!(!said.contains("ConfigMap") && said.contains(&hint("secret", "more")), "{said}");
    assert!(printed.contains("brokers: [\"${KAFKA_IP}:"), "{printed}");
    write("secret.yml", "kind: Secret\nmetadata: {name: more}\ndata: {KAFKA_PORT: OTA5Mw==}\n");
    let (printed, said) = migrate(&[&place.path(".").display().to_string()]);
    assert_eq!(said, "");
    assert!(printed.contains("brokers: [\"${KAFKA_IP}:${KAFKA_PORT}\"]"), "{printed}");
    std::fs::create_dir(place.path("empty")).unwrap();
    let (_, said) = migrate(&[&place.path("empty").display().to_string()]);
    assert!(said.contains("there is no manifest in") && said.contains("hint: they end in .yaml"), "{said}");
}

fn text_of(output: &Output) -> String {
    text(&output.stderr)
}

#[test]
fn values_that_would_not_work_are_refused_in_every_program() {
    let refused = |system: &str, variables: &[(&str, &str)], name: &str| {
        let output = with(&["migrate", system], variables);
        let said = text_of(&output);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), String::new()), "{said}");
        assert!(said.contains(&format!("`{name}`")) && said.contains("hint: "), "{name}: {said}");
    };
    for (variable, value) in [
        ("DEBUG", "yes"),
        ("KAFKA_IP", "kafka://x"),
        ("KAFKA_PORT", "tcp://10.0.0.1:9092"),
        ("KAFKA_KUBERNETES_TOPIC", "a b"),
        ("PROMETHEUS_HOST", "http://p"),
        ("PROMETHEUS_PORT", "0"),
        ("PROMETHEUS_POLLING_STEP", "soon"),
        ("SCHEDULER_SECONDS", "20s"),
    ] {
        refused("mape", &[(variable, value)], variable);
    }
    refused("fluent-bit", &[("EXPORTER_RETENTION_PERIOD", "5 minutes")], "EXPORTER_RETENTION_PERIOD");
    refused("fluent-bit", &[("EXPORTER_NODE_NAME", "Node 1")], "EXPORTER_NODE_NAME");
    refused("fluent-bit", &[("EXPORTER_DESTINATION_DIR", "")], "EXPORTER_DESTINATION_DIR");
    refused("connections", &[], "SOCKET_PATH");
    refused("connections", &[("SOCKET_PATH", "run/x")], "SOCKET_PATH");
    refused("connections", &[("SOCKET_PATH", "/x"), ("remote_collector", "true")], "KUBECONFIG");
    let place = Place::new();
    let file = place.path("alumet.toml");
    for (line, name) in [
        ("poll_interval = \"1h\"", "poll_interval"),
        ("disable_sources = true", "disable_sources"),
        ("annotate_containers = 1", "annotate_containers"),
        ("token_retrieval = \"magic\"", "token_retrieval"),
        ("k8s_api_url = \"kubernetes\"", "k8s_api_url"),
    ] {
        std::fs::write(&file, format!("[plugins.k8s]\n{line}\n")).unwrap();
        let output = with(&["migrate", "alumet", "--config", file.to_str().unwrap()], &[]);
        let said = text_of(&output);
        assert!(output.status.code() == Some(2) && said.contains(&format!("`plugins.k8s.{name}`")), "{said}");
    }
}

#[test]
fn the_examples_of_the_readmes_are_read() {
    let place = Place::new();
    let file = place.path("alumet.toml");
    for retrieval in [
        "token_retrieval = \"kubectl\"",
        "token_retrieval.file = \"/path/to/token\"",
        "token_retrieval.kubectl = {\n    service_account = \"alumet-reader\",\n    namespace = \"alumet\"\n}",
    ] {
        std::fs::write(&file, format!("[plugins.k8s]\nk8s_node = \"minikube\"\nk8s_api_url = \"http://127.0.0.1:8080\"\npoll_interval = \"5s\"\n{retrieval}\n[plugins.influxdb]\ntoken = \"geheim\"\n")).unwrap();
        let arguments = ["migrate", "alumet", "--config", file.to_str().unwrap()];
        let printed = configuration(&arguments, &[], &[]);
        let said = text_of(&with(&arguments, &[]));
        assert!(said.contains("the plugin `influxdb`") && !said.contains("geheim") && !printed.contains("geheim"), "{said}");
    }
    let flags = [
        "migrate",
        "fluent-bit",
        "--",
        "--node-name",
        "my-node",
        "--destination-dir",
        "/var/kube_meta",
        "-retention-period",
        "5m",
    ];
    let printed = configuration(&flags, &[], &[]);
    assert!(printed.contains("node-name: \"my-node\"") && printed.contains("retention: \"5m\""), "{printed}");
}

#[test]
fn whatever_time_is_printed_is_taken() {
    for (time, printed) in [
        ("24h", "1d"),
        ("25h1m", "1d1h1m"),
        ("8760h", "365d"),
        ("+5m", "5m"),
        ("1ms", "1ms"),
        ("1.000001s", "1s1us"),
        ("0", "0s"),
    ] {
        let printed_all = configuration(&["migrate", "fluent-bit", "--", &format!("--retention-period={time}")], &[], &[]);
        assert!(printed_all.contains(&format!("retention: \"{printed}\"")), "{time}\n{printed_all}");
    }
    let output = with(&["migrate", "fluent-bit", "--", "--retention-period=9999999h"], &[]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), String::new()));
    assert!(text_of(&output).contains("`--retention-period`: `9999999h` cannot be used"), "{}", text_of(&output));
}

/// What comes of a manifest with one container of pod-meta-exporter.
fn of_exporter(place: &Place, container: &str, more: &[&str]) -> (Option<i32>, String, String) {
    let manifest = place.path("exporter.yaml");
    let all = "{name: fluent-bit, image: \"fluent/fluent-bit:3\"}";
    std::fs::write(&manifest, format!("kind: Pod\nspec:\n  containers:\n  - {all}\n  - {container}\n")).unwrap();
    let arguments = [&["migrate", "fluent-bit", "--manifest", manifest.to_str().unwrap()], more].concat();
    let output = with(&arguments, &[]);
    (output.status.code(), text(&output.stdout), text_of(&output))
}

#[test]
fn what_another_value_refers_to_is_no_mistake() {
    let place = Place::new();
    let container = "{name: meta, image: \"x/pod-meta-exporter:1\", args: [\"--node-name\", $(NODE_NAME)], \
                     env: [{name: NODE_NAME, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]}";
    let (code, printed, said) = of_exporter(&place, container, &[]);
    assert_eq!((code, said.as_str()), (Some(0), ""));
    assert!(printed.contains("node-name: \"${NODE_NAME}\""), "{printed}");
}

#[test]
fn a_container_that_cannot_be_read_is_an_error() {
    let place = Place::new();
    let shell =
        "{name: meta, image: \"x/pod-meta-exporter:1\", command: [/bin/sh, -c, exec /pod-meta-exporter --retention-period=7m]}";
    let (code, printed, said) = of_exporter(&place, shell, &[]);
    assert_eq!((code, printed.as_str()), (Some(2), ""));
    assert!(said.contains("a command of a shell, which is not read") && said.contains("behind `--`"), "{said}");
    let (code, printed, said) = of_exporter(&place, shell, &["--", "--retention-period=7m"]);
    assert!(code == Some(0) && printed.contains("retention: \"7m\"") && said.is_empty(), "{said}{printed}");

    let plain = "{name: meta, image: \"x/pod-meta-exporter:1\"}";
    let (code, printed, said) = of_exporter(&place, plain, &["--container", "fluent-bit"]);
    assert_eq!((code, printed.as_str()), (Some(2), ""));
    assert!(said.contains("the container `fluent-bit` is no `pod-meta-exporter`"), "{said}");
    let other = "{name: meta, image: \"x/y:1\", args: [-retention-period=7m]}";
    let (code, printed, said) = of_exporter(&place, other, &[]);
    assert!(code == Some(0) && printed.contains("retention: \"7m\""), "known by its flags: {said}");
}
