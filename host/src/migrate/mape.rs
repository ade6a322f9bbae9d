//! kubernetes-prometheus-publisher.

use super::draft::{Draft, Setting, System, host, port, quoted};
use super::found::Value;
use super::span::prometheus;

/// The program.
pub(super) static SYSTEM: System = System {
    command: "mape",
    program: "kubernetes-prometheus-publisher",
    settings: &[
        Setting { name: DEBUG, default: Some("0"), becomes: "log.level" },
        Setting { name: KAFKA_IP, default: Some("192.168.1.175"), becomes: "the host in sinks.kafka.kafka.brokers" },
        Setting { name: KAFKA_PORT, default: Some("9092"), becomes: "the port in sinks.kafka.kafka.brokers" },
        Setting { name: TOPIC, default: Some("nfvi.ncsrd.kubernetes"), becomes: "modules.publisher.settings.topic" },
        Setting { name: PROMETHEUS_HOST, default: Some("10.100.176.57"), becomes: "the host in sources.prometheus.url" },
        Setting { name: PROMETHEUS_PORT, default: Some("31078"), becomes: "the port in sources.prometheus.url" },
        Setting { name: STEP, default: Some("20s"), becomes: "sources.prometheus.step" },
        Setting {
            name: SCHEDULER,
            default: Some("20"),
            becomes: "sources.prometheus.period, and the range of a query, which is as long",
        },
    ],
    prefixes: &["KAFKA_", "PROMETHEUS_", "SCHEDULER_"],
    common: &[DEBUG],
};

const DEBUG: &str = "DEBUG";
const KAFKA_IP: &str = "KAFKA_IP";
const KAFKA_PORT: &str = "KAFKA_PORT";
const TOPIC: &str = "KAFKA_KUBERNETES_TOPIC";
const PROMETHEUS_HOST: &str = "PROMETHEUS_HOST";
const PROMETHEUS_PORT: &str = "PROMETHEUS_PORT";
const STEP: &str = "PROMETHEUS_POLLING_STEP";
const SCHEDULER: &str = "SCHEDULER_SECONDS";
/// Where the new configuration takes a password from.
const PASSWORD_FILE: &str = "/etc/prometheus-secret/password";
const HOST_CURE: &str = "write the name or the address of the host alone, without scheme, port and path";
const PORT_CURE: &str = "write a number from 1 to 65535; `tcp://…` is what Kubernetes sets for a Service of this name, which a pod does not \
                         get with `enableServiceLinks: false`";

/// The configuration.
pub(super) fn configuration(draft: &mut Draft<'_>) -> String {
    level(draft);
    let kafka = joined(draft.read(KAFKA_IP, HOST_CURE, host), draft.read(KAFKA_PORT, PORT_CURE, port));
    let topic = draft.read(TOPIC, "write 1 to 249 letters, digits, `.`, `_` and `-`", topic).unwrap_or_default();
    let (address, http) = prometheus_host(draft);
    let url = joined(Some(address), draft.read(PROMETHEUS_PORT, PORT_CURE, port));
    let period = period(draft);
    let cure = "write a time such as `20s`, from 1s to 1d";
    let step = draft.read(STEP, cure, |text| {
        let step = prometheus(text)?;
        (1.0..=86_400.0).contains(&step.0.as_secs_f64()).then(|| step.to_string())
    });
    draft.differs("messages are as that program writes them; without `form` and `key` they are as its README says, with every sample and a key");
    draft.differs(
        "queries take the label `pod`; for Kubernetes before 1.16, where it is `pod_name`, write `template: mape-kafka-pod-name`",
    );
    draft.differs("what is told of a pod as a whole and of its sandbox is not counted beside its containers");
    draft.differs("container_cpu_system_seconds_total is told as a rate, as its type is; that program tells its average");
    let lease = draft.lease("asks");
    draft.differs("one failed query spoils no other, and messages wait while Kafka is away");
    draft.differs("the page on port 3333 with its user admin is gone: see `admin` for probes and metrics");
    let (brokers, url, step) = (quoted(&kafka), quoted(&format!("http://{url}")), quoted(&step.unwrap_or_default()));
    let topic = quoted(&topic);
    format!(
        "{lease}sources:\n  prometheus:\n    url: {url}\n    period: {period}\n    step: {step}\n\
         \x20   queries:\n      mape: {{metrics: mape-kafka, template: mape-kafka, kind: range}}\n{http}\
         modules:\n  publisher:\n    use: mape-kafka\n    settings: {{form: source, key: none, topic: {topic}}}\n    to: [kafka]\n\
         sinks:\n  kafka:\n    kafka: {{brokers: [{brokers}], client-id: kubernetes-prometheus-publisher, compression: none}}\n"
    )
}

fn level(draft: &mut Draft<'_>) {
    let Some(Value { text: Some(text), .. }) = draft.value(DEBUG, "") else {
        draft.becomes(DEBUG, "nothing, as it cannot be read from here: `log: {level: debug}` is what 1 means");
        return;
    };
    match text.trim().parse::<i64>() {
        Ok(0) => {}
        Ok(_) => draft.level = Some("debug"),
        Err(_) => draft.bad(DEBUG, &text, "write 0 or 1"),
    }
}

fn period(draft: &mut Draft<'_>) -> String {
    let cure = "write whole seconds, from 1 to 86400";
    if let Some(Value { text: None, written, .. }) = draft.set(SCHEDULER) {
        return quoted(&format!("{written}s"));
    }
    let seconds = draft.read(SCHEDULER, cure, |text| {
        let seconds = text.parse::<u32>().ok()?;
        (1..=86_400).contains(&seconds).then(|| format!("{seconds}s"))
    });
    quoted(&seconds.unwrap_or_default())
}

/// The host, and the section `http`. The old program put the host into a URL, so that a user could stand before it.
fn prometheus_host(draft: &mut Draft<'_>) -> (String, String) {
    let Some(value) = draft.value(PROMETHEUS_HOST, HOST_CURE) else { return (String::new(), String::new()) };
    let (text, is_known) = value.text.map_or((value.written, false), |text| (text, true));
    let (user, text) = text.trim().rsplit_once('@').map_or((None, text.trim()), |(user, text)| (Some(user), text));
    let Some(host) = (if is_known { host(text) } else { Some(text.to_owned()) }) else {
        draft.bad(PROMETHEUS_HOST, text, HOST_CURE);
        return (String::new(), String::new());
    };
    let Some(user) = user else { return (host, String::new()) };
    draft.conceal(PROMETHEUS_HOST);
    draft.becomes(
        PROMETHEUS_HOST,
        format!("the host in sources.prometheus.url; the password is to be in the file {PASSWORD_FILE}"),
    );
    draft.warnings.push(format!("`{PROMETHEUS_HOST}` holds a password, which is not printed: mount a Secret as {PASSWORD_FILE}"));
    draft.differs(
        "the password goes to Prometheus without TLS, as before; with an https address leave `secrets-in-clear-text` out",
    );
    let name = user.split_once(':').map_or(user, |(name, _)| name);
    let name = quoted(&if is_known { Value::text(name).written } else { name.to_owned() });
    let http = format!(
        "    http:\n      basic-auth: {{username: {name}, password-file: {PASSWORD_FILE}}}\n      secrets-in-clear-text: true\n"
    );
    (host, http)
}

fn topic(text: &str) -> Option<String> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-');
    let good = (1..=249).contains(&text.len()) && text.chars().all(fits) && text != "." && text != "..";
    good.then(|| text.to_owned())
}

fn joined(host: Option<String>, port: Option<String>) -> String {
    format!("{}:{}", host.unwrap_or_default(), port.unwrap_or_default())
}
