//! telemd-kubernetes-adapter.

use super::draft::{Draft, Setting, System, by_kubeconfig, host, port, quoted};
use super::found::Value;

/// The program.
pub(super) static SYSTEM: System = System {
    command: "galileo",
    program: "telemd-kubernetes-adapter",
    settings: &[
        Setting { name: HOST, default: None, becomes: "the host in sinks.redis.redis.url" },
        Setting { name: PORT, default: None, becomes: "the port in sinks.redis.redis.url" },
        Setting { name: LOCATION, default: None, becomes: "kubernetes.access" },
        Setting { name: KUBECONFIG, default: None, becomes: "kubernetes.kubeconfig, where the location is `local`" },
    ],
    prefixes: &["telemd_kubernetes_adapter_"],
    common: &[KUBECONFIG],
};

const HOST: &str = "telemd_kubernetes_adapter_redis_host";
const PORT: &str = "telemd_kubernetes_adapter_redis_port";
const LOCATION: &str = "telemd_kubernetes_adapter_location";
const KUBECONFIG: &str = "KUBECONFIG";
/// The variable that the new configuration takes a password from.
const PASSWORD: &str = "REDIS_PASSWORD";

/// The configuration.
pub(super) fn configuration(draft: &mut Draft<'_>) -> String {
    let (address, user) = address(draft);
    let cure = "write a number from 1 to 65535; `tcp://…` is what Kubernetes sets for a Service of this name";
    let port = draft.read(PORT, cure, port).unwrap_or_default();
    let access = access(draft);
    let lease = draft.lease("works for the whole cluster");
    draft.differs("at each start everything that is there is published, as before; without `at-start: replay` only what is new");
    draft.differs("running waits for all containers, and comes again when one is restarted; pods that went unseen are deleted");
    draft.differs("events wait while Redis is away, and keep their time");
    let url = quoted(&format!("redis://{address}:{port}"));
    format!(
        "{access}{lease}sources:\n  pods: {{scope: cluster, at-start: replay}}\n  nodes: {{scope: cluster, at-start: replay}}\n\
         modules:\n  events:\n    use: galileo-events\n    settings: {{schema: pod, null-labels: true}}\n    to: [redis]\n\
         sinks:\n  redis:\n    redis:\n      url: {url}\n{user}"
    )
}

/// The host, and lines that say as whom one logs in. The old program put the host into a URL, so that a user could stand before it.
fn address(draft: &mut Draft<'_>) -> (String, String) {
    let cure = "write the name or the address of the host alone, without scheme, port and path";
    let Some(value) = draft.value(HOST, cure) else { return (String::new(), String::new()) };
    let (text, is_known) = value.text.map_or((value.written, false), |text| (text, true));
    let (user, text) = text.trim().rsplit_once('@').map_or((None, text.trim()), |(user, text)| (Some(user), text));
    let Some(host) = (if is_known { host(text) } else { Some(text.to_owned()) }) else {
        draft.bad(HOST, text, cure);
        return (String::new(), String::new());
    };
    let Some(user) = user else { return (host, String::new()) };
    draft.conceal(HOST);
    draft.becomes(HOST, format!("the host in sinks.redis.redis.url; the password is the variable {PASSWORD}"));
    draft.warnings.push(format!("`{HOST}` holds a password, which is not printed: set the variable {PASSWORD} from a Secret"));
    let name = user.split_once(':').map_or(user, |(name, _)| name);
    let written = |name: &str| if is_known { Value::text(name).written } else { name.to_owned() };
    let name = if name.is_empty() { String::new() } else { format!("      username: {}\n", quoted(&written(name))) };
    (host, format!("{name}      password: ${{{PASSWORD}}}\n"))
}

fn access(draft: &mut Draft<'_>) -> String {
    let cure = "write `cluster` for a program in a pod, or `local` for the file that KUBECONFIG names";
    let Some(value) = draft.value(LOCATION, cure) else { return String::new() };
    let Some(text) = value.text else {
        draft.becomes(
            LOCATION,
            "nothing: the way to the API server is found by looking for a pod's service account, then for KUBECONFIG",
        );
        draft.becomes(KUBECONFIG, "read from the environment");
        return String::new();
    };
    match text.trim() {
        "cluster" => {
            draft.becomes(KUBECONFIG, "nothing, as with the location `cluster`");
            "kubernetes: {access: in-cluster}\n".to_owned()
        }
        "local" => {
            let cure = format!("set KUBECONFIG, or `{LOCATION}` to `cluster`");
            let mistake = format!("`KUBECONFIG` is not set, and `{LOCATION}` is `local`\nhint: {cure}");
            by_kubeconfig(draft, KUBECONFIG, mistake)
        }
        other => {
            draft.bad(LOCATION, other, cure);
            String::new()
        }
    }
}
