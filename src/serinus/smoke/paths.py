"""Places in a JSON document: names, dots and indexes, ``options[0].id``."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["MISSING", "PATTERN", "look_up"]

_NAME = r"[^.\[\]\s]+"
_INDEX = r"\[-?[0-9]{1,9}\]"
#: The whole document is ``$``; a leading ``$.`` is taken too.
PATTERN = rf"\$|(?:\$(?=[.\[])\.?)?(?:{_NAME}|{_INDEX})(?:\.{_NAME}|{_INDEX})*"
_ROOT = re.compile(r"^\$(?=[.\[]|$)")
_PART = re.compile(rf"{_INDEX}|{_NAME}")

#: What is found where there is nothing; ``None`` is a value that JSON has.
MISSING = object()


def look_up(data: Any, path: str) -> Any:
    """Return the value at ``path``, or :data:`MISSING`.

    >>> look_up({"options": [{"id": 7}]}, "options[0].id")
    7
    >>> look_up([1, 2], "[-1]"), look_up({"a": 1}, "a.b") is MISSING
    (2, True)
    """
    for part in _PART.findall(_ROOT.sub("", path)):
        if part.startswith("["):
            index = int(part[1:-1])
            if not isinstance(data, list) or not -len(data) <= index < len(data):
                return MISSING
            data = data[index]
        else:
            if not isinstance(data, dict) or part not in data:
                return MISSING
            data = data[part]
    return data
