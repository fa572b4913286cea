"""Holding answers, log lines and metrics against what a smoke file expects. Pure: texts in, words out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from serinus.smoke.file import Expect, JsonExpect, LogLine, Metric
from serinus.smoke.paths import MISSING, look_up

__all__ = ["body_problems", "json_problems", "log_problem", "metric_found", "read_metrics"]

_KINDS = {str: "text", bool: "boolean", int: "number", float: "number", list: "list", dict: "object"}
_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+\S+)?(?:\s+#.*)?")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:\\.|[^"\\])*)"')
_PAIR = re.compile(r'([A-Za-z_][\w.-]*)=("(?:\\.|[^"\\])*"|\S*)')


def body_problems(
    expect: Expect, status: int, headers: Mapping[str, str], body: str, seconds: float
) -> list[str]:
    """Return what is wrong with an answer besides its JSON."""
    said = []
    if expect.status is None and not 200 <= status <= 299:
        said.append(f"status {status}, expected 2xx")
    elif expect.status is not None and status not in expect.status:
        said.append(f"status {status}, expected {' or '.join(map(str, expect.status))}")
    if expect.within is not None and seconds > expect.within:
        said.append(f"took {seconds * 1000:.0f} ms, at most {expect.within * 1000:.0f} ms")
    for name, value in (expect.headers or {}).items():
        got = headers.get(name)
        if got != value:
            said.append(f"header {name} is {short(got) if got is not None else 'missing'}, expected {value}")
    if expect.contains and expect.contains not in body:
        said.append(f"its body does not contain {short(expect.contains)}")
    return said


def json_problems(expected: Iterable[JsonExpect], data: Any) -> list[str]:
    """Return what is wrong with a JSON answer."""
    return [said for one in expected if (said := _json_problem(one, look_up(data, one.path)))]


def _json_problem(one: JsonExpect, value: Any) -> str:
    if value is MISSING:
        return "" if one.exists is False else f"{one.path} is missing"
    if one.exists is False:
        return f"{one.path} is {short(value)}, expected nothing"
    wrong = [
        (one.equals is not None and not _same(value, one.equals), f"expected {short(one.equals)}"),
        (one.type is not None and kind_of(value) != one.type, f"expected a {one.type}"),
        (one.matches is not None and not re.search(one.matches or "", str(value)), f"expected {one.matches}"),
        (one.at_least is not None and not _number(value) >= one.at_least, f"at least {one.at_least}"),
        (one.at_most is not None and not _number(value) <= one.at_most, f"at most {one.at_most}"),
    ]
    for is_wrong, words in wrong:
        if is_wrong:
            return f"{one.path} is {short(value)}, {words}"
    if one.count is not None and (count := _count(value)) != one.count:
        return f"{one.path} has {count if count is not None else 'no'} elements, expected {one.count}"
    return ""


def _same(one: Any, two: Any) -> bool:
    """Compare as JSON does: true is not 1."""
    return bool(one == two) and kind_of(one) == kind_of(two)


def kind_of(value: Any) -> str:
    """Return a JSON value's type in our words."""
    return _KINDS.get(type(value), "null")


def _number(value: Any) -> float:
    return float(value) if kind_of(value) == "number" else float("nan")


def _count(value: Any) -> int | None:
    return len(value) if isinstance(value, list | dict | str) else None


def log_problem(wanted: LogLine, lines: Iterable[str]) -> str:
    """Return why no line is the wanted one; nothing when there is one."""
    fewest: list[str] | None = None
    for line in lines:
        fields = _fields(wanted, line)
        if fields is None:
            continue
        missing = [name for name in wanted.fields if name not in fields]
        if not missing:
            return ""
        fewest = missing if fewest is None or len(missing) < len(fewest) else fewest
    if fewest is None:
        return f"no line {wanted.name}"
    return f"{wanted.name} has no {', '.join(fewest)}"


def _fields(wanted: LogLine, line: str) -> set[str] | None:
    """Return a line's fields when it is about the wanted event."""
    try:
        data = json.loads(line)
    except ValueError:
        data = None
    if isinstance(data, dict):
        return set(data) if data.get(wanted.key) == wanted.name else None
    if not re.search(rf"(?<![\w.-]){re.escape(wanted.name)}(?![\w.-])", line):
        return None
    return {found[1] for found in _PAIR.finditer(line)}


Samples = list[tuple[str, dict[str, str], float]]


def read_metrics(text: str) -> Samples:
    """Return the samples of a Prometheus exposition; lines that are none are left out."""
    made: Samples = []
    for line in text.splitlines():
        found = None if line.startswith("#") else _SAMPLE.fullmatch(line.strip())
        if not found:
            continue
        try:
            value = float(found[3])
        except ValueError:
            continue
        labels = {name: _unescaped(text) for name, text in _LABEL.findall(found[2] or "")}
        made.append((found[1], labels, value))
    return made


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], text)


def metric_found(metric: Metric, samples: Samples) -> tuple[bool, str]:
    """Tell whether a metric is there within its bounds, and say what was found."""
    wanted = (metric.labels or {}).items()
    values = [value for name, labels, value in samples if name == metric.name and wanted <= labels.items()]
    if not values:
        shown = ",".join(f'{k}="{v}"' for k, v in wanted)
        return False, f"{metric.name}{{{shown}}} is missing" if shown else f"{metric.name} is missing"
    total = sum(values)
    if metric.at_least is not None and not total >= metric.at_least:
        return False, f"{total:g}, at least {metric.at_least:g}"
    if metric.at_most is not None and not total <= metric.at_most:
        return False, f"{total:g}, at most {metric.at_most:g}"
    return True, f"{total:g}" + (f" in {len(values)} series" if len(values) > 1 else "")


def short(value: Any) -> str:
    """Return a value for a message, bounded."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "…"
