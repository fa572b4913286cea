"""Reading a record from a metric source, a few hours at a time.

The source does the counting (:meth:`MetricSource.increases`): whole numbers by window, resets taken
out, and no number where reads are missing. This module asks in chunks and puts the answers together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf

import numpy as np

from serinus.core.errors import InvalidInput, Unavailable
from serinus.ports.metrics import Increases, MetricSource
from serinus.sim.recorded import Cell, Key, Record, Shape

__all__ = ["Question", "read"]

#: Windows asked for at once; a chunk whose answer is too big or too slow is halved down to the least.
CHUNK_WINDOWS, LEAST_WINDOWS = 240, 15
#: What the source says when a smaller question may do.
_TOO_MUCH = ("timed out", "ask for less", "too many samples", "exceeded")
_NO_SERIES = "no series matched"

#: Told with every chunk: the share that is done.
Progress = Callable[[float], None]
#: (instance, version, endpoint) → window start → value; latency: → edge → value.
_Grown = dict[Key, dict[int, float]]
_Buckets = dict[Key, dict[int, dict[float, float]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What to read, and which labels say whose it is."""

    requests: str = "http_requests_total"
    errors: str = 'http_requests_total{status=~"5.."}'
    #: Empty: no latency.
    latency: str = "http_request_duration_seconds_bucket"
    instance_label: str = "instance"
    version_label: str = "version"
    endpoint_label: str = "path"
    #: Milliseconds of one unit of the latency's ``le``.
    latency_ms: float = 1000.0
    width: int = 60

    @property
    def by(self) -> tuple[str, ...]:
        """The labels that make a key."""
        return (self.instance_label, self.version_label, self.endpoint_label)


@dataclass(kw_only=True)
class _Heap:
    """What has been read so far."""

    requests: _Grown = field(default_factory=lambda: defaultdict(dict))
    errors: _Grown = field(default_factory=lambda: defaultdict(dict))
    latency: _Buckets = field(default_factory=lambda: defaultdict(lambda: defaultdict(dict)))
    resets: int = 0


async def read(
    source: MetricSource, question: Question, start: float, end: float, progress: Progress = lambda _: None
) -> Record:
    """Read everything between ``start`` and ``end`` (Unix seconds).

    Raises:
        Unavailable: The source cannot be asked.
        InvalidInput: Nothing was recorded, or the times are no period.
    """
    width = question.width
    first, last = int(start // width) * width, int(end // width) * width
    if last - first < 2 * width:
        raise InvalidInput("The period is empty.", field="from", next_step="Give --from before --to.")
    heap = _Heap()
    for low in range(first, last, CHUNK_WINDOWS * width):
        high = min(low + CHUNK_WINDOWS * width, last)
        await _chunk(source, question, heap, low, high)
        progress((high - first) / (last - first))
    if not heap.requests:
        raise InvalidInput(
            f"{question.requests} has no samples in this period.",
            field="requests",
            next_step="Look for the name in Prometheus' own page; name it with --requests. Windows must be "
            "twice as long as the scrape interval (--window).",
        )
    return _Assembly(question, heap, first, (last - first) // width).record()


async def _chunk(source: MetricSource, question: Question, heap: _Heap, low: int, high: int) -> None:
    by = question.by
    async for told in _asked(source, question.requests, low, high, question.width, by):
        _take(heap.requests, told)
        heap.resets += told.resets
    async for told in _asked(source, question.errors, low, high, question.width, by):
        _take(heap.errors, told)
    if question.latency:
        async for told in _asked(source, question.latency, low, high, question.width, (*by, "le")):
            for (labels, at), value in told.windows.items():
                key, edge = Key(*labels[:3]), _edge(labels[3], question.latency_ms)
                if edge is not None:
                    heap.latency[key][at][edge] = value


async def _asked(
    source: MetricSource, selector: str, low: int, high: int, width: int, by: tuple[str, ...]
) -> AsyncIterator[Increases]:
    """Ask for a stretch; halve it while the answer is too much."""
    todo = [(low, high)]
    while todo:
        a, b = todo.pop()
        told = await source.increases(selector, a, b, width, by)
        if not told.problem or _is_silence(told):
            yield told
        elif any(word in told.problem for word in _TOO_MUCH) and b - a > LEAST_WINDOWS * width:
            middle = a + (b - a) // width // 2 * width
            todo += [(middle, b), (a, middle)]
        else:
            raise Unavailable(
                f"The metrics could not be read: {told.problem}.",
                next_step=f"It was asked for {selector}; look at the server, then start again.",
            )


def _is_silence(told: Increases) -> bool:
    """Tell whether the source answered, and had nothing: that is a gap, not trouble."""
    return told.problem.startswith((_NO_SERIES, "stale", "too few", "no samples", "the answer is NaN"))


def _take(into: _Grown, told: Increases) -> None:
    for (labels, at), value in told.windows.items():
        into[Key(*labels)][at] = value


def _edge(le: str, unit_ms: float) -> float | None:
    try:
        return inf if le == "+Inf" else float(le) * unit_ms
    except ValueError:
        return None


@dataclass(slots=True)
class _Assembly:
    """Puts the answers together."""

    question: Question
    heap: _Heap
    start: int
    length: int
    notes: list[str] = field(default_factory=list)

    def record(self) -> Record:
        """Return the record."""
        heap = self.heap
        edges = {edge for moments in heap.latency.values() for row in moments.values() for edge in row}
        shape = Shape(
            width=self.question.width,
            endpoints=tuple(sorted({key.endpoint for key in heap.requests})),
            edges=tuple(sorted(edges)) or (inf,),
        )
        cells = {key: self._cell(key, shape) for key in sorted(heap.requests)}
        self._say(edges)
        return Record(
            start=self.start,
            length=self.length,
            shape=shape,
            cells=cells,
            resets=heap.resets,
            notes=self.notes,
        )

    def _cell(self, key: Key, shape: Shape) -> Cell:
        moments = self.heap.requests[key]
        first, last = min(moments), max(moments)
        length = (last - first) // shape.width + 1
        counts = np.zeros((length, 2 + len(shape.edges)), dtype=np.int64)
        known = np.zeros(length, dtype=np.bool_)
        errors, latency = self.heap.errors.get(key, {}), self.heap.latency.get(key, {})
        # A process that never failed has no series of errors yet: before its first it had none.
        born = min(errors, default=inf)
        for at, requests in moments.items():
            if at not in errors and at >= born:
                continue
            row = (at - first) // shape.width
            failed = round(errors.get(at, 0.0))
            counts[row, 0], counts[row, 1] = max(round(requests), failed), failed
            counts[row, 2:] = _apart(latency.get(at, {}), shape.edges)
            known[row] = True
        return Cell(first=(first - self.start) // shape.width, counts=counts, known=known)

    def _say(self, edges: set[float]) -> None:
        q = self.question
        if not self.heap.errors:
            self.notes.append(f"No error was recorded at all: check that {q.errors} is how errors are told.")
        if not edges:
            self.notes.append("No latency was recorded, so no check of latency could be judged.")
        if not any(key.version for key in self.heap.requests):
            self.notes.append(
                f"The series have no label {q.version_label!r}, so past releases cannot be told apart."
            )
        if not any(key.endpoint for key in self.heap.requests):
            self.notes.append(
                f"The series have no label {q.endpoint_label!r}, so endpoints are judged together: a change "
                "in what visitors ask for can look like a change of the version."
            )


def _apart(cumulative: Mapping[float, float], edges: tuple[float, ...]) -> list[int]:
    """Return the count of each bucket from counts at or below its edge.

    Buckets are read as series of their own, so a sum may fall by one where a scrape cut between them.
    """
    below = [0, *(round(cumulative.get(edge, 0.0)) for edge in edges)]
    return [max(0, b - a) for a, b in pairwise(below)]
