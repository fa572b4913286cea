"""``${name}`` in a smoke file: captured values, its own variables, and secrets from the environment."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

__all__ = ["Unset", "fill", "names_in"]

_REFERENCE = re.compile(r"\$\{([^}]*)\}")
ENV = "env:"


class Unset(Exception):
    """A variable has no value; the message says which and why."""


def names_in(value: Any) -> Iterator[str]:
    """Yield the variables that a value refers to, however deep."""
    if isinstance(value, str):
        yield from (found[1] for found in _REFERENCE.finditer(value))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from names_in(key)
            yield from names_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from names_in(item)


def fill(
    value: Any, known: Mapping[str, Any], environment: Mapping[str, str], *, in_path: bool = False
) -> Any:
    """Return ``value`` with its variables filled in; a text that is one variable keeps its type.

    Args:
        value: Texts, lists and objects.
        known: The variables.
        environment: Where ``${env:NAME}`` is looked up.
        in_path: Filled-in values are quoted, as parts of a path.

    Raises:
        Unset: A variable has no value.
    """
    if isinstance(value, Mapping):
        return {fill(k, known, environment): fill(v, known, environment) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [fill(item, known, environment) for item in value]
    if not isinstance(value, str):
        return value
    whole = _REFERENCE.fullmatch(value)
    if whole and not in_path:
        return _value(whole[1], known, environment)

    def text(found: re.Match[str]) -> str:
        part = str(_value(found[1], known, environment))
        return quote(part, safe="") if in_path else part

    return _REFERENCE.sub(text, value)


def _value(name: str, known: Mapping[str, Any], environment: Mapping[str, str]) -> Any:
    if name.startswith(ENV):
        variable = name.removeprefix(ENV)
        if not environment.get(variable):
            raise Unset(f"the environment variable {variable} is not set")
        return environment[variable]
    if name not in known:
        raise Unset(f"${{{name}}} has no value: the step that captures it did not pass")
    return known[name]
