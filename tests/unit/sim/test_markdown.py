"""The report as Markdown."""

from __future__ import annotations

import json
import subprocess
import sys


def test_the_tables_of_a_small_run(tmp_path):
    """A row for each world, the same number of cells in every row, and what was measured in it."""
    worlds = ("--world", "plain-200", "--world", "outage")
    few = ("--runs", "2", "--faulty-runs", "2", "--jobs", "1")
    command = [sys.executable, "-m", "serinus", "simulate", *worlds, *few, "--json"]
    done = subprocess.run(
        [*command, "--markdown", str(tmp_path / "r.md")], capture_output=True, text=True, check=False
    )
    data = json.loads(done.stdout)
    text = (tmp_path / "r.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    named = [row.split(" | ")[0].strip("| ") for row in rows if row.count("|") > 4]
    assert named == ["world", "---", "plain-200", "world", "---", "outage"]
    assert f"| {data['faulty'][0]['ratio']:.2f} |" in text
    for block in text.split("\n\n"):
        cells = {line.count("|") for line in block.splitlines() if line.startswith("| ")}
        assert len(cells) <= 1
