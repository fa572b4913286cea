"""GoRules' JSON decision model: tables, switches and expressions, run by zen-engine.

Its expression language can ask for the time and for random numbers, its function nodes run JavaScript
with loops, clock and network. Rules have to be functions of their input, so only the nodes and the
functions below are let through: a list of what is allowed stays safe when the engine learns new tricks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import zen

from serinus.ports.rules import MAX_SOURCE_BYTES, RuleFailure, RuleRejected

__all__ = ["ALLOWED_FUNCTIONS", "ALLOWED_NODES", "ZenEngine"]

ALLOWED_NODES = frozenset({"inputNode", "outputNode", "decisionTableNode", "expressionNode", "switchNode"})
#: Functions of the expression language that depend on their arguments alone.
# fmt: off
ALLOWED_FUNCTIONS = frozenset({
    "len", "contains", "flatten", "upper", "lower", "trim", "startsWith", "endsWith", "matches",
    "extract", "fuzzyMatch", "split", "abs", "sum", "avg", "min", "max", "median", "mode", "floor",
    "ceil", "round", "trunc", "isNumeric", "string", "number", "bool", "type", "keys", "values",
    "merge", "duration", "all", "some", "none", "filter", "map", "flatMap", "count", "one",
})
# fmt: on
_WORDS = frozenset({"and", "or", "not", "in"})
#: Keys of a model whose texts are for people and editors, never evaluated.
_LABELS = frozenset(
    {"id", "_id", "name", "type", "description", "_description", "hitPolicy", "position", "schema"}
)
_CALL = re.compile(r"([A-Za-z_$][\w$]*)\s*\(")
_TEXT = re.compile(r"'[^']*'|\"[^\"]*\"")
#: Nested brackets in one expression; the engine's parser would overflow its stack far beyond.
_MAX_NESTING = 100
#: What a program is called inside its engine.
_KEY = "rules"
_ADVICE = "pass what it depends on in the input, so that the same input always gives the same output"


class ZenEngine:
    """Compiles decision models."""

    example = (
        """{"nodes": [{"id": "in", "type": "inputNode", "name": "in"},
                      {"id": "out", "type": "outputNode", "name": "out"}],
            "edges": [{"id": "e", "sourceId": "in", "targetId": "out"}]}""",
        b"{}",
    )

    def compile(self, source: str) -> ZenProgram:
        """Return the program.

        Raises:
            RuleRejected: It is no decision model, or uses what is not allowed.
        """
        if len(source.encode("utf-8", "surrogatepass")) > MAX_SOURCE_BYTES:
            raise RuleRejected(f"The model is larger than {MAX_SOURCE_BYTES // 1024} KiB.")
        try:
            model = json.loads(source)
        except (ValueError, RecursionError) as error:
            raise RuleRejected(f"The model is no JSON: {error}.") from error
        _ensure_allowed(model)
        try:
            engine = zen.ZenEngine({"loader": {"type": "static", "content": {_KEY: model}}})
            engine.get_decision(_KEY).validate()
        except Exception as error:
            raise RuleRejected(f"The model does not compile: {_told(error)}") from error
        return ZenProgram(engine)


class ZenProgram:
    """A compiled decision. Evaluated as a batch of one: that is ten times faster than ``evaluate``, which
    starts a runtime of its own for each call.
    """

    def __init__(self, engine: zen.ZenEngine) -> None:
        """Keep the engine that holds the decision."""
        self._engine = engine

    def run(self, data: bytes) -> Any:
        """Return the output for an input in JSON.

        Raises:
            RuleFailure: The model gave no answer for this input.
        """
        answer = self._engine.evaluate_batch([{"key": _KEY, "context": data}])[0]
        if not answer.get("success"):
            raise RuleFailure(_told(answer.get("error")))
        return answer["data"]["result"]


def _ensure_allowed(model: Any) -> None:
    nodes = model.get("nodes") if isinstance(model, dict) else None
    if not isinstance(nodes, list) or not nodes or not isinstance(model.get("edges"), list):
        raise RuleRejected("A decision model is an object with the lists `nodes` and `edges`.")
    for at, node in enumerate(nodes):
        kind = node.get("type") if isinstance(node, dict) else None
        name = str(node.get("name") or at)[:60] if isinstance(node, dict) else str(at)
        if kind not in ALLOWED_NODES:
            allowed = ", ".join(sorted(ALLOWED_NODES))
            raise RuleRejected(f"Node {name!r} is a {kind!r}; allowed are {allowed}.")
        if kind in ("inputNode", "outputNode"):
            continue
        for where, text in _texts(node.get("content"), f"node {name!r}"):
            _ensure_pure(where, text)
        _ensure_sound(kind, node.get("content"), f"node {name!r}")


def _ensure_sound(kind: str, content: Any, where: str) -> None:
    """Refuse expressions that do not parse: the engine itself would quietly take them for no match."""
    content = content if isinstance(content, dict) else {}
    if kind == "expressionNode":
        for one in content.get("expressions") or ():
            _ensure_parses(one.get("value"), f"{where}, {one.get('key')}")
    elif kind == "switchNode":
        for one in content.get("statements") or ():
            _ensure_parses(one.get("condition"), f"{where}, condition")
    else:
        tests = {c.get("id") for c in content.get("inputs") or () if c.get("field")}
        columns = [c.get("id") for side in ("inputs", "outputs") for c in content.get(side) or ()]
        for at, row in enumerate(content.get("rules") or (), 1):
            for column in columns:
                _ensure_parses(row.get(column), f"{where}, row {at}", unary=column in tests)


def _ensure_parses(text: Any, where: str, *, unary: bool = False) -> None:
    if text is None or (isinstance(text, str) and not text.strip()):
        return
    if not isinstance(text, str):
        raise RuleRejected(f"{where}: {text!r:.60} is no text: an expression is written as text.")
    try:  # compiling tells more than the binding's validate functions, which know no unary tests
        (zen.compile_unary_expression if unary else zen.compile_expression)(text)
    except Exception as error:
        raise RuleRejected(f"{where}: {text[:80]!r} does not parse: {_told(error)}") from error


def _texts(value: Any, where: str) -> Iterator[tuple[str, str]]:
    """Yield every text that the engine may evaluate, with its place."""
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if key not in _LABELS:
                yield from _texts(inner, f"{where}.{key}")
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from _texts(inner, f"{where}[{at}]")


def _ensure_pure(where: str, text: str) -> None:
    # Quoted text is no code. Where escapes or templates could make us see quotes that the engine does
    # not, everything is looked at: that refuses too much rather than too little.
    code = text if "\\" in text or "`" in text else _TEXT.sub("''", text)
    if max(code.count(c) for c in "([{") > _MAX_NESTING:
        raise RuleRejected(f"{where} has more than {_MAX_NESTING} brackets in one expression.")
    for name in _CALL.findall(code):
        if name not in ALLOWED_FUNCTIONS and name not in _WORDS:
            raise RuleRejected(f"{where} calls {name}(), which is not allowed: {_ADVICE}.")


def _told(report: Any) -> str:
    """Return the engine's report, JSON with a stack trace behind it, as one sentence."""
    if isinstance(report, Exception):
        text = str(report).partition("\n\nStack backtrace")[0].strip()
        try:
            report = json.loads(text)
        except ValueError:
            return text[:300]
    node = ""
    while isinstance(report, dict):
        node = str(report.get("nodeId") or node)
        report = report.get("source") or report.get("type") or "it gave no reason"
    text = f"{report!s:.300}".partition("\n")[0]
    return text + (f" (node {node})" if node else "")
