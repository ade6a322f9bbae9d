// Of one namespace, or of all: a JSON line when the phase of a pod changes, and one for what each container uses.

import log from "sluicebox:module/log@0.2.0";

const NANOS = 1e9;

let settings;
// Who each subject is; null for those that no line is about.
const containers = new Map();
let cpuUsage;
let memoryUsage;

const wants = (namespace) => settings.namespace === undefined || settings.namespace === namespace;
const message = (key, body) => ({
  tag: "message",
  val: { channel: settings.channel, key, headers: [], body: { tag: "text", val: body } },
});

export const lifecycle = {
  start(text, _context) {
    settings = JSON.parse(text);
    const unknown = Object.keys(settings).find((name) => !["channel", "namespace"].includes(name));
    if (unknown !== undefined) throw `unknown field \`${unknown}\`, expected \`channel\` or \`namespace\``;
    if (settings.namespace === "") throw "setting `namespace`: is empty: name a namespace, or leave the setting out";
    log.line("debug", `lines of ${settings.namespace ?? "all namespaces"}`);
  },
};

export const podHandler = {
  handle(events) {
    const lines = [];
    for (const { change, observedAtUnixNanos, pod, previous } of events) {
      const told = previous != null && previous.phase === pod.phase;
      if (!wants(pod.namespace) || (told && change !== "deleted")) continue;
      const line = {
        time: Math.floor(Number(observedAtUnixNanos) / NANOS),
        change,
        namespace: pod.namespace,
        pod: pod.name,
        phase: pod.phase ?? null,
        node: pod.nodeName ?? null,
        images: pod.containers.map((container) => container.image),
        labels: Object.fromEntries(pod.labels),
      };
      lines.push(message(pod.uid, JSON.stringify(line)));
    }
    return { tag: "plain", val: lines };
  },
};

export const subjects = {
  define(defined) {
    for (const { id, kind, uid, namespace, name, attributes } of defined) {
      const wanted = kind === "container" && wants(namespace);
      const pod = new Map(attributes).get("pod-name") ?? "";
      containers.set(id, wanted ? { uid, names: { namespace, pod, container: name } } : null);
    }
  },

  forget(ids) {
    for (const id of ids) containers.delete(id);
  },
};

export const sampleHandler = {
  metrics(metrics) {
    const id = (name) => metrics.find((metric) => metric.name === name)?.id;
    cpuUsage = id("cpu-usage");
    memoryUsage = id("memory-usage");
  },

  handle(tick) {
    const time = Math.floor(Number(tick.observedAtUnixNanos) / NANOS);
    const lines = [];
    // All samples of a subject stand together.
    for (let first = 0, next; first < tick.samples.length; first = next) {
      const subject = tick.samples[first].subject;
      const line = { time };
      for (next = first; tick.samples[next]?.subject === subject; next++) {
        const { metric, reading } = tick.samples[next];
        if (metric === cpuUsage && reading.val.increase != null) {
          const { amount, overNanoseconds } = reading.val.increase;
          // Thousandths of a processor, rounded down.
          line["cpu-millis"] = Math.floor(Number(amount) / Math.max(Math.floor(Number(overNanoseconds) / 1000), 1));
        } else if (metric === memoryUsage) {
          line["memory-bytes"] = Number(reading.val);
        }
      }
      const container = containers.get(subject);
      if (container === undefined) throw `subject ${subject} was never defined`;
      const told = "cpu-millis" in line || "memory-bytes" in line;
      if (container === null || !told) continue;
      const { time: at, ...used } = line;
      lines.push(message(container.uid, JSON.stringify({ time: at, ...container.names, ...used })));
    }
    return { tag: "plain", val: lines };
  },
};
