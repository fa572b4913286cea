"""Finding the series that an expression reads, to ask how old they are."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["quoted", "selectors_of"]

_TOKEN = re.compile(
    r"""\#[^\n]* | \s+
    | (?P<text>"(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*' | `[^`]*`)
    | (?P<name>[a-zA-Z_:][\w:]*)
    | (?P<other>\d[\w.]* | .)""",
    re.VERBOSE | re.DOTALL,
)
#: Words whose brackets hold label names.
_LISTS = {"by", "without", "on", "ignoring", "group_left", "group_right"}
#: Words that are no metric though no bracket follows them.
_WORDS = {"and", "or", "unless", "offset", "bool", "inf", "nan", "atan2"} | {
    *("sum", "min", "max", "avg", "count", "group", "stddev", "stdvar"),
    *("topk", "bottomk", "quantile", "count_values", "limitk", "limit_ratio"),
}


def selectors_of(expression: str) -> tuple[str, ...]:
    """Return the series selectors of a PromQL expression, in order, each once, without ranges.

    >>> selectors_of('sum by (le) (rate(http_bucket{v="a"}[5m])) / sum(rate(up[5m])) > bool 2')
    ('http_bucket{v="a"}', 'up')
    """
    tokens = [m[0] for m in _TOKEN.finditer(expression) if m.lastgroup]
    found: dict[str, None] = {}
    at = 0
    while at < len(tokens):
        word, after = tokens[at], tokens[at + 1 : at + 2]
        if word == "[" or (word.lower() in _LISTS and after == ["("]):
            at = _closing(tokens, at, "]" if word == "[" else ")")
        elif word == "{" or (_is_metric(word) and after != ["("]):
            end = _closing(tokens, at, "}") if "{" in (word, *after) else at
            found["".join(tokens[at : end + 1])] = None
            at = end
        at += 1
    return tuple(found)


def quoted(text: str) -> str:
    """Return ``text`` as a PromQL string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _is_metric(word: str) -> bool:
    return bool(re.fullmatch(r"[a-zA-Z_:][\w:]*", word)) and word.lower() not in _WORDS | _LISTS


def _closing(tokens: Sequence[str], at: int, mark: str) -> int:
    """Return where the bracket closes, or the end."""
    return next((i for i in range(at, len(tokens)) if tokens[i] == mark), len(tokens) - 1)
