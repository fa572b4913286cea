"""A pipeline's report for machines: JSON, and JUnit XML as CI systems read it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from xml.etree import ElementTree as ET

__all__ = ["Case", "Stage", "junit"]

#: What XML 1.0 cannot carry.
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One thing that was checked or done."""

    name: str
    #: ``passed``, ``failed`` or ``skipped``.
    outcome: str
    message: str = ""
    seconds: float = 0.0


@dataclass(kw_only=True, slots=True)
class Stage:
    """One stage of a pipeline."""

    name: str
    #: ``passed``, ``failed``, or ``skipped`` when it was not come to.
    outcome: str = "skipped"
    message: str = ""
    seconds: float = 0.0
    cases: list[Case] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


def junit(name: str, stages: Sequence[Stage], properties: Mapping[str, str], stamp: str) -> str:
    """Return stages as JUnit XML: a suite per stage, a case per check.

    A stage without cases is a case itself, so that nothing that failed is missing in the report.
    """
    suites = [(stage, stage.cases or [_itself(stage)]) for stage in stages]
    root = ET.Element("testsuites", _counts(name, [c for _, cases in suites for c in cases]))
    del root.attrib["skipped"]  # the format has it for suites alone
    for stage, cases in suites:
        suite = ET.SubElement(root, "testsuite", {**_counts(stage.name, cases), "timestamp": stamp})
        suite.set("time", f"{stage.seconds:.3f}")
        listed = ET.SubElement(suite, "properties")
        for key, value in properties.items():
            ET.SubElement(listed, "property", {"name": key, "value": _legal(value)})
        for case in cases:
            _case(suite, stage, case)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _itself(stage: Stage) -> Case:
    return Case(name=stage.name, outcome=stage.outcome, message=stage.message, seconds=stage.seconds)


def _counts(name: str, cases: Sequence[Case]) -> dict[str, str]:
    return {
        "name": _legal(name),
        "tests": str(len(cases)),
        "failures": str(sum(c.outcome == "failed" for c in cases)),
        "errors": "0",
        "skipped": str(sum(c.outcome == "skipped" for c in cases)),
        "time": f"{sum(c.seconds for c in cases):.3f}",
    }


def _case(suite: ET.Element, stage: Stage, case: Case) -> None:
    what = {"name": _legal(case.name), "classname": f"serinus.{stage.name}", "time": f"{case.seconds:.3f}"}
    made = ET.SubElement(suite, "testcase", what)
    message = _legal(case.message)
    if case.outcome == "failed":
        ET.SubElement(made, "failure", {"message": message, "type": stage.name}).text = message
    elif case.outcome == "skipped":
        ET.SubElement(made, "skipped", {"message": message})
    elif message:
        ET.SubElement(made, "system-out").text = message


def _legal(text: str) -> str:
    return _ILLEGAL.sub("?", text)
