"""The database's troubles in words that say what to do. Nothing here quotes a URL or a statement."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    SQLAlchemyError,
)

from serinus.core.errors import InvalidInput, Unavailable

__all__ = ["explained"]

#: What the driver says → what we say, and what to do.
_WORDS = (
    ("locked", "The database is locked by another process.", "End what holds it; it is tried again."),
    ("disk is full", "The database's disk is full.", "Free some space; nothing half done was kept."),
    ("disk full", "The database's disk is full.", "Free some space; nothing half done was kept."),
    ("no space", "The database's disk is full.", "Free some space; nothing half done was kept."),
    ("readonly", "The database cannot be written.", "Check the rights of its file and folder."),
    ("read-only", "The database cannot be written.", "Check the rights of its file and folder."),
    ("unable to open", "The database file cannot be opened.", "Check its path and rights."),
    ("not a database", "That file is no SQLite database.", "Check `DATABASE_URL`."),
    ("malformed", "The database file is damaged.", "Restore it from a backup."),
    ("password authentication", "The database refuses our name or password.", "Check `DATABASE_URL`."),
    ("does not exist", "That database or role does not exist.", "Create it, or check `DATABASE_URL`."),
    ("no such table", "The database has no schema yet.", "Start `serinus up` once: it makes it."),
    ("undefinedtable", "The database has no schema yet.", "Start `serinus up` once: it makes it."),
)


@contextmanager
def explained() -> Iterator[None]:
    """Turn the driver's errors into ours. A broken constraint passes: its caller knows what it means.

    Raises:
        Unavailable: The database is away, locked, full or unusable.
        InvalidInput: It is well, and cannot hold a value: a NUL, or too large a number.
    """
    try:
        yield
    except IntegrityError:
        raise
    except DataError as error:
        raise InvalidInput(
            "The database cannot hold a text or a number in this call.",
            next_step="Leave out NUL characters, and numbers beyond 64 bits.",
        ) from error
    except (OperationalError, InterfaceError, DBAPIError) as error:
        raise _unavailable(str(error.orig)) from error
    except (SQLAlchemyError, OSError) as error:
        raise _unavailable(str(error)) from error


def _unavailable(said: str) -> Unavailable:
    low = said.lower()
    for sign, detail, next_step in _WORDS:
        if sign in low:
            return Unavailable(detail, next_step=next_step)
    return Unavailable(
        "The database does not answer.", next_step="Check that it runs; it is tried again by itself."
    )
