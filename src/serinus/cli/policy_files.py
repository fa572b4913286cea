"""Policy files for commands: read, checked, with every problem by its line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from serinus.cli.yaml_file import Document, Mark, Unreadable, read_yaml
from serinus.core.errors import InvalidInput
from serinus.core.policy.file import PolicyFile, policy_file_from
from serinus.core.policy.presets import PRESETS

__all__ = ["Loaded", "Problem", "Wrong", "load", "named", "read_as", "to_send"]

T = TypeVar("T")
_SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong in a file."""

    path: Path
    mark: Mark | None
    place: str
    words: str

    def __str__(self) -> str:
        """Return it as compilers write theirs, so that editors find the place."""
        where = f":{self.mark.line}:{self.mark.column}" if self.mark else ""
        return f"{self.path}{where}: {self.place + ': ' if self.place else ''}{self.words}"


class Wrong(Exception):
    """A policy file is not right; carries all problems in the order of their lines."""

    def __init__(self, problems: list[Problem], *, readable: bool) -> None:
        """Keep what is wrong, and whether it could be read at all."""
        self.problems = sorted(problems, key=lambda p: (p.mark.line, p.mark.column) if p.mark else (0, 0))
        self.readable = readable
        super().__init__("\n".join(str(problem) for problem in self.problems))


@dataclass(frozen=True, slots=True)
class Loaded:
    """A policy, and the data that it was read from."""

    file: PolicyFile
    data: dict[str, Any]


def load(path: Path) -> Loaded:
    """Read a policy file.

    Raises:
        Wrong: Something is not right.
    """
    return read_as(path, lambda data: Loaded(policy_file_from(data), data))


def read_as(path: Path, reader: Callable[[Any], T]) -> T:
    """Read a YAML file by a function that raises ``InvalidInput`` with ``errors`` by place.

    Raises:
        Wrong: Something is not right.
    """
    try:
        document = read_yaml(path)
    except Unreadable as error:
        listed = [Problem(path, mark, "", words) for mark, words in error.problems]
        raise Wrong(listed, readable=False) from None
    try:
        return reader(document.data)
    except InvalidInput as error:
        errors: dict[str, str] = error.extra.get("errors", {error.field: error.detail})
        listed = [
            Problem(path, _mark(document, place, words), place, words) for place, words in errors.items()
        ]
        raise Wrong(listed, readable=True) from None


def _mark(document: Document, place: str, words: str) -> Mark | None:
    return document.key_mark(place) if words.startswith("unknown key") else document.mark(place)


def named(text: str) -> Loaded:
    """Return a policy by its file, or by a preset's name.

    Raises:
        Wrong: Something is not right.
    """
    path = Path(text)
    if text in PRESETS and not path.is_file():
        data = {"version": 1, "preset": text}
        return Loaded(policy_file_from(data), data)
    if not path.exists() and path.suffix not in _SUFFIXES:
        words = f"there is no such file, and no preset of this name ({', '.join(sorted(PRESETS))})"
        raise Wrong([Problem(path, None, "", words)], readable=False)
    return load(path)


def to_send(text: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return what a rollout's ``analysis`` is, and its steps when a file names them.

    A JSON object without ``version`` is the API's own form and is sent as it is.

    Raises:
        Wrong: Something is not right.
    """
    path = Path(text)
    if path.suffix not in _SUFFIXES and not path.is_file():
        return {"preset": text}, []
    plain = _api_form(path)
    if plain is not None:
        return plain, []
    loaded = load(path)
    steps = [
        {"traffic_percentage": s.traffic_bp / 100, "hold_seconds": s.hold_seconds, "gate": s.gate}
        for s in loaded.file.steps
    ]
    return loaded.data, steps


def _api_form(path: Path) -> dict[str, Any] | None:
    if path.suffix != ".json":
        return None
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None  # told with its place when it is read as a policy file
    return data if isinstance(data, dict) and "version" not in data else None
