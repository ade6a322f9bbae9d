#!/usr/bin/env python3
"""Lists the licences of everything that the program is made of, as `cargo metadata` tells them.

    licences.py            writes LICENCES.md anew
    licences.py --check    fails when it is old
"""

import collections
import json
import pathlib
import re
import subprocess
import sys

PAGE = pathlib.Path(__file__).resolve().parent / "LICENCES.md"


def packages():
    """Name, version and licence of what the program is linked with: no tests, no build scripts, no other programs."""
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"]
    metadata = json.loads(subprocess.check_output(command, cwd=PAGE.parent.parent))
    known = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    waiting = [identity for identity, package in known.items() if package["name"] == "sluicebox"]
    seen = set()
    while waiting:
        identity = waiting.pop()
        if identity in seen:
            continue
        seen.add(identity)
        for dependency in nodes[identity]["deps"]:
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                waiting.append(dependency["pkg"])
    # What has a source is not ours.
    return [known[identity] for identity in seen if known[identity]["source"]]


def same(licence):
    """One way to write what is written in several: choices in the order of the alphabet."""
    if re.search(r"[()]| AND ", licence):
        return licence
    return " OR ".join(sorted(re.split(r"\s*/\s*|\s+OR\s+", licence)))


def page():
    by_licence = collections.defaultdict(list)
    for package in packages():
        by_licence[same(package["license"] or "see its file")].append(f"{package['name']} {package['version']}")
    count = sum(len(names) for names in by_licence.values())
    lines = ["# Licences", "", "<!-- made by `deploy/licences.py` -->", ""]
    lines.append(f"The program is Apache-2.0. It is linked with {count} crates, under these licences; the C libraries librdkafka (BSD-2-Clause), OpenSSL")
    lines.append("(Apache-2.0), zlib (Zlib) and zstd (BSD-3-Clause) are part of the crates that carry them. Which ones are allowed at all says `.cargo/deny.toml`.")
    for licence in sorted(by_licence):
        lines += ["", f"## {licence}", "", ", ".join(sorted(by_licence[licence])) + "."]
    return "\n".join(lines) + "\n"


def main():
    new = page()
    if "--check" in sys.argv[1:]:
        if not PAGE.exists() or PAGE.read_text() != new:
            sys.exit("deploy/LICENCES.md is old; cure: run deploy/licences.py")
    else:
        PAGE.write_text(new)


main()
