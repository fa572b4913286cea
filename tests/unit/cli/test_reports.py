"""JUnit XML of a pipeline: what CI systems take, whatever a message holds."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from junit_format import problems
from serinus.cli.reports import Case, Stage, junit

STAGES = [
    Stage(
        name="guard",
        outcome="failed",
        message="refused by tag",
        seconds=0.25,
        cases=[
            Case(name="tag", outcome="failed", message="v1 is another <commit> & \x00\x1b[31m"),
            Case(name="secrets", outcome="skipped", message="no .env.example"),
            Case(name="runbook", outcome="passed", message="RUNBOOK.md", seconds=1234.5),
        ],
    ),
    Stage(name="deploy"),
    Stage(name="rollback", outcome="failed", message="not read back"),
]


def test_a_report_is_what_ci_systems_take():
    """A suite per stage; a stage without cases is one itself, so that its failure is seen."""
    text = junit("serinus pipeline", STAGES, {"version": "v2"}, "2026-01-31T12:00:00Z")
    assert problems(text) == []
    root = ET.fromstring(text)
    assert (root.get("tests"), root.get("failures")) == ("5", "2")
    assert [s.get("name") for s in root] == ["guard", "deploy", "rollback"]
    failure = root.find(".//testcase[@name='tag']/failure")
    assert failure.text == failure.get("message") == "v1 is another <commit> & ??[31m"
    assert root.find(".//testcase[@name='rollback']/failure").text == "not read back"
    assert root.find("testsuite/properties/property").attrib == {"name": "version", "value": "v2"}


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('failures="1" errors', 'failures="0" errors', "guard says 0 failures, has 1"),
        ("<testcase name", "<testcase label", "testcase has label"),
        ('time="1234.500"', 'time="20 s"', "testcase took 20 s"),
        ("skipped message", "passed message", "there is no passed"),
    ],
)
def test_the_table_finds_what_is_wrong(before, after, said):
    """So that it cannot pass whatever is written."""
    text = junit("p", STAGES, {}, "2026-01-31T12:00:00Z").replace(
        "skipped>", "passed>" if "passed" in after else "skipped>"
    )
    broken = text.replace(before, after)
    assert broken != text
    assert said in problems(broken)
