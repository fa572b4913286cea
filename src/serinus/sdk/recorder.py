"""Recording requests: a bare append on the hot path, folded into exact histograms at the flush.

Per side, endpoint and outcome there is one list of latencies. Folding sorts it and cuts it at the
histogram's bucket edges, which costs a fraction of a logarithm per value and loses nothing.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from serinus.core.histogram import SCALE, ZERO_THRESHOLD, Histogram

TYPE_CHECKING = False  # typing itself costs milliseconds and a megabyte; checkers know this name
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    Append = Callable[[float], None]

__all__ = ["Folded", "Recorder", "fold"]

#: (is_canary, endpoint, label), and among several candidates the version → (requests, errors, latency)
Folded = dict[tuple[bool, str, str] | tuple[bool, str, str, str], tuple[int, int, Histogram]]

#: Upper edges of all buckets from a microsecond to five months in milliseconds, and the first one's index.
_FIRST = -10 * (1 << SCALE) - 1
_EDGES = [2.0 ** (n / (1 << SCALE)) for n in range(_FIRST + 1, 34 * (1 << SCALE))]


def fold(values: list[float], into: Histogram) -> None:
    """Add latencies in milliseconds to a histogram; sorts ``values`` in place."""
    values.sort()
    total = len(values)
    at = bisect_right(values, ZERO_THRESHOLD)
    until = bisect_right(values, _EDGES[-1], at)
    if not _is_sorted_number(values):  # NaN sorts anywhere: one by one, as the histogram itself takes them
        for value in values:
            into.record(value)
        return
    into.count += total
    into.zero += at + total - until  # infinity and beyond: they count, but have no place
    into.total += sum(values[at:until])
    buckets = into.buckets
    edge = 0
    while at < until:
        edge = bisect_left(_EDGES, values[at], edge)
        after = bisect_right(values, _EDGES[edge], at, until)
        index = _FIRST + edge
        buckets[index] = buckets.get(index, 0) + after - at
        at = after


def _is_sorted_number(values: list[float]) -> bool:
    """Tell whether there is no NaN: a sum shows it in one pass, infinities of one sign aside."""
    total = sum(values)
    return total == total  # noqa: PLR0124 - only NaN differs from itself


class Recorder:
    """Keeps one service's latencies until they are taken."""

    __slots__ = ("_lists", "_retired", "_tables", "record")

    record: Callable[[bool, Hashable, int, float], None]

    def __init__(self) -> None:
        """Start empty."""
        self._lists: dict[tuple[bool, bool, Hashable], list[float]] = {}
        self._retired: dict[tuple[bool, bool, Hashable], list[float]] = {}
        tables: tuple[dict[Hashable, Append], ...] = ({}, {}, {}, {})
        self.record = self._recorder(*tables)

    def _recorder(
        self,
        stable_ok: dict[Hashable, Append],
        canary_ok: dict[Hashable, Append],
        stable_bad: dict[Hashable, Append],
        canary_bad: dict[Hashable, Append],
    ) -> Callable[[bool, Hashable, int, float], None]:
        """Return ``record(is_canary, endpoint, status, latency_ms)``.

        ``endpoint`` may be ``(endpoint, label)``, or among several candidates ``(endpoint, label, version)``.
        A lookup in a table of bound appends is all it does.
        """
        lists = self._lists

        def record(is_canary: bool, endpoint: Hashable, status: int, latency_ms: float) -> None:
            try:
                if status < 500:
                    (canary_ok if is_canary else stable_ok)[endpoint](latency_ms)
                else:
                    (canary_bad if is_canary else stable_bad)[endpoint](latency_ms)
            except KeyError:
                table = (stable_ok, canary_ok, stable_bad, canary_bad)[2 * (status >= 500) + is_canary]
                fresh = lists.setdefault((is_canary, status >= 500, endpoint), [])
                table[endpoint] = fresh.append
                fresh.append(latency_ms)

        self._tables = (stable_ok, canary_ok, stable_bad, canary_bad)
        return record

    def take(self) -> Folded:
        """Fold what was recorded before the last call, and begin to retire what came since.

        A list is folded one call after it was taken out of use, so that a thread that had just
        fetched its ``append`` cannot lose its value.
        """
        retired, self._retired = self._retired, {}
        for key in list(self._lists):
            old = self._lists.pop(key)
            is_canary, bad, endpoint = key
            self._tables[2 * bad + is_canary].pop(endpoint, None)
            self._retired[key] = old
        folded: Folded = {}
        for (is_canary, bad, endpoint), values in retired.items():
            if not values:
                continue
            name, label, *version = endpoint if isinstance(endpoint, tuple) else (endpoint, "")
            place = (is_canary, str(name), str(label), *version)
            requests, errors, latency = folded.get(place, (0, 0, Histogram()))
            count = len(values)
            fold(values, latency)
            folded[place] = (requests + count, errors + (count if bad else 0), latency)
        return folded

    def reset(self) -> None:
        """Forget everything that was recorded."""
        self._lists.clear()
        self._retired.clear()
        for table in self._tables:
            table.clear()

    def drain(self) -> Folded:
        """Fold everything at once, for the last flush."""
        first = self.take()
        for place, (requests, errors, latency) in self.take().items():
            known = first.get(place)
            if known:
                latency.merge(known[2])
                first[place] = (known[0] + requests, known[1] + errors, latency)
            else:
                first[place] = (requests, errors, latency)
        return first
