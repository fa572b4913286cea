"""Values to JSON and back, checked: one reading of a frozen dataclass for storage, files and API bodies.

Unknown keys and wrong types are collected, each with its place, and the nearest known name is offered.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import datetime
from difflib import get_close_matches
from enum import Enum
from functools import cache
from math import isfinite
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from serinus.core.errors import InvalidInput

__all__ = ["from_json", "nearest", "to_json"]

T = TypeVar("T")


def to_json(value: Any) -> Any:
    """Return ``value`` as plain JSON data: dataclasses and named tuples become objects."""
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: to_json(item) for name, item in value._asdict().items()}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    return value


def from_json(kind: type[T], data: Any, where: str = "") -> T:
    """Read ``data`` as a ``kind``.

    Raises:
        InvalidInput: Anything unknown, missing or of the wrong type; all of it in one error, by place.
    """
    problems: dict[str, str] = {}
    value = _read(kind, data, where, problems)
    if problems:
        place, first = next(iter(problems.items()))
        raise InvalidInput(
            f"{place or 'input'}: {first}"
            + (f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""),
            field=place,
            next_step="Correct the fields listed in `errors`.",
            extra={"errors": problems},
        )
    return value  # type: ignore[no-any-return]


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _read(kind: Any, data: Any, where: str, problems: dict[str, str]) -> Any:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _read_union(kind, data, where, problems)
    if origin is tuple:
        return _read_list(get_args(kind)[0], data, where, problems)
    if origin is dict:
        return _read_dict(get_args(kind)[1], data, where, problems)
    if isinstance(kind, type):
        if is_dataclass(kind):
            return _read_dataclass(kind, data, where, problems)
        if hasattr(kind, "_field_defaults"):
            return _read_named_tuple(kind, data, where, problems)
    return _read_scalar(kind, data, where, problems)


def _read_union(kind: Any, data: Any, where: str, problems: dict[str, str]) -> Any:
    if data is None:
        return None
    return _read(next(a for a in get_args(kind) if a is not type(None)), data, where, problems)


def _read_list(kind: Any, data: Any, where: str, problems: dict[str, str]) -> Any:
    if not isinstance(data, list | tuple):
        problems[where] = "expected a list"
        return ()
    return tuple(_read(kind, item, f"{where}[{at}]", problems) for at, item in enumerate(data))


def _read_dict(kind: Any, data: Any, where: str, problems: dict[str, str]) -> Any:
    if not isinstance(data, Mapping):
        problems[where] = "expected an object"
        return {}
    return {str(key): _read(kind, item, _join(where, str(key)), problems) for key, item in data.items()}


def _read_named_tuple(kind: Any, data: Any, where: str, problems: dict[str, str]) -> Any:
    if not isinstance(data, Mapping):
        problems[where] = "expected an object"
        return kind()
    return kind(**{name: data[name] for name in kind._fields if name in data})


def _read_dataclass(kind: Any, data: Any, where: str, problems: dict[str, str]) -> Any:
    if not isinstance(data, Mapping):
        problems[where] = "expected an object"
        return None
    known = {f.name: f for f in fields(kind)}
    for key in data:
        if key not in known:
            problems[_join(where, str(key))] = "unknown key" + nearest(str(key), list(known))
    missing = [n for n, f in known.items() if n not in data and _is_required(f)]
    for name in missing:
        problems[_join(where, name)] = "missing"
    values = {
        name: _read(_hints(kind)[name], data[name], _join(where, name), problems)
        for name in known
        if name in data
    }
    return kind(**values) if not missing else None


def _read_scalar(kind: Any, data: Any, where: str, problems: dict[str, str]) -> Any:
    if kind in (object, Any):
        return data
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _read_enum(kind, data, where, problems)
    if kind is datetime:
        return _read_datetime(data, where, problems)
    number = isinstance(data, int | float) and not isinstance(data, bool)
    if kind is float and number:
        if isfinite(data):
            return float(data)
        problems[where] = "expected a finite number"
        return 0.0
    if kind is int and number and isinstance(data, int):
        return data
    if kind in (str, bool) and isinstance(data, kind):
        return data
    problems[where] = f"expected {_NAMES.get(kind, kind.__name__)}, got {_shown(data)}"
    return data


def _read_enum(kind: type[Enum], data: Any, where: str, problems: dict[str, str]) -> Any:
    try:
        return kind(data)
    except ValueError:
        values = [str(member.value) for member in kind]
        near = nearest(str(data), values)
        problems[where] = f"{_shown(data)} is not one of {', '.join(v for v in values if v)}{near}"
        return next(iter(kind))


def _read_datetime(data: Any, where: str, problems: dict[str, str]) -> Any:
    try:
        moment = data if isinstance(data, datetime) else datetime.fromisoformat(data)
    except (TypeError, ValueError):
        problems[where] = "expected a time like 2026-01-31T12:00:00+00:00"
        return None
    if moment.tzinfo is None:
        problems[where] = "expected a time with its UTC offset"
    return moment


_NAMES = {float: "a number", int: "a whole number", str: "a text", bool: "true or false"}


def _is_required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def nearest(word: str, known: list[str]) -> str:
    """Return "; did you mean …?" when one of the known words is near, otherwise nothing."""
    near = get_close_matches(word, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _shown(data: Any) -> str:
    text = repr(data)
    return text if len(text) <= 60 else text[:57] + "..."
