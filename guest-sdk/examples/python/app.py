"""Of one namespace, or of all: a JSON line when the phase of a pod changes, and one for what each container uses."""

import json
from itertools import groupby
from typing import NamedTuple

from componentize_py_types import Err
from wit_world.exports.lifecycle import Context
from wit_world.exports.pod_handler import PodEvent
from wit_world.exports.sample_handler import Metric, Reading_Counter, Reading_Value, Tick
from wit_world.exports.subjects import Subject, SubjectKind
from wit_world.imports import log
from wit_world.imports.types import Change, Entries, Entries_Plain, Entry_Message, Message, Payload_Text

NANOS = 1_000_000_000

settings: dict = {}
# Who each subject is; None for those that no line is about.
containers: dict = {}
cpu_usage = None
memory_usage = None


class Container(NamedTuple):
    uid: str
    names: dict


def wants(namespace: str) -> bool:
    return settings.get("namespace", namespace) == namespace


def message(key: str, line: dict) -> Entry_Message:
    body = json.dumps(line, ensure_ascii=False, separators=(",", ":"))
    return Entry_Message(Message(settings.get("channel"), key, [], Payload_Text(body)))


class Lifecycle:
    def start(self, text: str, context: Context) -> None:
        settings.update(json.loads(text))
        for name in settings.keys() - {"channel", "namespace"}:
            raise Err(f"unknown field `{name}`, expected `channel` or `namespace`")
        if settings.get("namespace") == "":
            raise Err("setting `namespace`: is empty: name a namespace, or leave the setting out")
        log.line(log.Level.DEBUG, f"lines of {settings.get('namespace', 'all namespaces')}")


class PodHandler:
    def handle(self, events: list[PodEvent]) -> Entries:
        lines = []
        for event in events:
            pod, previous = event.pod, event.previous
            told = previous is not None and previous.phase == pod.phase
            if not wants(pod.namespace) or (told and event.change != Change.DELETED):
                continue
            line = {
                "time": event.observed_at_unix_nanos // NANOS,
                "change": event.change.name.lower(),
                "namespace": pod.namespace,
                "pod": pod.name,
                "phase": pod.phase.name.lower() if pod.phase is not None else None,
                "node": pod.node_name,
                "images": [container.image for container in pod.containers],
                "labels": dict(pod.labels),
            }
            lines.append(message(pod.uid, line))
        return Entries_Plain(lines)


class Subjects:
    def define(self, subjects: list[Subject]) -> None:
        for subject in subjects:
            container = None
            if subject.kind == SubjectKind.CONTAINER and wants(subject.namespace):
                pod = dict(subject.attributes).get("pod-name", "")
                container = Container(subject.uid, {"namespace": subject.namespace, "pod": pod, "container": subject.name})
            containers[subject.id] = container

    def forget(self, subjects: list[int]) -> None:
        for subject in subjects:
            containers.pop(subject, None)


class SampleHandler:
    def metrics(self, metrics: list[Metric]) -> None:
        global cpu_usage, memory_usage
        ids = {metric.name: metric.id for metric in metrics}
        cpu_usage, memory_usage = ids.get("cpu-usage"), ids.get("memory-usage")

    def handle(self, tick: Tick) -> Entries:
        lines = []
        for subject, samples in groupby(tick.samples, lambda sample: sample.subject):
            if subject not in containers:
                raise Err(f"subject {subject} was never defined")
            container = containers[subject]
            if container is None:
                continue
            line = {"time": tick.observed_at_unix_nanos // NANOS, **container.names}
            for sample in samples:
                match sample.reading:
                    case Reading_Counter(counter) if sample.metric == cpu_usage and counter.increase is not None:
                        # Thousandths of a processor, rounded down.
                        over = max(counter.increase.over_nanoseconds // 1000, 1)
                        line["cpu-millis"] = counter.increase.amount // over
                    case Reading_Value(value) if sample.metric == memory_usage:
                        line["memory-bytes"] = value
            if len(line) > 1 + len(container.names):
                lines.append(message(container.uid, line))
        return Entries_Plain(lines)
