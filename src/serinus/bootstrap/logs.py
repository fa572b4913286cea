"""Log lines: one line each, the action and the ids as fields."""

from __future__ import annotations

import logging

__all__ = ["set_up_logging"]

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


class _Formatter(logging.Formatter):
    """``time level logger message key=value …``"""

    def format(self, record: logging.LogRecord) -> str:
        """Append whatever was given as ``extra``."""
        line = super().format(record)
        extra = {k: v for k, v in vars(record).items() if k not in _PLAIN}
        return line + "".join(f" {key}={value}" for key, value in sorted(extra.items()))


def set_up_logging(level: str) -> None:
    """Write our log lines to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for noisy in ("httpx", "httpcore", "alembic", "sqlalchemy.engine", "aiosqlite"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
