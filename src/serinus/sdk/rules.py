"""Targeting rules, compiled to closures when a snapshot arrives."""

from __future__ import annotations

TYPE_CHECKING = False  # typing itself costs milliseconds and a megabyte; checkers know this name
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    Rule = Callable[[Mapping[str, Any]], bool]

__all__ = ["RuleError", "compile_rule"]


class RuleError(Exception):
    """The rule cannot be understood; the deployment stays on stable."""


def compile_rule(rule: Mapping[str, Any]) -> Rule:
    """Compile ``{"all": […]}``, ``{"any": […]}``, ``{"not": …}`` or one condition.

    A condition is ``{"attribute": name, "op": op, "value": value}`` with ``op`` one of eq, ne, in,
    not_in, lt, gt, starts_with, exists. A missing attribute makes every condition but ``ne``,
    ``not_in`` false.

    Raises:
        RuleError: Anything else.
    """
    if "all" in rule:
        return _all([compile_rule(part) for part in rule["all"]])
    if "any" in rule:
        parts = [compile_rule(part) for part in rule["any"]]
        return lambda a: any(part(a) for part in parts)
    if "not" in rule:
        inner = compile_rule(rule["not"])
        return lambda a: not inner(a)
    try:
        name, op = rule["attribute"], rule["op"]
        return _CONDITIONS[op](name, rule.get("value"))
    except (KeyError, TypeError) as error:
        raise RuleError(f"no such rule: {str(rule)[:100]}") from error


def _all(parts: list[Rule]) -> Rule:
    if len(parts) == 2:  # the usual one, without a loop
        one, two = parts
        return lambda a: one(a) and two(a)
    return lambda a: all(part(a) for part in parts)


def _in(name: str, value: Any) -> Rule:
    values = frozenset(value)
    return lambda a: a.get(name) in values


def _not_in(name: str, value: Any) -> Rule:
    values = frozenset(value)
    return lambda a: a.get(name) not in values


def _lt(name: str, value: Any) -> Rule:
    return lambda a: name in a and a[name] < value


def _gt(name: str, value: Any) -> Rule:
    return lambda a: name in a and a[name] > value


_CONDITIONS: dict[str, Callable[[str, Any], Rule]] = {
    "eq": lambda name, value: lambda a: a.get(name) == value,
    "ne": lambda name, value: lambda a: a.get(name) != value,
    "in": _in,
    "not_in": _not_in,
    "lt": _lt,
    "gt": _gt,
    "starts_with": lambda name, value: lambda a: str(a.get(name, "")).startswith(value),
    "exists": lambda name, _: lambda a: name in a,
}
