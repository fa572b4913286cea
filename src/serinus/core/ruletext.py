"""Rules as people read them, line by line, and what changed between two versions.

A decision model is a drawing in JSON; two of them are compared by what they say: rows of tables,
conditions, expressions, and what leads where.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

__all__ = ["Line", "changed_lines", "readable", "rule_changes"]

#: Lines that stay the same and are shown around a change.
CONTEXT = 3
#: Longer stretches are shown as wholly replaced: finding the best match would take too long.
MOST_MATCHED = 2000
#: Fields that an editor keeps for itself, or that are said in another way.
_KEPT = {"id", "name", "type", "position", "content"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A line of a comparison; its numbers count from 1 in the version before and after."""

    #: ``same``, ``gone``, ``new``, or ``left_out`` for a stretch that is the same in both.
    kind: str
    text: str = ""
    before: int | None = None
    after: int | None = None


def readable(engine: str, content: Any) -> list[str]:
    r"""Return rules as lines: a script as it is, a decision model by what it decides.

    >>> readable("starlark", "def decide(input):\n    return 1")
    ['def decide(input):', '    return 1']
    """
    if isinstance(content, str):
        return content.splitlines()
    if engine == "zen" and isinstance(content, Mapping) and isinstance(content.get("nodes"), list):
        return list(_model(content))
    return _json(content)


def rule_changes(before: tuple[str, Any], after: tuple[str, Any]) -> tuple[list[Line], bool]:
    """Return what changed between two (engine, content), and whether it is more than a drawing.

    Where everything that people read is the same (an editor moved a node, gave a row another id), the
    lines are those of the JSON itself: what differs is never called the same.
    """
    engines = before[0] != after[0]  # only then they are worth a line: scripts keep their line numbers
    one, two = ([f"engine: {e}"] * engines + readable(e, content) for e, content in (before, after))
    said = changed_lines(one, two)
    return (said, True) if said else (changed_lines(_json(before[1]), _json(after[1])), False)


def changed_lines(before: Sequence[str], after: Sequence[str]) -> list[Line]:
    """Return what changed between two texts, with a few lines around each change; empty if nothing did."""
    if list(before) == list(after):
        return []
    lines: list[Line] = []
    groups = _grouped(before, after)
    shown = 0
    for group in groups:
        start = group[0][1]
        if start > shown:
            lines.append(Line(kind="left_out", text=str(start - shown)))
        for tag, a, b, c, d in group:
            if tag == "equal":
                lines += [
                    Line(kind="same", text=before[n], before=n + 1, after=c + n - a + 1) for n in range(a, b)
                ]
            else:
                lines += [Line(kind="gone", text=before[n], before=n + 1) for n in range(a, b)]
                lines += [Line(kind="new", text=after[n], after=n + 1) for n in range(c, d)]
        shown = group[-1][2]
    if shown < len(before):
        lines.append(Line(kind="left_out", text=str(len(before) - shown)))
    return lines


_Operation = tuple[str, int, int, int, int]


def _grouped(before: Sequence[str], after: Sequence[str]) -> list[list[_Operation]]:
    """Return the changes with their surroundings; what both begin and end with is not searched."""
    head = 0
    while head < min(len(before), len(after)) and before[head] == after[head]:
        head += 1
    tail = 0
    while tail < min(len(before), len(after)) - head and before[-1 - tail] == after[-1 - tail]:
        tail += 1
    first, last = head, (len(before) - tail, len(after) - tail)
    inner: list[_Operation]
    if max(last) - first > MOST_MATCHED:
        inner = [("replace", first, last[0], first, last[1])]
    else:
        matcher = SequenceMatcher(None, before[first : last[0]], after[first : last[1]], autojunk=False)
        inner = [
            (tag, a + first, b + first, c + first, d + first) for tag, a, b, c, d in matcher.get_opcodes()
        ]
    ends: list[_Operation] = [("equal", 0, first, 0, first)] if first else []
    ends_after: list[_Operation] = [("equal", last[0], len(before), last[1], len(after))] if tail else []
    return _within_context([*ends, *inner, *ends_after])


def _within_context(operations: list[_Operation]) -> list[list[_Operation]]:
    """Cut long stretches of sameness to what surrounds a change."""
    groups: list[list[_Operation]] = [[]]
    final = len(operations) - 1
    for at, (tag, a, b, c, d) in enumerate(operations):
        if tag != "equal":
            groups[-1].append((tag, a, b, c, d))
            continue
        keep_before, keep_after = (0 if at == 0 else CONTEXT), (0 if at == final else CONTEXT)
        if b - a <= keep_before + keep_after + 1:  # a note would be no shorter than the line
            groups[-1].append((tag, a, b, c, d))
            continue
        if keep_before:
            groups[-1].append((tag, a, a + CONTEXT, c, c + CONTEXT))
        if keep_after:
            groups.append([(tag, b - CONTEXT, b, d - CONTEXT, d)])
    return [group for group in groups if group]


# -- decision models ------------------------------------------------------------------------------


def _model(model: Mapping[str, Any]) -> Iterator[str]:
    nodes = [n for n in model["nodes"] if isinstance(n, Mapping)]
    names = {n.get("id"): str(n.get("name") or n.get("id")) for n in nodes}
    for node in nodes:
        lines = list(_node(node))
        if lines:
            yield f"{names[node.get('id')]} ({_kind(node)})"
            yield from (f"    {line}" for line in lines)
    for edge in model.get("edges") or ():
        if isinstance(edge, Mapping):
            way = f" [{edge['sourceHandle']}]" if edge.get("sourceHandle") else ""
            source, target = edge.get("sourceId"), edge.get("targetId")
            yield f"{names.get(source, source)}{way} → {names.get(target, target)}"
    yield from _rest(model, {"nodes", "edges"})


def _kind(node: Mapping[str, Any]) -> str:
    kind = str(node.get("type") or "node").removesuffix("Node")
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in kind)


def _node(node: Mapping[str, Any]) -> Iterator[str]:
    content = node.get("content")
    if isinstance(content, str):
        yield from content.splitlines()
    elif isinstance(content, Mapping):
        said = _SAID.get(str(node.get("type")))
        if said:
            yield from said(content)
        else:
            yield from _rest(content, set())
    elif content is not None:
        yield from _json(content)
    yield from _rest(node, _KEPT)


def _table(content: Mapping[str, Any]) -> Iterator[str]:
    """One line a row: ``Amount > 100 → Discount = 0.1``."""
    inputs, outputs = _columns(content, "inputs"), _columns(content, "outputs")
    for column in (*inputs, *outputs):
        yield f"column {_label(column)}{_about(column)}"
    for row in _maps(content.get("rules")):
        when = [f"{_label(c)} {row[c['id']]}" for c in inputs if row.get(c["id"])]
        then = [f"{_label(c)} = {row[c['id']]}" for c in outputs if row.get(c["id"])]
        note = f"  # {row['_description']}" if row.get("_description") else ""
        yield f"{' and '.join(when) or 'otherwise'} → {', '.join(then) or 'nothing'}{note}"
    yield from _rest(content, {"inputs", "outputs", "rules"})


def _columns(content: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    return [c for c in _maps(content.get(name)) if isinstance(c.get("id"), str)]


def _label(column: Mapping[str, Any]) -> str:
    return str(column.get("name") or column.get("field") or column["id"])


def _about(column: Mapping[str, Any]) -> str:
    field = f" reads {column['field']}" if column.get("field") else ""
    default = f", by default {column['defaultValue']}" if column.get("defaultValue") else ""
    return f"{field}{default}"


def _expressions(content: Mapping[str, Any]) -> Iterator[str]:
    for one in _maps(content.get("expressions")):
        yield f"{one.get('key')} = {one.get('value')}"
    yield from _rest(content, {"expressions"})


def _switch(content: Mapping[str, Any]) -> Iterator[str]:
    for one in _maps(content.get("statements")):
        yield f"[{one.get('id')}] when {one.get('condition') or 'nothing else holds'}"
    yield from _rest(content, {"statements"})


def _function(content: Mapping[str, Any]) -> Iterator[str]:
    yield from str(content.get("source") or "").splitlines()
    yield from _rest(content, {"source"})


_SAID = {
    "decisionTableNode": _table,
    "expressionNode": _expressions,
    "switchNode": _switch,
    "functionNode": _function,
}


def _rest(content: Mapping[str, Any], said: set[str]) -> Iterator[str]:
    """Say whatever else is there, so that nothing is kept from whoever compares."""
    for key in sorted(set(content) - said, key=str):
        if content[key] not in (None, "", [], {}):
            yield from f"{key}: {_text(content[key])}".splitlines()


def _maps(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    return (
        value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True)
    )


def _json(value: Any) -> list[str]:
    return json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True).splitlines()
