//! The configuration as users meet it: every mistake at once with line, cause and cure; the reference page; the READMEs' examples.

mod support;

use std::path::{Path, PathBuf};

use support::{Place, sluicebox};

fn check(text: &str) -> (Option<i32>, String) {
    let place = Place::new();
    let path = place.path("sluicebox.yaml");
    std::fs::write(&path, text).unwrap();
    let output = sluicebox(&["check", path.to_str().unwrap()]);
    let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.code(), said.replace(path.to_str().unwrap(), "FILE"))
}

#[test]
fn all_mistakes_are_named_at_once_with_line_cause_and_cure() {
    let (code, said) = check(
        "node-name: n1
kubernetes:
  access: urll
sources:
  pods: {scope: nod}
  servicess: {}
modules:
  a:
    use: galileo-event
    to: [outt]
    batch: 0
  b:
    use: fluent-bit-meta
    settings: {retention: soon}
    to: [out]
  c:
    use: ./missing.wasm
    to: [out]
sinks:
  out: {stdouts: {}}
  two: {stdout: {}, files: {directory: /tmp/x}}
admin:
  listen: ${SLUICEBOX_NOT_SET}
",
    );
    assert_eq!(code, Some(2), "{said}");
    let expected = [
        ("line 3: `kubernetes.access`: unknown variant `urll`", "did you mean `url`?"),
        ("line 5: `sources.pods.scope`: unknown variant `nod`", "did you mean `node`?"),
        ("line 6: `sources.servicess`: unknown field `servicess`", "did you mean `services`?"),
        ("line 9: `modules.a.use`: there is no preset `galileo-event`", "did you mean `galileo-events`?"),
        ("line 10: `modules.a.to.0`: there is no sink `outt`", "name one of those there: `out`, `two`"),
        ("line 11: `modules.a.batch`: 0 is not between 1 and 4096", "leave it out for 64"),
        ("line 14: `modules.b.settings`: ", "retention"),
        ("line 17: `modules.c.use`: cannot read ./missing.wasm", "does the file exist"),
        ("line 20: `sinks.out.stdouts`: unknown field `stdouts`", "did you mean `stdout`?"),
        ("line 21: `sinks.two`: a sink is exactly one of", "name one kind"),
        ("line 23: the environment variable `SLUICEBOX_NOT_SET` is not set", "${SLUICEBOX_NOT_SET:-…}"),
        ("line 23: `admin.listen`: invalid socket address syntax", "give an address and a port"),
    ];
    assert_named(&said, &expected);
}

/// Every mistake is there with its cure behind it, in this order.
#[track_caller]
fn assert_named(said: &str, expected: &[(&str, &str)]) {
    let mut rest = said;
    for (mistake, cure) in expected {
        let begin = rest.find(mistake).unwrap_or_else(|| panic!("`{mistake}` is missing, or not in its order, in:\n{said}"));
        rest = rest.get(begin..).unwrap();
        assert!(rest.contains(cure), "`{cure}` does not follow `{mistake}` in:\n{said}");
    }
    assert_eq!(said.matches("error: FILE").count(), expected.len(), "{said}");
}

#[test]
fn mistakes_about_samples_and_their_sinks_are_named() {
    let (code, said) = check(
        "node-name: n1
sources:
  cgroups:
    period: 1ms
    root: relative
    levels: []
    metrics: []
    wait: 1h
    max-cgroups: 0
    kubernetes: false
    node: other
    of: kubernetes
  pods: {}
modules:
  lines: {use: json-lines, to: [a]}
  samples:
    use: fluent-bit-meta
    from: [cgroups]
    to: [a]
  both:
    use: fluent-bit-meta
    from: [pods, cgroups]
    to: [a]
sinks:
  a: {stdout: {}, kafka: {brokers: [\"b:9092\"]}}
  nobody: {kafka: {brokers: []}}
  none: {kafka: {topic: t}}
  odd:
    kafka:
      brokers: [b]
      topic: no topic
      acks: leader
      sasl-mechanism: plain
      extra: {bootstrap.servers: x}
  page: {prometheus: {listen: \"0.0.0.0:0\", path: metrics}}
  lines:
    files:
      directory: /tmp/x
      append: {file: a/b, max-bytes: 0B, keep: 5000}
",
    );
    assert_eq!(code, Some(2), "{said}");
    let expected = [
        ("line 4: `sources.cgroups.period`: 1ms is too often", "write at least 100ms"),
        ("line 5: `sources.cgroups.root`: `relative` is not absolute", "write `/`"),
        ("line 6: `sources.cgroups.levels`: is empty", "write `pod`, `container` or both"),
        ("line 7: `sources.cgroups.metrics`: is empty", "write a group such as `cpu`"),
        ("line 8: `sources.cgroups.wait`: 1h is too long", "write at most 10m"),
        ("line 9: `sources.cgroups.max-cgroups`: 0 is not between 1 and 100000", "such as 5000"),
        ("line 11: `sources.cgroups.node`: is given, but no pods are asked for", "remove it, or write `kubernetes: true`"),
        ("line 17: `modules.samples.use`: the module handles no events of cgroups", "`sluicebox modules NAME`"),
        ("line 22: `modules.both.from`: the module does not handle cgroups", "remove `cgroups` from the list"),
        ("line 25: `sinks.a`: a sink is exactly one of", "name one kind"),
        ("line 26: `sinks.nobody.kafka.brokers`: there is none", "write each as `host:port`"),
        ("line 27: `sinks.none.kafka`: missing field `brokers`", "add `brokers: …` here"),
        ("line 30: `sinks.odd.kafka.brokers`: this is no address of a broker", "such as `kafka:9092`"),
        ("line 31: `sinks.odd.kafka.topic`: the topic `no topic` has a character", "letters, digits"),
        ("line 32: `sinks.odd.kafka.acks`: idempotence needs `acks: all`", "say `idempotence: false`"),
        ("line 33: `sinks.odd.kafka.sasl-mechanism`: `username` is missing", "a user and a password"),
        ("line 33: `sinks.odd.kafka.sasl-mechanism`: there is no password", "give `password-file`"),
        ("line 34: `sinks.odd.kafka.extra.bootstrap.servers`: this is not for `extra`", "a field says it"),
        ("line 35: `sinks.page.prometheus.listen`: nobody would know which port", "name a port"),
        ("line 35: `sinks.page.prometheus.path`: this is no path of a page", "begin it with `/`"),
        ("line 39: `sinks.lines.files.append.file`: ", "name a file of the directory"),
        ("line 39: `sinks.lines.files.append.max-bytes`: no line fits", "leave it out for 64MiB"),
        ("line 39: `sinks.lines.files.append.keep`: each rotation would rename up to 5000", "keep 1000 at most"),
    ];
    assert_named(&said, &expected);
}

#[test]
fn mistakes_about_what_works_for_the_cluster_are_named() {
    let (code, said) = check(
        "node-name: n1
lease:
  name: My Lease
  duration: 10s
  retry-period: 10s
  renew: 5s
sources:
  pods: {scope: cluster}
  cgroups: {}
modules:
  a:
    use: galileo-events
    scope: cluster
    from: [pods, cgroups]
    to: [out]
  b: {use: json-lines, scope: nodes, to: [out]}
  right: {use: galileo-events, scope: cluster, to: [out]}
sinks:
  out: {stdout: {}}
",
    );
    assert_eq!(code, Some(2), "{said}");
    let expected = [
        ("line 2: `lease.renew-deadline`: 10s is not shorter than `duration`", "two thirds of `duration`"),
        ("line 3: `lease.name`: `My Lease` is no Kubernetes name", "lower-case letters"),
        ("line 5: `lease.retry-period`: 10s is not shorter than `renew-deadline`", "a fifth of `renew-deadline`"),
        ("line 6: `lease.renew`: unknown field `renew`", "`renew-deadline`"),
        ("line 13: `modules.a.scope`: a module for the whole cluster cannot be fed by `cgroups`", "leave `scope` out"),
        ("line 16: `modules.b.scope`: unknown variant `nodes`", "did you mean `node`?"),
    ];
    assert_named(&said, &expected);
}

#[test]
fn a_module_for_the_cluster_with_nothing_to_feed_it_is_named() {
    let text = |of: &str| {
        format!(
            "node-name: n1\nsources: {{cgroups: {{}}{of}}}\nmodules: {{a: {{use: json-lines, scope: cluster, to: [o]}}}}\nsinks: {{o: {{stdout: {{}}}}}}\n"
        )
    };
    let (code, said) = check(&text(""));
    assert!(
        code == Some(2) && said.contains("`modules.a.scope`: a module for the whole cluster cannot be fed by `cgroups`"),
        "{said}"
    );
    let (code, said) = check(&text(", namespaces: {}"));
    assert!(code == Some(0) && said.contains("from namespaces to o"), "{said}");
}

#[test]
fn words_that_samples_and_their_sinks_do_not_know_are_named() {
    let (code, said) = check(
        "node-name: n1
sources:
  cgroups:
    period: 11m
    levels: [pods]
    metrics: [cpu, disk]
    when-unknown: ignore
    of: kubernets
modules:
  lines: {use: json-lines, to: [a]}
sinks:
  a: {stdout: {}}
  k: {kafka: {broker: [\"b:9092\"]}}
  l: {kafka: {brokers: [\"b:9092\"], compression: zip}}
  p: {prometheus: {listen: prometheus}}
  f: {files: {directory: /tmp/x, append: {}}}
",
    );
    assert_eq!(code, Some(2), "{said}");
    let expected = [
        ("line 4: `sources.cgroups.period`: 11m is too rare", "write at most 10m"),
        ("line 5: `sources.cgroups.levels.0`: unknown variant `pods`", "did you mean `pod`?"),
        ("line 6: `sources.cgroups.metrics.1`: unknown variant `disk`", "`cpu`, `memory`, `pids`, `io`, `pressure`, `network`"),
        ("line 7: `sources.cgroups.when-unknown`: unknown variant `ignore`", "`drop` or `path`"),
        ("line 8: `sources.cgroups.of`: unknown variant `kubernets`", "did you mean `kubernetes`?"),
        ("line 13: `sinks.k.kafka.broker`: unknown field `broker`", "did you mean `brokers`?"),
        ("line 13: `sinks.k.kafka`: missing field `brokers`", "add `brokers: …` here"),
        ("line 14: `sinks.l.kafka.compression`: unknown variant `zip`", "did you mean `gzip`?"),
        ("line 15: `sinks.p.prometheus.listen`: invalid socket address", "give an address and a port"),
        ("line 15: `sinks.p.prometheus.expire-after`: after 5m series expire that `sources.cgroups` measures every 11m", "22m"),
        ("line 16: `sinks.f.files.append`: missing field `file`", "add `file: …` here"),
    ];
    assert_named(&said, &expected);
}

#[test]
fn what_two_parts_cannot_both_have_is_named() {
    let (code, said) = check(
        "node-name: n1
sources: {pods: {}}
modules: {lines: {use: json-lines, to: [a]}}
sinks:
  a: {files: {directory: /tmp/x, append: {file: lines}}}
  b: {files: {directory: /tmp/x/}}
  page: {prometheus: {listen: \"0.0.0.0:9420\"}}
  pages: {prometheus: {}}
  third: {prometheus: {listen: \"127.0.0.1:9091\"}}
  waits: {kafka: {brokers: [\"b:9092\"], message-timeout: 40s}}
",
    );
    assert_eq!(code, Some(2), "{said}");
    let expected = [
        (
            "line 6: `sinks.b.files.directory`: `sinks.a` writes to this directory, and only one sink can",
            "a directory of its own",
        ),
        (
            "line 7: `sinks.page.prometheus.listen`: `0.0.0.0:9420` is taken: `admin` listens on `127.0.0.1:9420`",
            "name another port",
        ),
        ("line 9: `sinks.third.prometheus.listen`: `127.0.0.1:9091` is taken: `sinks.pages` listens on", "name another port"),
        ("line 10: `sinks.waits.kafka.message-timeout`: 40s is not shorter", "a longer `write-deadline`"),
    ];
    assert_named(&said, &expected);
}

#[test]
fn mistakes_about_attributes_and_the_inventory_are_named() {
    let (code, said) = check(
        "node-name: n1
sources:
  pods: {attributes: {zone: metadata/labels/zone, Team: /a}}
  services:
    page-size: 0
    attributes: {a: /b~2}
  namespaces: {attributes: {a: 3}}
  nodes:
    attributes: [zone]
  inventory:
    period: 10ms
    host-proc: proc
    node: Not_A_Node
    owner: true
    attributes:
      pods: {app: labels}
      node: {zone_: /metadata/labels/zone}
      nodes: {}
modules:
  lines: {use: json-lines, to: [a]}
  telemd: {use: telemd, from: [inventory], to: [a]}
sinks: {a: {stdout: {}}}
",
    );
    assert_eq!(code, Some(2), "{said}");
    let expected = [
        ("line 3: `sources.pods.attributes`: `Team` is no name of an attribute", "letters a to z, digits and `-`"),
        (
            "line 3: `sources.pods.attributes.zone`: `metadata/labels/zone` does not begin with `/`",
            "such as `/metadata/labels/app`",
        ),
        ("line 5: `sources.services.page-size`: is zero", "write a number such as 250"),
        ("line 6: `sources.services.attributes.a`: `/b~2` has a `~` that stands for nothing", "write `~1` for a slash"),
        ("line 7: `sources.namespaces.attributes.a`: invalid type: integer `3`", "put it in quotes"),
        ("line 9: `sources.nodes.attributes`: invalid type: sequence, expected a map", ""),
        ("line 11: `sources.inventory.period`: 10ms is too often", "write at least 1s"),
        ("line 12: `sources.inventory.host-proc`: `proc` is not absolute", "such as `/host/proc`"),
        ("line 13: `sources.inventory.node`: `Not_A_Node` is no name of a node", "as `kubectl get nodes` shows it"),
        ("line 14: `sources.inventory.owner`: unknown field `owner`", "did you mean `owners`?"),
        ("line 16: `sources.inventory.attributes.pods.app`: `labels` does not begin with `/`", "such as `/metadata/labels/app`"),
        ("line 17: `sources.inventory.attributes.node`: `zone_` is no name of an attribute", "letters a to z"),
        ("line 18: `sources.inventory.attributes.nodes`: unknown field `nodes`", "did you mean `node`?"),
        ("line 21: `modules.telemd.use`: the module handles no events of inventory", "`sluicebox modules NAME`"),
    ];
    assert_named(&said, &expected);
}

#[test]
fn mistakes_about_the_tracer_are_named() {
    let (code, said) = check(
        "node-name: n1
sources:
  tracer:
    socket: tracer.sock
    path: connections
    client-id: a b
    period: 1ms
    timeout: 1h
    user-ids: []
    direction-codes: guess
    max-connections: 0
    cluster-cidrs: [10.96.0.0]
    host-proc: proc
    attributes: {pods: {app: labels}}
    sockets: 2
modules: {lines: {use: json-lines, to: [a]}, meta: {use: fluent-bit-meta, from: [tracer], to: [a]}}
sinks: {a: {stdout: {}}}
",
    );
    assert_eq!(code, Some(2), "{said}");
    let expected = [
        ("line 4: `sources.tracer.socket`: `tracer.sock` is not absolute", "such as `/var/run/network-tracer.sock`"),
        ("line 5: `sources.tracer.path`: `connections` is no path of a request", "such as `/connections`"),
        ("line 6: `sources.tracer.client-id`: `a b` is no client id", "letters, digits"),
        ("line 7: `sources.tracer.period`: 1ms is too short or too long", "write 100ms to 10m"),
        ("line 8: `sources.tracer.timeout`: 1h is too short or too long", "write 10ms to 10m"),
        ("line 9: `sources.tracer.user-ids`: is empty: nobody could be connected to", "name a user id, such as 0"),
        ("line 10: `sources.tracer.direction-codes`: unknown variant `guess`", ""),
        ("line 11: `sources.tracer.max-connections`: 0 is not between 1 and 1000000", "leave it out for 100000"),
        ("line 12: `sources.tracer.cluster-cidrs.0`: `10.96.0.0` is no range of addresses", "such as `10.96.0.0/12`"),
        ("line 13: `sources.tracer.host-proc`: `proc` is not absolute", "such as `/host/proc`"),
        ("line 14: `sources.tracer.attributes.pods.app`: `labels` does not begin with `/`", "such as `/metadata/labels/app`"),
        ("line 15: `sources.tracer.sockets`: unknown field `sockets`", "did you mean `socket`?"),
        ("line 16: `modules.meta.use`: the module handles no events of tracer", "`sluicebox modules NAME`"),
    ];
    assert_named(&said, &expected);
    let (code, said) =
        check("node-name: n1\nsources: {tracer: {}}\nmodules: {lines: {use: json-lines, to: [a]}}\nsinks: {a: {stdout: {}}}\n");
    assert_eq!(code, Some(2), "{said}");
    assert_named(
        &said,
        &[("line 2: `sources.tracer.socket`: is missing: nothing says where the tracer is", "write the path of its Unix socket")],
    );
}

#[test]
fn mistakes_about_config_maps_are_named() {
    let (code, said) = check(
        "node-name: n1
sources: {pods: {}}
modules: {lines: {use: json-lines, to: [a]}}
sinks:
  a: {config-maps: {name: edges, shards: 2}}
  b: {config-maps: {name: edges-1}}
  c: {config-maps: {name: edges, owner: somebody}}
  d: {config-maps: {name: edges, namespace: other}}
  slow: {config-maps: {period: 1m}}
  names: {config-maps: {name: Edges_1, namespace: a.b, owner: a/b}}
  numbers: {config-maps: {budget: 1MiB, shards: 65, expire-after: 1ms, resync: 0s, abandoned-after: 1s}}
  words: {config-maps: {nam: edges}}
  both: {config-maps: , stdout: }
  old: {redis: {url: \"redis://h\", expire-after: 10ms}}
",
    );
    assert_eq!(code, Some(2), "{said}");
    let expected = [
        ("line 3: `modules.lines.to.0`: `a` would refuse every message of `json-lines`", "name a sink of messages"),
        (
            "line 6: `sinks.b.config-maps.name`: `sinks.a` writes to the ConfigMap `default/edges-1`, too",
            "a ConfigMap of its own",
        ),
        (
            "line 9: `sinks.slow.config-maps.period`: 1m is not shorter than the sink's `write-deadline` of 30s",
            "a shorter period",
        ),
        ("line 10: `sinks.names.config-maps.namespace`: `a.b` is not the name of a namespace", "at most 63 small letters"),
        ("line 10: `sinks.names.config-maps.name`: `Edges_1` cannot be the name of a ConfigMap", "small letters"),
        ("line 10: `sinks.names.config-maps.owner`: not a usable name", "use 1 to 253 letters"),
        ("line 11: `sinks.numbers.config-maps.shards`: 65 is not between 1 and 64", "leave it out for 1"),
        ("line 11: `sinks.numbers.config-maps.budget`: 1MiB is not between 256B and 900KiB", "leave it out for 512KiB"),
        ("line 11: `sinks.numbers.config-maps.expire-after`: 1ms is shorter than 1s", "or leave it out for never"),
        ("line 11: `sinks.numbers.config-maps.resync`: 0s is shorter than 1s", "leave it out for 1m"),
        ("line 11: `sinks.numbers.config-maps.abandoned-after`: 1s is shorter than 1m", "or leave it out for never"),
        ("line 12: `sinks.words.config-maps.nam`: unknown field `nam`", "did you mean `name`?"),
        (
            "line 13: `sinks.both`: a sink is exactly one of `redis`, `kafka`, `files`, `config-maps`, `prometheus`, `stdout`",
            "name one kind",
        ),
        ("line 14: `sinks.old.redis.expire-after`: 10ms is shorter than 1s", "or leave it out for never"),
    ];
    assert_named(&said, &expected);
    assert!(!said.contains("`sinks.c") && !said.contains("`sinks.d"), "another owner, or another namespace: {said}");
}

#[test]
fn a_right_configuration_is_said_to_be_right() {
    let (code, said) =
        check("node-name: n1\nsources: {pods: }\nmodules: {a: {use: json-lines, to: [out]}}\nsinks: {out: {stdout: }}\n");
    assert_eq!((code, said.as_str()), (Some(0), "FILE is right: a (json-lines from pods to out)\n"));
}

#[test]
fn an_empty_configuration_says_what_to_add() {
    let (code, said) = check("");
    assert_eq!(code, Some(2));
    for part in ["no source is configured", "no module is configured", "no sink is configured", "sources: {pods: {}}"] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn a_missing_file_is_named_and_exits_2_for_run_as_well() {
    for command in ["run", "check"] {
        let output = sluicebox(&[command, "/no/such/file.yaml"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(said.contains("/no/such/file.yaml") && said.contains("hint"), "{said}");
    }
}

#[test]
fn the_reference_page_is_true() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("CONFIGURATION.md");
    let output = sluicebox(&["schema", "--reference"]);
    let expected = String::from_utf8(output.stdout).unwrap();
    let written = std::fs::read_to_string(&page).unwrap_or_default();
    assert!(
        written == expected,
        "host/CONFIGURATION.md is out of date: run `cargo run -p sluicebox -- schema --reference > host/CONFIGURATION.md`"
    );
}

#[test]
fn every_field_of_the_schema_is_explained() {
    let output = sluicebox(&["schema"]);
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut unexplained = Vec::new();
    look(&schema, "", &mut unexplained);
    assert!(unexplained.is_empty(), "no text for {unexplained:?}");
    assert!(schema["properties"]["modules"].is_object());
}

/// Collects the fields that have no description, neither of their own nor of their type.
fn look(value: &serde_json::Value, path: &str, unexplained: &mut Vec<String>) {
    if let Some(fields) = value.get("properties").and_then(serde_json::Value::as_object) {
        for (name, field) in fields {
            if field.get("description").is_none() {
                unexplained.push(format!("{path}/{name}"));
            }
        }
    }
    match value {
        serde_json::Value::Object(fields) => {
            for (name, inner) in fields {
                look(inner, &format!("{path}/{name}"), unexplained);
            }
        }
        serde_json::Value::Array(items) => {
            for inner in items {
                look(inner, path, unexplained);
            }
        }
        _ => {}
    }
}

/// The YAML blocks of a README: each is a whole configuration.
fn examples(readme: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(readme).unwrap();
    text.split("```yaml\n").skip(1).filter_map(|block| block.split("```").next()).map(str::to_owned).collect()
}

/// The READMEs of the project and of every preset.
fn readmes() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let modules = std::fs::read_dir(root.join("modules")).unwrap().map(|entry| entry.unwrap().path());
    let presets = modules.filter(|folder| folder.join("Cargo.toml").is_file() && !folder.ends_with("hostile"));
    let mut readmes: Vec<PathBuf> = presets.map(|folder| folder.join("README.md")).collect();
    readmes.push(root.join("README.md"));
    readmes
}

#[test]
fn the_examples_in_the_readmes_are_right() {
    for readme in readmes() {
        let found = examples(&readme);
        assert!(!found.is_empty(), "{} has no configuration", readme.display());
        for example in found {
            let (code, said) = check(&format!("node-name: n1\n{}", example.replace("node-name: ${NODE_NAME}\n", "")));
            assert_eq!(code, Some(0), "{}:\n{example}\n{said}", readme.display());
        }
    }
}

#[test]
fn modules_are_listed_and_described() {
    let list = String::from_utf8(sluicebox(&["modules"]).stdout).unwrap();
    for preset in ["galileo-events", "fluent-bit-meta", "json-lines", "mape-kafka", "pod-metrics", "telemd"] {
        assert!(list.contains(preset), "{list}");
    }
    let page = String::from_utf8(sluicebox(&["modules", "pod-metrics"]).stdout).unwrap();
    for part in ["handles   subjects, samples\n", "sluicebox:module/sample-handler@0.2.0", "sluicebox:module/subjects@0.2.0"] {
        assert!(page.contains(part), "`{part}` is not in:\n{page}");
    }
    let page = String::from_utf8(sluicebox(&["modules", "galileo-events"]).stdout).unwrap();
    for part in ["weighs", "sha256:", "sluicebox:module/pod-handler@0.2.0", "sluicebox:module/log@0.2.0", "pods, objects"] {
        assert!(page.contains(part), "`{part}` is not in:\n{page}");
    }
    let missing = sluicebox(&["modules", "./missing.wasm"]);
    assert_eq!(missing.status.code(), Some(2));
}
