//! What is neither printed nor passed over: passwords, and settings that mean something elsewhere.

use std::fs::File;
use std::process::Command;

use crate::{Place, binary, configuration, text, text_of, with};

/// What is printed and said of Alumet's file.
fn alumet(place: &Place, file: &str) -> (Option<i32>, String, String) {
    let path = place.path("alumet.toml");
    std::fs::write(&path, file).unwrap();
    let output = with(&["migrate", "alumet", "--config", path.to_str().unwrap()], &[]);
    (output.status.code(), text(&output.stdout), text_of(&output))
}

#[test]
fn a_password_is_printed_nowhere() {
    let place = Place::new();
    for url in ["https://user:s3cret@h:6443", "https://h:6443/?token=s3cret", "https://user:s3cret@${HOST}:6443"] {
        let (code, printed, said) = alumet(&place, &format!("[plugins.k8s]\nk8s_api_url = \"{url}\"\n"));
        assert_eq!((code, printed.as_str()), (Some(2), ""));
        assert!(said.contains("`plugins.k8s.k8s_api_url`") && !said.contains("s3cret"), "{said}");
    }
    let output = with(&["migrate", "mape"], &[("KAFKA_IP", "me:s3cret@kafka"), ("PROMETHEUS_HOST", "me:s3cret@p/x")]);
    let said = text_of(&output);
    assert!(output.status.code() == Some(2) && said.contains("`…@kafka`") && !said.contains("s3cret"), "{said}");

    let manifest = place.path("old.yaml");
    let env = "{name: H, valueFrom: {configMapKeyRef: {name: c, key: h}}}, {name: KAFKA_IP, value: \"me:s3cret@$(H)\"}";
    let image = "kubernetes-prometheus-publisher";
    std::fs::write(&manifest, format!("kind: Pod\nspec:\n  containers:\n  - {{name: a, image: {image}, env: [{env}]}}\n"))
        .unwrap();
    let output = with(&["migrate", "mape", "--manifest", manifest.to_str().unwrap()], &[]);
    let said = text_of(&output);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), String::new()));
    assert!(said.contains("`KAFKA_IP`: `…@${H}` cannot be used") && !said.contains("s3cret"), "{said}");

    for (system, image, variable, others, set) in [
        ("mape", "kubernetes-prometheus-publisher", "PROMETHEUS_HOST", "", "H"),
        (
            "galileo",
            "telemd-kubernetes-adapter",
            "telemd_kubernetes_adapter_redis_host",
            ", {name: telemd_kubernetes_adapter_redis_port, value: \"6379\"}, {name: telemd_kubernetes_adapter_location, value: cluster}",
            "H",
        ),
    ] {
        let host = "{name: H, valueFrom: {configMapKeyRef: {name: c, key: h}}}";
        let env = format!("{host}, {{name: {variable}, value: \"me:s3cret@$(H)\"}}{others}");
        std::fs::write(&manifest, format!("kind: Pod\nspec:\n  containers:\n  - {{name: a, image: {image}, env: [{env}]}}\n"))
            .unwrap();
        let arguments = ["migrate", system, "--manifest", manifest.to_str().unwrap()];
        let printed = configuration(&arguments, &[], &[(set, "10.0.0.9"), ("REDIS_PASSWORD", "x")]);
        assert!(printed.contains("//${H}:") && printed.contains("username: \"me\"") && !printed.contains("s3cret"), "{printed}");
    }
}

#[test]
fn a_value_of_alumet_that_check_would_refuse_is_an_error() {
    let place = Place::new();
    for (lines, name) in [
        ("[plugins.prometheus-exporter]\nhost = \"collector.lab\"", "plugins.prometheus-exporter.host"),
        ("[plugins.csv]\noutput_path = \"/\"", "plugins.csv.output_path"),
        ("[plugins.csv]\noutput_path = \"/srv/..\"", "plugins.csv.output_path"),
        ("token_retrieval.kubectl.service_account = \"a b\"", "plugins.k8s.token_retrieval.kubectl.service_account"),
        ("k8s_api_url = \"https://\"", "what would be printed is not right"),
    ] {
        let (code, printed, said) = alumet(&place, &format!("[plugins.k8s]\n{lines}\n"));
        assert_eq!((code, printed.as_str()), (Some(2), ""), "{lines}: {said}");
        assert!(said.contains(name) && said.contains("hint: "), "{said}");
    }
    for (host, listen) in [("localhost", "127.0.0.1:9091"), ("::1", "[::1]:9091"), ("[::]", "[::]:9091")] {
        let (code, printed, said) = alumet(&place, &format!("[plugins.k8s]\n[plugins.prometheus-exporter]\nhost = \"{host}\"\n"));
        assert!(code == Some(0) && printed.contains(&format!("listen: \"{listen}\"")), "{said}{printed}");
    }
}

#[test]
fn what_alumet_s_file_says_besides_is_named() {
    let place = Place::new();
    let file = "max_update_interval = \"500ms\"\n[pipeline]\nx = 1\n[plugins.k8s]\nenabled = false\npoll_interval = \"7s\"\n[plugins.csv]\nenable = false\n";
    let (code, printed, said) = alumet(&place, file);
    assert!(code == Some(0) && printed.contains("period: \"7s\"") && !printed.contains("csv:"), "{printed}");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(
        lines,
        [
            "warning: `max_update_interval` stands outside of `[plugins.…]`: it is not in this configuration",
            "warning: `pipeline` stands outside of `[plugins.…]`: it is not in this configuration",
            "warning: the plugin `csv` was switched off (`enable = false`): it is left out",
            "warning: the plugin `k8s` was switched off (`enabled = false`): this configuration measures all the same",
        ]
    );
}

#[test]
fn a_configuration_that_could_not_be_written_is_an_error() {
    let full = File::create("/dev/full").unwrap();
    let output = Command::new(binary()).args(["migrate", "mape"]).env_clear().stdout(full).output().unwrap();
    let said = text_of(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("error: cannot write to standard output: No space left on device"), "{said}");
}

#[test]
fn a_mark_in_front_of_a_file_is_no_part_of_it() {
    let place = Place::new();
    let file = place.path("old.env");
    std::fs::write(&file, "\u{feff}KAFKA_IP=10.0.0.9\n").unwrap();
    let arguments = ["migrate", "mape", "--env-file", file.to_str().unwrap()];
    let printed = configuration(&arguments, &[], &[]);
    assert!(printed.contains("brokers: [\"10.0.0.9:9092\"]"), "{printed}");
    assert_eq!(text_of(&with(&arguments, &[])), "");
}
