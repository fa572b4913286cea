"""What CI systems take as JUnit XML: elements, their order and their attributes, written down as a table.

It says what the schema of Jenkins' xUnit plugin (``junit-10.xsd``) says of the parts that we write.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

#: Element → required attributes, optional ones, and the elements that may stand inside.
TABLE = {
    "testsuites": ("", "name time tests failures errors", "testsuite"),
    "testsuite": (
        "name tests failures errors",
        "group time skipped timestamp hostname id package file log url",
        "testsuite properties testcase system-out system-err",
    ),
    "properties": ("", "", "property"),
    "property": ("name value", "", ""),
    "testcase": ("name", "time classname group", "skipped error failure system-out system-err"),
    "failure": ("", "type message", ""),
    "error": ("", "type message", ""),
    "skipped": ("", "type message", ""),
    "system-out": ("", "", ""),
    "system-err": ("", "", ""),
}
#: Elements that hold text.
TEXT = {"failure", "error", "skipped", "system-out", "system-err"}
TIME = re.compile(r"[0-9]*(\.[0-9]*)?")


def problems(text: str) -> list[str]:
    """Return what a CI system would not take; nothing when it takes all."""
    root = ET.fromstring(text)
    found = [] if root.tag in ("testsuites", "testsuite") else [f"the root is {root.tag}"]
    for element in root.iter():
        found += _element(element)
    for suite in root.iter("testsuite"):
        cases = suite.findall("testcase")
        for attribute, inside in (("failures", "failure"), ("skipped", "skipped"), ("errors", "error")):
            count = sum(case.find(inside) is not None for case in cases)
            if suite.get(attribute) != str(count):
                found.append(f"{suite.get('name')} says {suite.get(attribute)} {attribute}, has {count}")
        if suite.get("tests") != str(len(cases)):
            found.append(f"{suite.get('name')} says {suite.get('tests')} tests, has {len(cases)}")
    return found


def _element(element: ET.Element) -> list[str]:
    if element.tag not in TABLE:
        return [f"there is no {element.tag}"]
    required, optional, inside = (set(words.split()) for words in TABLE[element.tag])
    found = [f"{element.tag} has no {name}" for name in sorted(required - set(element.keys()))]
    found += [f"{element.tag} has {name}" for name in sorted(set(element.keys()) - required - optional)]
    found += [f"{child.tag} in {element.tag}" for child in element if child.tag not in inside]
    if element.text and element.text.strip() and element.tag not in TEXT:
        found.append(f"text in {element.tag}")
    if not TIME.fullmatch(element.get("time", "")):
        found.append(f"{element.tag} took {element.get('time')}")
    return found
