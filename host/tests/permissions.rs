//! `sluicebox check --permissions`: what it lists is what the program asks for, no less and no more, as a real API server with RBAC saw it.

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use hyper::http::Method;
use serde_json::{Value, json};
use sluicebox::config::yaml::parse;
use sluicebox_testkit::kubelet::Kubelet;
use sluicebox_testkit::servers::{KubeApiServer, Need, pod, require};
use sluicebox_testkit::tracer::{Answer, SIX, Tracer};
use support::{PATIENCE, Place, SLOW, binary};

/// Everything that asks the API server.
fn configuration(socket: &Path, processes: &Path, root: &Path) -> String {
    format!(
        "lease: {{duration: 3s, renew-deadline: 2s, retry-period: 500ms}}\n\
         reload: {{kubernetes-events: true, poll: 200ms}}\n\
         sources:\n  pods: {{}}\n  services: {{}}\n  namespaces: {{}}\n  nodes: {{}}\n  inventory: {{period: 1s}}\n\
         \x20 tracer: {{socket: {}, period: 500ms, host-proc: {}}}\n\
         \x20 cgroups: {{period: 1s, root: {}, metrics: [cpu, memory]}}\n\
         modules:\n\
         \x20 metadata: {{use: pod-metadata, settings: {{details: true}}, to: [cluster]}}\n\
         \x20 transactions: {{use: connection-transactions, to: [cluster]}}\n\
         \x20 events: {{use: galileo-events, scope: cluster, from: [pods, nodes], to: [lines]}}\n\
         \x20 names: {{use: json-lines, from: [namespaces], to: [lines]}}\n\
         \x20 usage: {{use: pod-metrics, from: [cgroups], to: [lines]}}\n\
         sinks:\n  cluster: {{config-maps: {{namespace: default, period: 1s}}}}\n  lines: {{stdout: {{}}}}\n",
        socket.display(),
        processes.display(),
        root.display(),
    )
}

/// A server that writes down what is asked by the user `nobody`.
struct Watched {
    server: KubeApiServer,
    log: PathBuf,
    kubeconfig: String,
}

impl Watched {
    async fn start(place: &Place) -> Self {
        let (policy, log) = (place.path("policy.yaml"), place.path("audit.log"));
        let text = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n  users: [nobody]\n- level: None\n";
        std::fs::write(&policy, text).unwrap();
        let (policy, path) = (format!("--audit-policy-file={}", policy.display()), format!("--audit-log-path={}", log.display()));
        let server = KubeApiServer::start_with(&[&policy, &path]).await.unwrap();
        let kubeconfig = server.kube_config(server.unprivileged_token()).unwrap().display().to_string();
        Self { server, log, kubeconfig }
    }

    fn configure(&self, place: &Place, rest: &str) -> PathBuf {
        let path = place.configure("http://unused.invalid", rest);
        let text = std::fs::read_to_string(&path).unwrap();
        let reached = format!("kubernetes: {{access: kubeconfig, kubeconfig: {}}}", self.kubeconfig);
        let lines: Vec<&str> =
            text.lines().map(|line| if line.starts_with("kubernetes:") { reached.as_str() } else { line }).collect();
        std::fs::write(&path, lines.join("\n") + "\n").unwrap();
        path
    }

    /// What was asked since the log had so many bytes, in the words of the table; and what was refused.
    fn asked(&self, since: usize) -> (BTreeSet<String>, BTreeSet<String>) {
        let (mut asked, mut refused) = (BTreeSet::new(), BTreeSet::new());
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        for line in log.get(since..).unwrap_or_default().lines().filter(|line| line.ends_with('}')) {
            let entry: Value = serde_json::from_str(line).unwrap();
            let about = &entry["objectRef"];
            let text = |key: &str| about[key].as_str().unwrap_or_default().to_owned();
            if about.is_null() || text("resource") == "selfsubjectaccessreviews" {
                continue;
            }
            let described = format!("{} {}", entry["verb"].as_str().unwrap(), words(&text("apiGroup"), &text("resource"), about));
            if entry["responseStatus"]["code"] == 403 {
                refused.insert(described.clone());
            }
            asked.insert(described);
        }
        (asked, refused)
    }

    fn log_length(&self) -> usize {
        std::fs::read(&self.log).map_or(0, |log| log.len())
    }

    /// Creates the roles and binds them to the user.
    async fn grant(&self, roles: &[Value]) {
        for role in roles {
            let namespace = role["metadata"]["namespace"].as_str();
            let (place, kind) = match namespace {
                Some(namespace) => (format!("/namespaces/{namespace}"), "Role"),
                None => (String::new(), "ClusterRole"),
            };
            let base = format!("/apis/rbac.authorization.k8s.io/v1{place}");
            let binding = json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": format!("{kind}Binding"), "metadata": role["metadata"],
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": "sluicebox"},
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "nobody"}],
            });
            let plural = kind.to_lowercase();
            self.server.request(Method::POST, &format!("{base}/{plural}s"), Some(role)).await.unwrap();
            self.server.request(Method::POST, &format!("{base}/{plural}bindings"), Some(&binding)).await.unwrap();
        }
    }

    async fn replace(&self, role: &Value) {
        let place =
            role["metadata"]["namespace"].as_str().map_or("/clusterroles".to_owned(), |name| format!("/namespaces/{name}/roles"));
        let path = format!("/apis/rbac.authorization.k8s.io/v1{place}/sluicebox");
        self.server.request(Method::PUT, &path, Some(role)).await.unwrap();
    }
}

/// As the table has it.
fn words(group: &str, resource: &str, about: &Value) -> String {
    let group = if group.is_empty() { String::new() } else { format!(".{group}") };
    let part = |key: &str, before: &str| {
        about[key].as_str().filter(|text| !text.is_empty()).map_or_else(String::new, |text| format!("{before}{text}"))
    };
    format!("{resource}{group}{}{}", part("name", " "), part("namespace", " in "))
}

fn check(config: &Path) -> Output {
    Command::new(binary())
        .args(["check", "--permissions"])
        .arg(config)
        .env_remove("RUST_LOG")
        .env_remove("KUBERNETES_SERVICE_HOST")
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The rights of the table, and whether they are missing.
fn table(printed: &str) -> Vec<(String, bool)> {
    let verbs = ["list ", "watch ", "get ", "create ", "update ", "patch "];
    let rows = printed.lines().filter(|line| verbs.iter().any(|verb| line.starts_with(verb)));
    rows.map(|row| (row.split("  ").next().unwrap().to_owned(), row.ends_with("  missing"))).collect()
}

fn missing(printed: &str) -> Vec<String> {
    table(printed).into_iter().filter(|(_, is_missing)| *is_missing).map(|(row, _)| row).collect()
}

/// The roles that stand below the table.
fn roles(printed: &str) -> Vec<Value> {
    let documents = printed.split("---\n").skip(1);
    documents.map(|document| parse(document, &|_| None).unwrap().0.value).collect()
}

/// The role without one verb of one resource.
fn without(role: &Value, resource: &str, verb: &str) -> Value {
    let mut role = role.clone();
    for rule in role["rules"].as_array_mut().unwrap() {
        if rule["resources"] == json!([resource]) {
            rule["verbs"].as_array_mut().unwrap().retain(|has| has != verb);
        }
    }
    role["rules"].as_array_mut().unwrap().retain(|rule| rule["verbs"] != json!([]));
    role
}

fn owned(name: &str, group: &str, kind: &str) -> Value {
    let mut pod = pod("shop", name, "n1");
    pod["metadata"]["ownerReferences"] =
        json!([{"apiVersion": group, "kind": kind, "name": "above", "uid": format!("uid-{name}"), "controller": true}]);
    pod
}

#[tokio::test]
async fn what_is_listed_is_what_the_program_asks_for() {
    if !require(Need::KubeApiServer) {
        return;
    }
    let place = Place::new();
    let socket = place.path("tracer.sock");
    let _tracer = Tracer::start(&socket, Answer::Report(SIX.into())).unwrap();
    let watched = Watched::start(&place).await;
    let kubelet = Kubelet::pretended(&place.path("host")).unwrap();
    // Processes that can be seen, and whose network namespaces cannot.
    let processes = place.path("processes");
    std::fs::create_dir_all(processes.join("1")).unwrap();
    std::fs::write(processes.join("1/cgroup"), "0::/\n").unwrap();
    let config = watched.configure(&place, &configuration(&socket, &processes, kubelet.root()));
    watched.server.create_namespace("shop").await.unwrap();
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}});
    watched.server.request(Method::POST, "/api/v1/nodes", Some(&node)).await.unwrap();

    // Nobody may do anything: everything is missing, and named with what grants it.
    let nothing = check(&config);
    let (printed, said) = (text(&nothing), String::from_utf8_lossy(&nothing.stderr).into_owned());
    assert_eq!(nothing.status.code(), Some(1), "{printed}{said}");
    let rights: Vec<String> = table(&printed).into_iter().map(|(row, _)| row).collect();
    assert_eq!(missing(&printed), rights, "{printed}");
    assert!(rights.contains(&"patch configmaps metadata in default".to_owned()), "{printed}");
    let roles = roles(&printed);

    // What was printed is exactly what is needed.
    watched.grant(&roles).await;
    let granted = async || missing(&text(&check(&config))).is_empty();
    wait("the roles count", granted).await;
    let all = check(&config);
    assert!(!text(&all).contains("---"), "{}", text(&all));
    goes_without_network_namespaces(&all, &processes);

    // One right taken away is named, and nothing else.
    for (role, resource, verb, row) in [
        (0, "services", "watch", "watch services"),
        (1, "configmaps", "create", "create configmaps in default"),
        (1, "leases", "update", "update leases.coordination.k8s.io sluicebox in default"),
    ] {
        watched.replace(&without(&roles[role], resource, verb)).await;
        wait(row, async || missing(&text(&check(&config))) == [row]).await;
        let output = check(&config);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output).contains(&format!("resources: [{resource}]")), "{}", text(&output));
        watched.replace(&roles[role]).await;
        wait("the right is back", granted).await;
    }

    runs_with_exactly_these(&watched, &place, &config, &rights).await;

    // By now the `ConfigMap`s are there, and nothing is above what is on top.
    watched.replace(&without(&roles[1], "configmaps", "create")).await;
    watched.replace(&without(&roles[0], "deployments", "get")).await;
    let spared = ["create configmaps in default", "get deployments.apps"];
    let is_spared = |printed: &str, right: &str| {
        printed.lines().any(|line| line.starts_with(&format!("{right} ")) && line.contains("  not granted, not needed: "))
    };
    wait("they are not needed", async || spared.iter().all(|right| is_spared(&text(&check(&config)), right))).await;
    assert_eq!(missing(&text(&check(&config))), Vec::<String>::new());
}

/// What is only better with a right is said, and is no error.
fn goes_without_network_namespaces(all: &Output, processes: &Path) {
    let printed = text(all);
    assert_eq!(all.status.code(), Some(0), "{printed}");
    let what = format!("look at network namespaces in {}", processes.display());
    let row = printed.lines().find(|line| line.starts_with(&what)).unwrap();
    assert!(row.ends_with("  goes without: No such file or directory (os error 2)"), "{row}");
    assert!(printed.contains(&format!("without the right to {what}, not named are the other end")), "{printed}");
    assert!(printed.contains("SYS_PTRACE"), "{printed}");
}

/// The version that has `CronJob`s: one of 1.20 has another than those of today.
async fn of_cron_jobs(server: &KubeApiServer) -> &'static str {
    let kinds = server.request(Method::GET, "/apis/batch/v1", None).await.unwrap();
    let is_there = kinds["resources"].as_array().unwrap().iter().any(|kind| kind["name"] == "cronjobs");
    if is_there { "batch/v1" } else { "batch/v1beta1" }
}

/// The program runs with the rights, and asks for nothing else.
async fn runs_with_exactly_these(watched: &Watched, place: &Place, config: &Path, rights: &[String]) {
    let cron_jobs = of_cron_jobs(&watched.server).await;
    for (name, group, kind) in [
        ("a", "apps/v1", "ReplicaSet"),
        ("b", "apps/v1", "Deployment"),
        ("c", "apps/v1", "StatefulSet"),
        ("d", "apps/v1", "DaemonSet"),
        ("e", "batch/v1", "Job"),
        ("f", cron_jobs, "CronJob"),
        ("g", "v1", "ReplicationController"),
        ("h", "v1", "Node"),
    ] {
        watched.server.create_pod(&owned(name, group, kind)).await.unwrap();
    }
    let since = watched.log_length();
    let mut program = place.run(config);
    program.until_ready(SLOW).await.unwrap();
    // A change that is refused is told as a Kubernetes Event.
    let whole = std::fs::read_to_string(config).unwrap();
    std::fs::write(config, "nonsense: {}\n").unwrap();
    let rights: BTreeSet<String> = rights.iter().cloned().collect();
    let asked = || -> BTreeSet<String> { watched.asked(since).0.iter().map(|asked| as_granted(asked, &rights)).collect() };
    // An event is patched when it is told again, which takes minutes.
    let expected: BTreeSet<String> = rights.iter().filter(|right| !right.starts_with("patch events")).cloned().collect();
    let begin = std::time::Instant::now();
    loop {
        let left: Vec<String> = expected.difference(&asked()).cloned().collect();
        if left.is_empty() {
            break;
        }
        assert!(begin.elapsed() < PATIENCE, "listed, and not asked for: {left:?}\n{}", program.log().unwrap());
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    std::fs::write(config, whole).unwrap();
    let (_, refused) = watched.asked(since);
    assert!(refused.is_empty(), "refused: {refused:?}\n{}", program.log().unwrap());
    let more: Vec<String> = asked().difference(&rights).cloned().collect();
    assert!(more.is_empty(), "asked for and not listed: {more:?}");
    assert!(program.stop(PATIENCE).await.unwrap().success(), "{}", program.log().unwrap());
}

/// A kubelet lets nobody see its metrics before the API server has said who comes and what he may: the program itself does not ask.
#[tokio::test]
async fn what_a_kubelet_asks_about_whoever_scrapes_it_is_listed_and_granted() {
    if !require(Need::KubeApiServer) {
        return;
    }
    let (place, token) = (Place::new(), "/var/run/secrets/kubernetes.io/serviceaccount/token");
    let watched = Watched::start(&place).await;
    let rest = format!(
        "reload: {{kubernetes-events: false}}\n\
         sources: {{scrape: {{targets: {{kubelet: {{url: \"https://127.0.0.1:10250/metrics/cadvisor\", http: {{bearer-token-file: {token}}}}}}}}}}}\n\
         modules: {{numbers: {{use: mape-kafka, from: [scrape], to: [lines]}}}}\nsinks: {{lines: {{stdout: {{}}}}}}\n"
    );
    let config = watched.configure(&place, &rest);
    let allowed = async || {
        let about = json!({"verb": "get", "resource": "nodes", "subresource": "metrics", "name": "n1"});
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": {"user": "nobody", "resourceAttributes": about},
        });
        let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
        watched.server.request(Method::POST, path, Some(&review)).await.unwrap()["status"]["allowed"] == true
    };
    assert!(!allowed().await);
    let printed = text(&check(&config));
    assert_eq!(missing(&printed), ["get nodes/metrics"], "{printed}");
    watched.grant(&roles(&printed)).await;
    wait("the kubelet is told yes", allowed).await;
    assert_eq!(missing(&text(&check(&config))), Vec::<String>::new());
}

/// What grants something asked for: the same, or the same for any name, or in any namespace.
fn as_granted(asked: &str, rights: &BTreeSet<String>) -> String {
    let (rest, namespace) = asked.split_once(" in ").map_or((asked, None), |(rest, namespace)| (rest, Some(namespace)));
    let mut parts = rest.splitn(3, ' ');
    let without_name = format!("{} {}", parts.next().unwrap(), parts.next().unwrap());
    let any_name = namespace.map_or(without_name.clone(), |namespace| format!("{without_name} in {namespace}"));
    let wider = [asked.to_owned(), any_name, without_name];
    wider.iter().find(|right| rights.contains(*right)).cloned().unwrap_or_else(|| asked.to_owned())
}

/// Rules take a moment until they count.
async fn wait(what: &str, is_so: impl AsyncFn() -> bool) {
    let begin = std::time::Instant::now();
    while !is_so().await {
        assert!(begin.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

#[test]
fn what_the_node_lacks_is_named_with_what_helps() {
    let place = Place::new();
    let config = place.path("sluicebox.yaml");
    let file = place.path("file");
    std::fs::write(&file, "").unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let text_of = |listen: &str| {
        format!(
            "admin: {{listen: \"127.0.0.1:0\"}}\nnode-name: n1\nstate-directory: {0}\ncache-directory: {1}\nsources: {{tracer: {{{listen}, kubernetes: false}}}}\n\
             modules: {{t: {{use: connection-transactions, to: [a, b]}}}}\n\
             sinks:\n  c: {{prometheus: {{listen: \"{address}\"}}}}\n  a: {{files: {{directory: {0}/meta}}}}\n  b: {{redis: {{url: \"rediss://r:1\", password-file: {2}}}}}\n",
            place.path("state").display(),
            place.path("file").display(),
            place.path("none").display(),
        )
    };
    std::fs::write(&config, text_of(&format!("socket: {}", place.path("tracer.sock").display()))).unwrap();
    let output = check(&config);
    let printed = text(&output);
    assert_eq!(output.status.code(), Some(1), "{printed}");
    for (what, outcome) in [
        (format!("connect to {}", place.path("tracer.sock").display()), "missing: No such file or directory (os error 2)"),
        (format!("write to {}", place.path("state").display()), "ok"),
        (format!("write to {}", file.display()), "is no directory"),
        (format!("read {}", place.path("none").display()), "missing: No such file or directory (os error 2)"),
        ("listen on 127.0.0.1:0".to_owned(), "ok"),
        (format!("listen on {address}"), "missing: Address already in use (os error 98)"),
    ] {
        let row =
            printed.lines().find(|line| line.starts_with(&format!("{what} "))).unwrap_or_else(|| panic!("{what}\n{printed}"));
        assert!(row.ends_with(outcome), "{row}");
    }
    assert!(
        printed.contains(&format!("to connect to {}: mount the directory", place.path("tracer.sock").display())),
        "{printed}"
    );
}

#[test]
fn a_server_that_does_not_answer_is_an_error_of_its_own() {
    let place = Place::new();
    let config = place.configure(
        "http://127.0.0.1:1",
        "sources: {pods: {}}\nmodules: {m: {use: json-lines, to: [out]}}\nsinks: {out: {stdout: {}}}\n",
    );
    let output = check(&config);
    let (printed, said) = (text(&output), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot ask for the right to list pods at http://127.0.0.1:1"), "{said}");
    // What would be needed is told all the same.
    for right in ["list pods ", "watch pods "] {
        let row = printed.lines().find(|line| line.starts_with(right)).unwrap();
        assert!(row.ends_with("  not known: the API server does not say"), "{row}");
    }
}
