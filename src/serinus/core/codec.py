"""Values to JSON and back, checked: one reading of a frozen dataclass for storage, files and API bodies.

Unknown keys and wrong types are collected, each with its place, and the nearest known name is offered.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, field, fields, is_dataclass
from datetime import datetime
from difflib import get_close_matches
from enum import Enum
from functools import cache
from math import isfinite
from reprlib import Repr
from typing import Annotated, Any, Protocol, TypeVar, Union, get_args, get_origin, get_type_hints

from serinus.core.errors import InvalidInput

__all__ = [
    "Form",
    "also",
    "at",
    "from_json",
    "hints",
    "nearest",
    "read",
    "read_file",
    "refuse",
    "to_json",
    "told",
]

T = TypeVar("T")
#: After so many problems no nearest name is looked for any more: that takes time.
MOST_HINTS = 50
#: Types whose values are JSON already; and those of them in which nothing but the type can be wrong.
_PLAIN = frozenset({str, int, float, bool})
_AS_IS = frozenset({str, int, bool})


class Form(Protocol):
    """Another way to write a value, put on a type by ``Annotated``: ``5m`` for seconds."""

    def read(self, data: Any, where: str, problems: dict[str, str]) -> Any:
        """Return the value, or note what is wrong under its place.

        Raises:
            ValueError: What is wrong, as a shorter way of noting it.
        """
        ...


def told(doc: str, default: Any = None, *, also: str = "", required: bool = False) -> Any:
    """Return a dataclass field with words for people: schemas and help are made from them.

    Args:
        doc: What it means.
        default: Its default.
        also: Another name that it may be given by.
        required: It has no default.
    """
    metadata = {"doc": doc, "also": also}
    return field(metadata=metadata) if required else field(default=default, metadata=metadata)


def to_json(value: Any) -> Any:
    """Return ``value`` as plain JSON data: dataclasses and named tuples become objects."""
    if value is None or type(value) in _PLAIN:
        return value
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        return {name: to_json(getattr(value, name)) for name in _names_of(type(value))}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: to_json(item) for name, item in value._asdict().items()}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    return value


@cache
def _names_of(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def from_json(kind: type[T], data: Any, where: str = "") -> T:
    """Read ``data`` as a ``kind``.

    Raises:
        InvalidInput: Anything unknown, missing or of the wrong type; all of it in one error, by place.
    """
    problems: dict[str, str] = {}
    value = read(kind, data, where, problems)
    refuse(problems)
    return value  # type: ignore[no-any-return]


def read_file(kind: type[T], data: Any, check: Callable[[T, dict[str, str]], None] = lambda _, __: None) -> T:
    """Return the content of a file that says ``version: 1``.

    Args:
        kind: The dataclass that it is read as.
        data: What is in the file.
        check: Adds what is wrong beyond the types, by place; it is told what was found until then.

    Raises:
        InvalidInput: Anything is wrong; ``extra["errors"]`` has all of it by place.
    """
    problems: dict[str, str] = {}
    if isinstance(data, dict) and "version" not in data:
        problems["version"] = "missing: write `version: 1`"
    file: T | None = read(kind, data, "", problems)
    if file is not None:
        check(file, problems)
    refuse(problems)
    if file is None:
        raise InvalidInput("expected keys and values")
    return file


def refuse(problems: Mapping[str, str]) -> None:
    """Tell all problems in one error, by place; without any, do nothing.

    Raises:
        InvalidInput: There are problems.
    """
    if not problems:
        return
    place, first = next(iter(problems.items()))
    raise InvalidInput(
        f"{place or 'input'}: {first}" + (f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""),
        field=place,
        next_step="Correct the fields listed in `errors`.",
        extra={"errors": dict(problems)},
    )


@cache
def hints(kind: type) -> dict[str, Any]:
    """Return the types of a dataclass's fields, with their forms."""
    return get_type_hints(kind, include_extras=True)


def also(field: Field[Any]) -> str:
    """Return the other name that a field may be given by, or nothing."""
    return str(field.metadata.get("also", ""))


def read(kind: Any, data: Any, where: str, problems: dict[str, str]) -> Any:
    """Read ``data`` as a ``kind``; what is wrong is added to ``problems`` by its place."""
    origin = get_origin(kind)
    if origin is Annotated:
        return _read_form(kind, data, where, problems)
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
    return read(next(a for a in get_args(kind) if a is not type(None)), data, where, problems)


def _read_form(kind: Any, data: Any, where: str, problems: dict[str, str]) -> Any:
    form: Form = kind.__metadata__[0]
    try:
        return form.read(data, where, problems)
    except ValueError as error:
        problems[where] = str(error)
        return None


def _read_list(kind: Any, data: Any, where: str, problems: dict[str, str]) -> Any:
    if not isinstance(data, list | tuple):
        problems[where] = "expected a list"
        return ()
    return tuple(read(kind, item, f"{where}[{n}]", problems) for n, item in enumerate(data))


def _read_dict(kind: Any, data: Any, where: str, problems: dict[str, str]) -> Any:
    if not isinstance(data, Mapping):
        problems[where] = "expected an object"
        return {}
    return {str(key): read(kind, item, at(where, str(key)), problems) for key, item in data.items()}


def _read_named_tuple(kind: Any, data: Any, where: str, problems: dict[str, str]) -> Any:
    if not isinstance(data, Mapping):
        problems[where] = "expected an object"
        return kind()
    return kind(**{name: data[name] for name in kind._fields if name in data})


def _read_dataclass(kind: Any, data: Any, where: str, problems: dict[str, str]) -> Any:
    if not isinstance(data, Mapping):
        problems[where] = "expected an object"
        return None
    keys, required = _keys_of(kind)
    for key in data:
        if key not in keys:
            hint = nearest(str(key), sorted(keys)) if len(problems) < MOST_HINTS else ""
            problems[at(where, str(key))] = "unknown key" + hint
    missing = [name for name in required if name not in data]
    for name in missing:
        problems[at(where, name)] = "missing"
    values: dict[str, Any] = {}
    for key, item in data.items():
        if key in keys:
            name, wanted = keys[key]
            as_is = type(item) is wanted and wanted in _AS_IS
            values[name] = item if as_is else read(wanted, item, at(where, str(key)), problems)
    return kind(**values) if not missing else None


@cache
def _keys_of(kind: Any) -> tuple[dict[str, tuple[str, Any]], tuple[str, ...]]:
    """Return an object's keys, with the field and type of each, and the fields without a default."""
    known, types_ = fields(kind), hints(kind)
    # A name with an underscore at its end only makes way for a Python keyword.
    keys = {f.name: (f.name, types_[f.name]) for f in known if not f.name.endswith("_")}
    keys |= {also(f): (f.name, types_[f.name]) for f in known if also(f)}
    return keys, tuple(f.name for f in known if _is_required(f))


def _read_scalar(kind: Any, data: Any, where: str, problems: dict[str, str]) -> Any:
    if kind in (object, Any):
        return data
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _read_enum(kind, data, where, problems)
    if kind is datetime:
        return _read_datetime(data, where, problems)
    number = isinstance(data, int | float) and not isinstance(data, bool)
    if kind is float and number:
        if _is_finite(data):
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
        near = nearest(str(data), values) if isinstance(data, str) else ""
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


def _is_finite(number: float) -> bool:
    try:
        return isfinite(number)
    except OverflowError:
        return False


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint at the known name that was probably meant, or nothing."""
    near = get_close_matches(word[:80], list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def at(where: str, name: str) -> str:
    """Return the place of ``name`` inside ``where``."""
    return f"{where}.{name}" if where else name


def _shown(data: Any) -> str:
    # Bounded in depth as well: a plain repr of deeply nested data does not return.
    text = _SHORT.repr(data)
    return text if len(text) <= 60 else text[:57] + "..."


_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60
