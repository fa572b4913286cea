"""Path templates: ``/api/v2/conversations/{session_id}/turn`` matches concrete paths."""

from __future__ import annotations

import re

__all__ = ["BadTemplate", "Templates", "compile_template"]

_FIELD = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(:path)?\}")
#: Concrete paths whose template is remembered.
MAX_REMEMBERED = 4096


class BadTemplate(ValueError):
    """The path template does not compile."""


def compile_template(template: str) -> re.Pattern[str]:
    """Compile a template; a field matches one segment, ``{name:path}`` the rest.

    Raises:
        BadTemplate: It does not begin with ``/``, or its braces do not match; the error says where.
    """
    if not isinstance(template, str) or not template.startswith("/"):
        raise BadTemplate(f"{template!r} is no path template: begin it with '/'.")
    pattern, at = "", 0
    names: set[str] = set()
    for field in _FIELD.finditer(template):
        pattern += re.escape(template[at : field.start()]) + ("(?:.+)" if field[2] else "(?:[^/]+)")
        at = field.end()
        if field[1] in names:
            raise BadTemplate(f"{template!r} names {{{field[1]}}} twice.")
        names.add(field[1])
    rest = template[at:]
    for part in (_FIELD.sub("", template),):
        if "{" in part or "}" in part:
            place = part.find("{") if "{" in part else part.find("}")
            raise BadTemplate(
                f"{template!r} has a brace without its pair (near {part[place : place + 12]!r})."
            )
    return re.compile(pattern + re.escape(rest) + "/?")


class Templates:
    """A set of templates; the first one that matches a path names it."""

    def __init__(self, templates: tuple[str, ...] = ()) -> None:
        """Compile them all.

        Raises:
            BadTemplate: One of them does not compile.
        """
        self.names = templates
        self._compiled = [(t, compile_template(t)) for t in templates]
        self._remembered: dict[str, str | None] = {}

    def match(self, path: str) -> str | None:
        """Return the template that matches, or ``None``."""
        known = self._remembered.get(path, "")
        if known != "":
            return known
        found = next((t for t, pattern in self._compiled if pattern.fullmatch(path)), None)
        if len(self._remembered) < MAX_REMEMBERED:
            self._remembered[path] = found
        return found
