"""``.env`` files: which keys have values, and which values are placeholders. No value is ever told."""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["is_placeholder", "problems_of", "read_env"]

_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=(.*)")
#: What examples write where a secret belongs.
_PLACEHOLDER = re.compile(
    r"<.*>|\$?\{\{.*\}\}|x{3,}|\.{3,}|\*{3,}|todo|fixme|tbd|none|null|dummy|"
    r"(?:please[-_ ]?)?(?:change|replace|fill|set|insert)[-_ ]?(?:me|this|it|in|here)?(?:[-_ ].*)?|"
    r"your[-_ ].*|.*placeholder.*|(?:my[-_ ]?)?(?:secret|password|passwd|token|key|api[-_ ]?key)|example",
    re.IGNORECASE,
)


def read_env(text: str) -> dict[str, str]:
    r"""Return the keys and values of a ``.env`` file.

    >>> read_env("A=1 # one\nexport B='x # y'\n# C=2\nD=")
    {'A': '1', 'B': 'x # y', 'D': ''}
    """
    made: dict[str, str] = {}
    for line in text.splitlines():
        found = None if line.lstrip().startswith("#") else _LINE.fullmatch(line)
        if found:
            made[found[1]] = _value(found[2].strip())
    return made


def _value(text: str) -> str:
    if text[:1] in ("'", '"'):
        end = text.find(text[0], 1)
        return text[1:end] if end > 0 else text[1:]
    return re.split(r"(?:^|\s)#", text, maxsplit=1)[0].strip()


def is_placeholder(value: str) -> bool:
    """Tell whether a value stands where a secret belongs.

    >>> [is_placeholder(v) for v in ("changeme", "<token>", "your-key-here", "k3:8f_q")]
    [True, True, True, False]
    """
    return bool(_PLACEHOLDER.fullmatch(value.strip()))


def problems_of(
    example: Mapping[str, str], values: Mapping[str, str], optional: tuple[str, ...] = ()
) -> list[str]:
    """Return in words which keys are missing, empty or placeholders."""
    missing = [k for k in example if k not in values and k not in optional]
    empty = [k for k in example if values.get(k) == "" and k not in optional]
    left = [k for k in {**example, **values} if values.get(k) and is_placeholder(values[k])]
    listed = ((missing, "missing"), (empty, "empty"), (left, "still a placeholder"))
    return [f"{', '.join(keys)}: {what}" for keys, what in listed if keys]
