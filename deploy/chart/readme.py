#!/usr/bin/env python3
"""Makes the table of values in the chart's README of the words above each value in values.yaml.

    readme.py            writes sluicebox/README.md anew between its two marks
    readme.py --check    says what is not right and writes nothing: a table that is old, a value without words or without a place in the schema, a dashboard
                         that is not that of the kustomize component
"""

import json
import pathlib
import re
import sys

CHART = pathlib.Path(__file__).resolve().parent / "sluicebox"
BEGIN = "<!-- values: made by `deploy/chart/readme.py` -->\n"
END = "<!-- values: end -->\n"
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


def main():
    found = values((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    problems = []
    for path, default, words in found:
        if default is not None and not words:
            problems.append(f"values.yaml: {'.'.join(path)} has no words above it")
        if not known(schema, path):
            problems.append(f"values.schema.json: {'.'.join(path)} is missing")
    component = CHART.parent.parent / "kustomize/components/dashboard/sluicebox.json"
    if component.read_text() != (CHART / "dashboard.json").read_text():
        problems.append(f"dashboard.json: not the same as {component}; cure: copy one over the other")
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
