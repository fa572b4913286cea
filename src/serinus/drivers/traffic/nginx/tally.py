"""Counting what plain NGINX has logged: one line per request, read on from where the last look ended.

The counts lie beside the log, so that they outlive us and are the same for every replica.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from math import ceil, inf, log
from pathlib import Path
from typing import Any, BinaryIO

from serinus.drivers._proxies import replace_file

__all__ = ["EDGES", "Tally", "count", "exposition", "start"]

LOG_FILE, STATE_FILE, METRICS_FILE = "requests.log", "counted.json", "metrics"
#: Upper edges in milliseconds, as the scripts of the other driver have them.
EDGES = tuple(0.05 * 1.15**at for at in range(101))
#: No more is read at once; the rest waits for the next look.
MOST_BYTES = 32_000_000
_PARTS = re.compile(r" : |, ")

#: A file's inode, and a number of its bytes.
Place = tuple[int, int]
NOWHERE: Place = (0, 0)


@dataclass(kw_only=True, slots=True)
class Tally:
    """One version's counts."""

    errors: int = 0
    total_ms: float = 0.0
    #: Not cumulative; the last is above every edge.
    buckets: list[int] = field(default_factory=lambda: [0] * (len(EDGES) + 1))

    def add(self, ms: float, *, failed: bool) -> None:
        """Count one try."""
        at = ceil(log(max(ms, 0.5) / EDGES[0]) / log(1.15) - 1e-9)
        self.buckets[min(max(at, 0), len(EDGES))] += 1
        self.total_ms += ms
        self.errors += failed

    @property
    def requests(self) -> int:
        """All tries."""
        return sum(self.buckets)

    def cumulative(self) -> dict[float, int]:
        """Return how many were at or below each edge."""
        made, seen = {}, 0
        for edge, some in zip((*EDGES, inf), self.buckets, strict=True):
            seen += some
            made[edge] = seen
        return made


def start(folder: Path) -> None:
    """Begin to count at the end of the log, unless a count goes on.

    Raises:
        OSError: The folder cannot be written.
    """
    if not (folder / STATE_FILE).exists():
        with ExitStack() as opened:
            _save(folder, [_place(file) for file in _logs(folder, opened)], {})


def count(folder: Path, versions: Mapping[str, str]) -> dict[str, Tally]:
    """Read what was logged since, and return the counts by version.

    A file that has been moved away is read on for as long as it lies there: workers still write to it what
    they have kept, after the new one has begun.

    Args:
        folder: Where the log is.
        versions: Address → version; other addresses are nobody's.

    Raises:
        OSError: The folder cannot be read or written.
    """
    state = json.loads((folder / STATE_FILE).read_text())
    tallies = {version: Tally(**given) for version, given in state["versions"].items()}
    for version in versions.values():
        tallies.setdefault(version, Tally())
    with ExitStack() as opened:
        files = _logs(folder, opened)
        places = [_place(file) for file in files]
        begins = _begins(_last(state, places), places)
        ends = [
            (inode, _read(file, begin, tallies, versions))
            for file, (inode, _), begin in zip(files, places, begins, strict=True)
        ]
    _save(folder, ends, tallies)
    replace_file(folder / METRICS_FILE, exposition(tallies))
    return tallies


def _logs(folder: Path, opened: ExitStack) -> tuple[BinaryIO | None, BinaryIO | None]:
    """Open the file that is written, and the one that was moved away; one moved just now is the latter."""
    log, moved = (_open(path, opened) for path in (folder / LOG_FILE, folder / f"{LOG_FILE}.1"))
    return None if _place(log)[0] == _place(moved)[0] else log, moved


def _open(path: Path, opened: ExitStack) -> BinaryIO | None:
    try:
        return opened.enter_context(path.open("rb"))
    except FileNotFoundError:
        return None


def _place(file: BinaryIO | None) -> Place:
    """Return a file's inode and size."""
    if file is None:
        return NOWHERE
    found = os.fstat(file.fileno())
    return found.st_ino, found.st_size


def _last(state: Mapping[str, Any], places: Sequence[Place]) -> list[Place]:
    """Return where the last look at either file ended."""
    if "ends" in state:
        return [(int(inode), int(end)) for inode, end in state["ends"]]
    # As older versions wrote it: the log only. What had been moved away by then was read to its end.
    log = int(state["inode"]), int(state["offset"])
    return [log, NOWHERE if places[1][0] == log[0] else places[1]]


def _begins(last: Sequence[Place], places: Sequence[Place]) -> list[int]:
    """Return from where to read either file now. An inode is used again soon: a moved log is found first."""
    (log, log_end), (moved, moved_end) = last
    was_moved = places[1][0] == log != NOWHERE[0]
    begins = [
        log_end if places[0][0] == log and not was_moved else 0,
        log_end if was_moved else moved_end if places[1][0] == moved else 0,
    ]
    return [begin if begin <= size else 0 for begin, (_, size) in zip(begins, places, strict=True)]


def _read(
    file: BinaryIO | None, offset: int, tallies: Mapping[str, Tally], versions: Mapping[str, str]
) -> int:
    """Count whole lines from an offset on; return where the next look begins."""
    if file is None:
        return 0
    file.seek(offset)
    data = file.read(MOST_BYTES)
    end = data.rfind(b"\n") + 1
    for line in data[:end].splitlines():
        try:
            _tries(json.loads(line), tallies, versions)
        except (ValueError, KeyError):
            continue  # somebody else's line: this file is theirs to write to, and not ours to trust
    return offset + end


def _tries(entry: Mapping[str, Any], tallies: Mapping[str, Tally], versions: Mapping[str, str]) -> None:
    addresses, statuses, seconds = (_PARTS.split(entry[name]) for name in ("to", "status", "seconds"))
    last = len(addresses) - 1
    for at, (address, status, took) in enumerate(zip(addresses, statuses, seconds, strict=True)):
        version = versions.get(address)
        if version is not None:
            failed = status[:1] == "5" or (at == last and _broken(entry))
            tallies[version].add(_number(took) * 1000, failed=failed)


def _broken(entry: Mapping[str, Any]) -> bool:
    """Tell whether an answer broke off: it said more than it had, and the client got all of that."""
    if not entry["whole"] or entry["method"] == "HEAD" or entry["status"].endswith("304"):
        return False
    got = _number(_PARTS.split(entry["got"])[-1])
    return got < _number(entry["whole"]) and int(entry["sent"]) >= got


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0  # "-": nothing came


def _save(folder: Path, ends: Sequence[Place], tallies: Mapping[str, Tally]) -> None:
    versions = {
        version: {"errors": t.errors, "total_ms": t.total_ms, "buckets": t.buckets}
        for version, t in tallies.items()
    }
    replace_file(folder / STATE_FILE, json.dumps({"ends": ends, "versions": versions}))


def exposition(tallies: Mapping[str, Tally]) -> str:
    """Return the counts as Prometheus reads them."""
    return "\n".join(_exposed(tallies)) + "\n"


def _exposed(tallies: Mapping[str, Tally]) -> Iterable[str]:
    yield "# TYPE serinus_edge_errors_total counter"
    for version, tally in tallies.items():
        yield f"serinus_edge_errors_total{{{_label(version)}}} {tally.errors}"
    yield "# TYPE serinus_edge_request_seconds histogram"
    for version, tally in tallies.items():
        name, label = "serinus_edge_request_seconds", _label(version)
        for edge, seen in tally.cumulative().items():
            upper = "+Inf" if edge == inf else f"{edge / 1000:.6g}"
            yield f'{name}_bucket{{{label},le="{upper}"}} {seen}'
        yield f"{name}_sum{{{label}}} {tally.total_ms / 1000:.6f}"
        yield f"{name}_count{{{label}}} {tally.requests}"


def _label(version: str) -> str:
    escaped = version.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'version="{escaped}"'
