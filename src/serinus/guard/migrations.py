"""Migrations: one newest revision, and the database and the Redis are at it."""

from __future__ import annotations

import ast
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from serinus.core.errors import InvalidInput
from serinus.guard.file import Migrations, Redis

__all__ = ["database_revision", "find_folder", "head_of", "redis_version"]

SECONDS = 5.0
_USUAL = ("migrations/versions", "alembic/versions")


def find_folder(root: Path, wanted: Migrations) -> Path | None:
    """Return the folder with the revisions, or ``None`` where there is none."""
    names = (wanted.folder,) if wanted.folder else _USUAL
    return next((root / name for name in names if (root / name).is_dir()), None)


def head_of(folder: Path) -> str:
    """Return the newest revision, read from the files without running them.

    Raises:
        InvalidInput: There is none, a chain is broken, or two revisions are both the newest.
    """
    down: dict[str, tuple[str, ...]] = {}
    for path in sorted(folder.glob("*.py")):
        revision, before = _revision(path)
        if revision:
            down[revision] = before
    if not down:
        raise InvalidInput(f"{folder.name} has no revision.")
    followed = {name for before in down.values() for name in before}
    lost = sorted(followed - down.keys())
    if lost:
        raise InvalidInput(f"the revision {lost[0]} is missing, and others follow it")
    heads = sorted(down.keys() - followed)
    if len(heads) != 1:
        raise InvalidInput(
            f"{len(heads)} revisions are the newest ({', '.join(heads)})",
            next_step="Merge them: alembic merge heads.",
        )
    return heads[0]


def _revision(path: Path) -> tuple[str, tuple[str, ...]]:
    """Return a file's ``revision`` and ``down_revision``."""
    try:
        tree = ast.parse(path.read_text("utf-8"))
    except (SyntaxError, ValueError) as error:
        raise InvalidInput(f"{path.name} is no Python") from error
    found: dict[str, Any] = {}
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
        value = getattr(node, "value", None)
        for target in targets:
            if isinstance(target, ast.Name) and isinstance(value, ast.Constant | ast.Tuple | ast.List):
                found[target.id] = ast.literal_eval(value)
    before = found.get("down_revision")
    return str(found.get("revision", "")), (before,) if isinstance(before, str) else tuple(before or ())


def database_revision(url: str) -> str:
    """Return the revision that a database is at; nothing for one without any.

    Raises:
        InvalidInput: It cannot be asked.
    """
    try:
        from sqlalchemy import create_engine, inspect, text
        from sqlalchemy.exc import SQLAlchemyError
    except ModuleNotFoundError:
        raise InvalidInput(
            "asking a database needs SQLAlchemy", next_step="pip install 'serinus[server]'"
        ) from None
    scheme, _, rest = url.partition("://")
    sync = {
        "postgres": "postgresql+psycopg",
        "postgresql": "postgresql+psycopg",
        "sqlite+aiosqlite": "sqlite",
    }
    try:
        engine = create_engine(f"{sync.get(scheme, scheme)}://{rest}")
        try:
            with engine.connect() as connection:
                if not inspect(connection).has_table("alembic_version"):
                    return ""
                return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or "")
        finally:
            engine.dispose()
    except (SQLAlchemyError, ModuleNotFoundError) as error:
        # The error's own text may hold the address with its password.
        raise InvalidInput(f"the database does not answer ({type(error).__name__})") from None


def redis_version(wanted: Redis, environment: Mapping[str, str]) -> str:
    """Return the version that a Redis holds under its key; nothing when the key is not there.

    Raises:
        InvalidInput: The variable is not set, or the Redis cannot be asked.
    """
    url = urlsplit(environment.get(wanted.url_env, ""))
    if url.scheme not in ("redis", "rediss") or not url.hostname:
        raise InvalidInput(f"{wanted.url_env} holds no redis:// address")
    commands = [("GET", wanted.key)]
    database = url.path.strip("/")
    if database and database != "0":
        commands.insert(0, ("SELECT", database))
    if url.password:
        words = ("AUTH", *([unquote(url.username)] if url.username else []), unquote(url.password))
        commands.insert(0, words)  # type: ignore[arg-type]
    try:
        with socket.create_connection((url.hostname, url.port or 6379), SECONDS) as plain:
            return _ask(_wrapped(plain, url.hostname, tls=url.scheme == "rediss"), commands)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"the Redis does not answer ({type(error).__name__})") from None


def _wrapped(plain: socket.socket, host: str, *, tls: bool) -> socket.socket:
    return ssl.create_default_context().wrap_socket(plain, server_hostname=host) if tls else plain


def _ask(connection: socket.socket, commands: list[tuple[str, str]]) -> str:
    """Send commands in Redis' own protocol; return the last one's answer."""
    answer = ""
    with connection.makefile("rwb") as stream:
        for words in commands:
            parts = [f"${len(w.encode())}\r\n{w}\r\n" for w in words]
            stream.write(f"*{len(words)}\r\n{''.join(parts)}".encode())
            stream.flush()
            head = stream.readline().decode("utf-8", "replace").rstrip("\r\n")
            if head.startswith("-"):
                raise InvalidInput(f"the Redis refused {words[0]}: {head[1:80]}")
            if head.startswith("$"):
                length = int(head[1:])
                answer = "" if length < 0 else stream.read(length + 2)[:-2].decode("utf-8", "replace")
    return answer
