"""What the drivers of proxies share: how settings are checked, files replaced and instances looked over."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from serinus.core.analysis.queries import Query
from serinus.core.errors import InvalidInput
from serinus.drivers._address import split_address
from serinus.ports.traffic import Capability, DesiredSplit, Finding

__all__ = [
    "VERSION_HEADER",
    "Instance",
    "able_by_polls",
    "both_sides",
    "check_settings",
    "check_url",
    "find_folder",
    "job_name",
    "latency_edges_ms",
    "replace_file",
    "scrape_targets",
]

#: Names the version on every answer.
VERSION_HEADER = "x-serinus-version"
_HEADER = re.compile(r"[a-z0-9-]{1,100}")
_KEYS = ("workflow_header", "session_header", "user_header", "cookie")


@dataclass(frozen=True, kw_only=True, slots=True)
class Instance:
    """One proxy of a fleet: where its administration answers, and the folder that both can reach."""

    name: str
    admin: str
    #: Empty only of a proxy that polls: nothing is written for it.
    config_dir: str = ""


def check_settings(
    config: Any, *, proxy: str, admin: str, positive: Iterable[str], polled: bool = False
) -> None:
    """Check what every proxy's ``driver_config`` has.

    Args:
        config: The settings, with ``instances``, ``listen`` and the names of the keys.
        proxy: What the proxy is called.
        admin: How an instance's ``admin`` looks, as an example.
        positive: Names of settings that must be above 0.
        polled: They are of proxies that poll: no instance has to be named, and none needs a folder.

    Raises:
        InvalidInput: With the first setting that is wrong, and what to do.
    """
    if not config.instances and not polled:
        raise _wrong("instances", "has no instance", f"Name at least one {proxy}.")
    split_address(config.listen, "driver_config.listen")
    for at, instance in enumerate(config.instances):
        check_url(instance.admin, f"instances[{at}].admin", f"Like {admin}.")
        if not Path(instance.config_dir).is_absolute() and (instance.config_dir or not polled):
            raise _wrong(f"instances[{at}].config_dir", "is no absolute path", "Give the whole path.")
    for name in _KEYS:
        if not _HEADER.fullmatch(getattr(config, name).replace("_", "-")):
            raise _wrong(name, "is no header name", "Use lower-case letters, digits and dashes.")
    for name in positive:
        if getattr(config, name) <= 0:
            raise _wrong(name, "must be above 0", "Leave it out for the default.")


def able_by_polls(able: frozenset[Capability], instances: Sequence[Instance]) -> frozenset[Capability]:
    """Return what of a driver's capabilities is left for proxies that poll: polls count no requests."""
    return able if instances else able - {Capability.STATISTICS, Capability.LATENCY}


def check_url(url: str, field: str, next_step: str) -> None:
    """Check an http(s) URL in a ``driver_config``.

    Raises:
        InvalidInput: It is none.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise _wrong(field, "is no URL", next_step)


def _wrong(field: str, what: str, next_step: str) -> InvalidInput:
    where = f"driver_config.{field}"
    return InvalidInput(f"{where} {what}.", field=where, next_step=next_step)


def json_object(content: bytes) -> dict[str, Any] | None:
    """Return an answer's JSON object, or ``None``: somebody else listens where a proxy should."""
    try:
        found = json.loads(content)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def replace_file(path: Path, content: str, *, beside: Path | None = None, mode: int = 0o644) -> bool:
    """Replace a file at once, and only when its content differs: proxies look at every event there.

    Args:
        path: The file; missing folders are made.
        content: Its whole content.
        beside: Where the new one is made before it takes the old one's place; default: the same folder.
        mode: Who may read it; default: everybody, since the proxy's own user has to.

    Returns:
        Whether it had to be replaced.

    Raises:
        OSError: It cannot be written.
    """
    if path.exists() and path.read_bytes() == content.encode():
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("wb", dir=beside or path.parent, suffix=".tmp", delete=False) as file:
        try:
            file.write(content.encode())
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
            Path(file.name).replace(path)
        except OSError:
            Path(file.name).unlink(missing_ok=True)
            raise
    return True


def find_folder(name: str, instance: Instance) -> Finding:
    """Tell doctor whether an instance's folder can be written."""
    folder = Path(instance.config_dir)
    ok = folder.is_dir() and os.access(folder, os.W_OK)
    return Finding(
        name=f"{name} folder",
        ok=ok,
        detail=f"{folder} can be written" if ok else f"{folder} cannot be written",
        remedy="" if ok else f"mkdir -p {folder}, and let this user write there.",
    )


def both_sides(desired: DesiredSplit, source: str, ask: Callable[[str], str]) -> Query:
    """Return a check's PromQL for the canary, if there is one, and for stable. ``ask``: of a version."""
    canary = ask(desired.canary.version) if desired.canary else ""
    return Query(source=source, canary=canary, stable=ask(desired.stable.version))


def latency_edges_ms() -> list[float]:
    """Return upper edges from 0.5 ms to a minute, 15 % apart: a quantile is off by 7 % at most."""
    edges, edge = [], 0.5
    while edge < 60_000:
        edges.append(round(edge, 2))
        edge *= 1.15
    return [*edges, 60_000.0]


def job_name(driver: str, instances: Sequence[Instance]) -> str:
    """Return a scrape job's name that no other fleet has: versions are named the same everywhere."""
    fleet = ",".join(sorted(instance.admin for instance in instances))
    return f"serinus-{driver}-{hashlib.sha256(fleet.encode()).hexdigest()[:8]}"


def scrape_targets(instances: Sequence[Instance], **labels: str) -> list[dict[str, Any]]:
    """Return Prometheus' ``static_configs`` for the administration of every instance, by its name."""
    return [
        {"targets": [urlsplit(i.admin).netloc], "labels": {"instance": i.name, **labels}} for i in instances
    ]
