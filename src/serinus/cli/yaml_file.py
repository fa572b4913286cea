"""Reading YAML that people write: bounded, without surprises, and with the line of every value.

The types are those of YAML 1.2: ``on``, ``off`` and ``yes`` are texts, ``010`` is ten. A key given
twice is an error, and so is what grows when its aliases are followed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from serinus.core.codec import at

__all__ = ["Document", "Mark", "Unreadable", "read_yaml", "write_yaml"]

MAX_BYTES = 256_000
#: Values after all aliases have been followed.
MAX_VALUES = 50_000
MAX_DEPTH = 50
_TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a file, counted from 1."""

    line: int
    column: int


class Unreadable(Exception):
    """The file is no YAML that we read; carries all that is wrong."""

    def __init__(self, *problems: tuple[Mark | None, str]) -> None:
        """Keep what is wrong, and where."""
        self.problems = problems
        super().__init__("; ".join(words for _, words in problems))


@dataclass(slots=True)
class Document:
    """A file's data, and where each part of it stands."""

    data: Any = None
    marks: dict[str, Mark] = field(default_factory=dict)

    def mark(self, place: str) -> Mark | None:
        """Return where a place stands, or the nearest part around it that does."""
        while place and place not in self.marks:
            place = place[: max(place.rfind("."), place.rfind("["), 0)]
        return self.marks.get(place)

    def key_mark(self, place: str) -> Mark | None:
        """Return where a place's key stands, or the place itself."""
        return self.marks.get(f"{place} (key)") or self.mark(place)


class _Loader(yaml.SafeLoader):
    """YAML with the types of YAML 1.2's core schema."""


#: Type → what it looks like, and its first characters.
_PLAIN = {
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
    "null": (r"~|null|Null|NULL|", "~nN"),
}
_Loader.yaml_implicit_resolvers = {}
for _name, (_pattern, _first) in _PLAIN.items():
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(rf"(?:{_pattern})\Z"), [*_first, ""])


def read_yaml(path: Path) -> Document:
    """Read a file.

    Raises:
        Unreadable: It is missing, too big, not UTF-8, no YAML, or uses what we do not take.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise Unreadable((None, error.strerror or "cannot be read")) from None
    if len(raw) > MAX_BYTES:
        raise Unreadable((None, f"bigger than {MAX_BYTES // 1000} kB"))
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        raise Unreadable((Mark(line, column), "not UTF-8: save it as UTF-8")) from None
    return _converted(_composed(text))


def _composed(text: str) -> yaml.Node:
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        words = " ".join(part for part in (error.problem, error.context) if part)
        raise Unreadable((_mark(error.problem_mark or error.context_mark), f"no YAML: {words}")) from None
    except yaml.YAMLError as error:
        raise Unreadable((None, f"no YAML: {' '.join(str(error).split())}")) from None
    except RecursionError:
        raise Unreadable((None, "nested too deeply")) from None
    if node is None:
        raise Unreadable((None, "the file is empty"))
    return node


def _converted(node: yaml.Node) -> Document:
    made = Document()
    conversion = _Conversion(made.marks)
    made.data = conversion.value(node, "", 0)
    if conversion.problems:
        raise Unreadable(*conversion.problems)
    return made


class _Conversion:
    """Turns nodes into plain data, and notes where each came from."""

    def __init__(self, marks: dict[str, Mark]) -> None:
        self.marks = marks
        self.problems: list[tuple[Mark | None, str]] = []
        self._left = MAX_VALUES

    def value(self, node: yaml.Node, place: str, depth: int) -> Any:
        """Return a node's data.

        Raises:
            Unreadable: It is too much, once aliases are followed.
        """
        self._left -= 1
        if self._left < 0 or depth > MAX_DEPTH:
            why = "too many values" if self._left < 0 else "nested too deeply"
            raise Unreadable((_mark(node.start_mark), f"{why} (aliases count each time)"))
        self.marks.setdefault(place, _known_mark(node))
        if not isinstance(node, yaml.ScalarNode) and node.tag not in (f"{_TAG}map", f"{_TAG}seq"):
            self._refuse_tag(node)
            return None
        if isinstance(node, yaml.MappingNode):
            return dict(self._pairs(node, place, depth))
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, f"{place}[{n}]", depth + 1) for n, item in enumerate(node.value)]
        return self._scalar(node)

    def _pairs(self, node: yaml.MappingNode, place: str, depth: int) -> Iterator[tuple[str, Any]]:
        seen: dict[str, Mark] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append((_mark(key_node.start_mark), "a key must be a text"))
                continue
            key = str(self._scalar(_as_text(key_node)))
            if key in seen:
                words = f"{key[:60]!r} is given twice; the first is on line {seen[key].line}"
                self.problems.append((_mark(key_node.start_mark), words))
                continue
            seen[key] = _known_mark(key_node)
            inside = at(place, key)
            value = self.value(value_node, inside, depth + 1)
            # An unknown key is pointed at by its own place, a wrong value by the value's.
            self.marks[f"{inside} (key)"] = seen[key]
            yield key, value

    def _scalar(self, node: yaml.Node) -> Any:
        text, kind = str(node.value), node.tag.removeprefix(_TAG)
        try:
            return _SCALARS[kind](text)
        except KeyError:
            self._refuse_tag(node)
        except ValueError:
            self.problems.append((_mark(node.start_mark), f"{text[:60]!a} is no {_WORDS[kind]}"))
        return None

    def _refuse_tag(self, node: yaml.Node) -> None:
        self.problems.append((_mark(node.start_mark), f"the tag {node.tag[:60]!a} is not taken here"))


def _as_text(node: yaml.ScalarNode) -> yaml.ScalarNode:
    """Keys are texts, whatever they look like."""
    return yaml.ScalarNode(f"{_TAG}str", node.value, node.start_mark, node.end_mark)


def _int(text: str) -> int:
    sign = -1 if text.startswith("-") else 1
    bare = text.lstrip("+-")
    base = {"0o": 8, "0x": 16}.get(bare[:2], 10)
    return sign * int(bare[2:] if base != 10 else bare, base)


def _bool(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


def _float(text: str) -> float:
    return float(re.sub(r"^([-+]?)\.(inf|nan)$", r"\1\2", text.lower()))


def _str(text: str) -> str:
    # Half a character, written as an escape, can be neither printed nor sent.
    text.encode()
    return text


_SCALARS: dict[str, Callable[[str], Any]] = {
    "str": _str,
    "int": _int,
    "float": _float,
    "bool": _bool,
    "null": lambda _: None,
}


_WORDS = {"str": "text", "int": "whole number", "float": "number", "bool": "true or false", "null": "null"}


def _mark(mark: yaml.Mark | None) -> Mark | None:
    return None if mark is None else Mark(mark.line + 1, mark.column + 1)


def _known_mark(node: yaml.Node) -> Mark:
    return _mark(node.start_mark) or Mark(1, 1)


class _Dumper(yaml.SafeDumper):
    """Lists inside keys are indented; nothing is folded or shared by aliases."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        """Indent every list."""
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        """Write everything out."""
        return True


def _written_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Quote what looks like something else to us; what does to older readers is quoted anyway."""
    unlike = any(re.fullmatch(pattern, text) for pattern, _ in _PLAIN.values())
    return dumper.represent_scalar(f"{_TAG}str", text, style="'" if unlike else None)


_Dumper.add_representer(str, _written_text)


def write_yaml(data: Any) -> str:
    """Return data as YAML that older readers take for the same."""
    return yaml.dump(
        data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=10**6
    )
