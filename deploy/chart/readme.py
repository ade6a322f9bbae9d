#!/usr/bin/env python3
"""Makes the table of values in the chart's README of the words above each value in values.yaml.

    readme.py            writes sluicebox/README.md anew between its two marks
    readme.py --check    says what is not right and writes nothing: a table that is old, a value without words or without a place in the schema; a dashboard,
                         or a configuration in values/, that is not that of kustomize; fields of the configuration that the schema does not know
"""

import json
import pathlib
import re
import sys

CHART = pathlib.Path(__file__).resolve().parent / "sluicebox"
BEGIN = "<!-- values: made by `deploy/chart/readme.py` -->\n"
END = "<!-- values: end -->\n"
# Values whose overlay has another name, and what the chart adds by itself.
FOLDERS = {"fluent-bit": "fluent-bit/daemonset"}
OF_THE_CHART = ("admin:", "log:", "memory:", "compiler:", "reload:", "state-directory:", "cache-directory:")
LINE = re.compile(r"^(?P<indent> *)(?P<key>[A-Za-z]\w*):(?P<value> .*)?$")


def values(text):
    """Each value: its path, its default as it stands there (none for a section), and the words above it."""
    found, path, words = [], [], []
    for line in text.splitlines():
        if line.strip().startswith("#"):
            words.append(line.strip()[1:].strip())
            continue
        match = LINE.match(line)
        if not match:
            if line.strip():
                sys.exit(f"values.yaml: `{line}` is neither words nor a value on one line")
            words = []
            continue
        depth = len(match["indent"]) // 2
        path = path[:depth] + [match["key"]]
        default = (match["value"] or "").strip()
        found.append((list(path), default or None, " ".join(words)))
        words = []
    return found


def table(found):
    rows = ["| value | default | meaning |", "| --- | --- | --- |"]
    for path, default, words in found:
        if default is not None:
            rows.append(f"| `{'.'.join(path)}` | `{default}` | {words.replace('|', chr(92) + '|')} |")
    return "\n".join(rows) + "\n"


def known(schema, path):
    """Whether the schema has a place for a value."""
    for key in path:
        schema = schema.get("properties", {}).get(key)
        if schema is None:
            return False
    return True


def elsewhere(schema, problems):
    """What stands in the chart and in kustomize must be the same."""
    kustomize = CHART.parent.parent / "kustomize"
    component = kustomize / "components/dashboard/sluicebox.json"
    if component.read_text() != (CHART / "dashboard.json").read_text():
        problems.append(f"dashboard.json: not the same as {component}; cure: copy one over the other")
    reference = CHART.parent.parent.parent / "host/CONFIGURATION.md"
    # The first table there is that of the whole file.
    whole = re.search(r"(?:^\|.*\n)+", reference.read_text(), re.MULTILINE)[0]
    fields = set(re.findall(r"^\| `([a-z-]+)` ", whole, re.MULTILINE))
    for field in sorted(fields ^ set(schema["properties"]["config"]["properties"])):
        problems.append(f"values.schema.json: `config.{field}` stands there or in {reference}, and not in both")
    for values in sorted((CHART / "values").glob("*.yaml")):
        overlay = kustomize / "overlays" / FOLDERS.get(values.stem, values.stem) / "sluicebox.yaml"
        lines = [line for line in overlay.read_text().splitlines() if not line.startswith(OF_THE_CHART)]
        wanted = "config:\n" + "".join(f"  {line}\n" for line in lines)
        if wanted not in values.read_text():
            problems.append(f"values/{values.name}: its `config` is not what stands in {overlay}")


def main():
    found = values((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    problems = []
    for path, default, words in found:
        if default is not None and not words:
            problems.append(f"values.yaml: {'.'.join(path)} has no words above it")
        if not known(schema, path):
            problems.append(f"values.schema.json: {'.'.join(path)} is missing")
    elsewhere(schema, problems)
    page = CHART / "README.md"
    old = page.read_text()
    head, rest = old.split(BEGIN)
    tail = rest.split(END)[1]
    new = head + BEGIN + "\n" + table(found) + "\n" + END + tail
    if "--check" in sys.argv[1:]:
        if new != old:
            problems.append("README.md: the table is not that of values.yaml; cure: run deploy/chart/readme.py")
    else:
        page.write_text(new)
    for problem in problems:
        print(problem, file=sys.stderr)
    sys.exit(1 if problems else 0)


main()
