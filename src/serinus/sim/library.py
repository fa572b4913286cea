"""Where worlds come from: the package's own files, and files of the user's, in YAML or JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from enum import StrEnum
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from serinus.core.codec import from_json
from serinus.core.errors import InvalidInput, NotFound
from serinus.sim.world import Kind, World, problems_of

__all__ = ["Set", "find_worlds", "shipped", "worlds_from"]


class Set(StrEnum):
    """Which of the shipped worlds."""

    TUNED = "tuned"  #: those that defaults are tuned on
    HELD_OUT = "held-out"  #: other numbers and other kinds, never tuned on
    ALL = "all"


def worlds_from(data: Any, where: str) -> tuple[World, ...]:
    """Read one world or a list of them, as YAML or JSON gives them.

    Raises:
        InvalidInput: An unknown key (the nearest known one is named), a wrong type or a senseless value.
    """
    items = data if isinstance(data, list) else [data]
    worlds = tuple(
        from_json(World, item, f"{where}[{at}]" if isinstance(data, list) else where)
        for at, item in enumerate(items)
    )
    for world in worlds:
        _check(world, where)
    return worlds


def find_worlds(names: Iterable[str], chosen: Set = Set.TUNED) -> tuple[World, ...]:
    """Return the worlds that are named or read from the files that are named; without names, a whole set.

    Raises:
        NotFound: Neither a shipped world nor a file.
        InvalidInput: A file that does not hold worlds.
    """
    known = {world.name: world for world in shipped(Set.ALL)}
    found: list[World] = []
    for name in names:
        if name in known:
            found.append(known[name])
        elif Path(name).suffix in _READERS and Path(name).is_file():
            found += worlds_from(_read(name, Path(name).read_text(encoding="utf-8")), name)
        else:
            near = get_close_matches(name, known, n=1)
            raise NotFound(
                f"There is no world {name!r} and no file of this name ending in .yaml or .json.",
                next_step=f"Did you mean {near[0]!r}?" if near else "`serinus simulate --list` shows them.",
            )
    return tuple({world.name: world for world in found}.values()) if found else shipped(chosen)


@cache
def shipped(chosen: Set) -> tuple[World, ...]:
    """Return the worlds that come with Serinus: healthy ones first, each in the order of its file."""
    if chosen is Set.ALL:
        return shipped(Set.TUNED) + shipped(Set.HELD_OUT)
    folder = resources.files(__package__) / "worlds"
    if chosen is Set.HELD_OUT:
        folder = folder / "held-out"
    worlds: list[World] = []
    for kind in Kind:
        name = f"{kind.value}.yaml"
        worlds += worlds_from(_read(name, (folder / name).read_text(encoding="utf-8")), name)
    return tuple(worlds)


def _yaml(text: str) -> Any:
    try:
        import yaml
    except ModuleNotFoundError:
        raise InvalidInput(
            "Reading YAML needs the extra `sim`.", next_step="pip install 'serinus[sim]'"
        ) from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


_READERS: dict[str, Callable[[str], Any]] = {".yaml": _yaml, ".yml": _yaml, ".json": json.loads}


def _read(name: str, text: str) -> Any:
    try:
        return _READERS[Path(name).suffix](text)
    except ValueError as error:
        raise InvalidInput(
            f"{name} cannot be read: {error}", field=name, next_step="Correct the file."
        ) from None


def _check(world: World, where: str) -> None:
    problems = list(problems_of(world))
    if problems:
        raise InvalidInput(
            f"{where}: world {world.name!r}: {'; '.join(problems)}.",
            field=where,
            next_step="Correct the world.",
        )
