//! `sluicebox migrate --in-pod`: what takes the place of an overlay's `sluicebox.yaml` in the manifests of `deploy/`.

mod support;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use support::binary;

/// The overlay whose pods an old program's configuration is for, and settings without which the program did not start.
const SYSTEMS: [(&str, &str, &str); 5] = [
    (
        "galileo",
        "galileo-cluster",
        "telemd_kubernetes_adapter_redis_host=redis\ntelemd_kubernetes_adapter_redis_port=6379\ntelemd_kubernetes_adapter_location=cluster\n",
    ),
    ("fluent-bit", "fluent-bit/daemonset", "EXPORTER_RETENTION_PERIOD=5m\n"),
    ("mape", "mape", "DEBUG=1\n"),
    ("connections", "connections", "SOCKET_PATH=/network/var/run/network-tracer.sock\n"),
    ("alumet", "alumet", "[plugins.k8s]\n[plugins.prometheus-exporter]\n"),
];

/// Keys at the top that say what the manifests count on.
const SURROUNDINGS: [&str; 6] = ["admin", "memory", "compiler", "reload", "state-directory", "cache-directory"];

fn run(arguments: &[&str], given: &str, environment: &[(&str, &str)]) -> String {
    let mut program = Command::new(binary());
    program.args(arguments).env_clear().envs(environment.iter().copied());
    let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(given.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}\n{given}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn migrated(system: &str, given: &str) -> String {
    let from = match system {
        "alumet" => ["--config", "-"],
        _ if given.contains("kind:") => ["--manifest", "-"],
        _ => ["--env-file", "-"],
    };
    let printed = run(&["migrate", system, "--in-pod", from[0], from[1]], given, &[]);
    run(&["check", "-"], &printed, &[("NODE_NAME", "n1"), ("REDIS_HOST", "redis")]);
    printed
}

fn overlay(name: &str) -> String {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../deploy/kustomize/overlays/{name}/sluicebox.yaml"));
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

#[test]
fn what_manifests_count_on_is_as_in_the_overlay_of_the_system() {
    for (system, of, given) in SYSTEMS {
        let (printed, overlay) = (migrated(system, given), overlay(of));
        for key in SURROUNDINGS {
            let line = |text: &str| text.lines().find(|line| line.starts_with(&format!("{key}:"))).map(str::to_owned);
            assert!(line(&printed).is_some() && line(&printed) == line(&overlay), "{system}, {key}:\n{printed}");
        }
        assert!(printed.contains("\nlog: {format: json"), "{system}:\n{printed}");
        assert!(!printed.contains("\nlease:"), "of several replicas one works\n{printed}");
        assert!(printed.starts_with("# What ") && printed.contains(&format!("migrate {system} --in-pod`")), "{printed}");
    }
    assert!(migrated("mape", "DEBUG=1\n").contains("\nlog: {format: json, level: debug}\n"));
    let root = |text: &str| text.contains("root: /host");
    assert!(root(&migrated("alumet", SYSTEMS[4].2)) && root(&overlay("alumet")), "where its pods see the host's cgroups");
}

#[test]
fn the_node_is_what_the_manifests_say_and_not_what_the_old_pod_knew() {
    let manifest = |variable: &str, value: &str| {
        format!(
            "kind: DaemonSet\nspec: {{template: {{spec: {{containers: [{{name: cluster-monitoring, env: [\
             {{name: SOCKET_PATH, value: /a.sock}}, {{name: {variable}, {value}}}]}}]}}}}}}\n"
        )
    };
    let printed = migrated("connections", &manifest("HOSTNAME", "valueFrom: {fieldRef: {fieldPath: spec.nodeName}}"));
    assert!(!printed.contains("node-name") && printed.contains("nothing: the manifests say which node it is"), "{printed}");
    let printed = migrated("connections", &manifest("HOSTNAME", "value: edge-7"));
    assert!(printed.contains("node-name: \"edge-7\""), "what was written down stays\n{printed}");
}

#[test]
fn without_it_nothing_is_said_of_pods() {
    let printed = run(&["migrate", "mape", "--env-file", "-"], "DEBUG=0\n", &[]);
    let keys: Vec<&str> = printed.lines().filter_map(|line| line.split_once(':')).map(|(key, _)| key).collect();
    assert!(SURROUNDINGS.iter().all(|key| !keys.contains(key)) && printed.contains("lease: {enabled: false}"), "{printed}");
}
