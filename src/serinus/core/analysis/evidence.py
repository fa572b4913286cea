"""What was measured: windows per side, endpoint and label. They are frozen and add up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from serinus.core.analysis.flips import Sighting
from serinus.core.codec import told
from serinus.core.histogram import Histogram

#: The key of ``Evidence.problems`` for the request counters.
REQUESTS = "requests"

__all__ = [
    "REQUESTS",
    "Arm",
    "Evidence",
    "Sample",
    "SampleKind",
    "Selector",
    "Side",
    "TrafficState",
    "Window",
]


class Side(StrEnum):
    """Which version answered."""

    STABLE = "stable"
    CANARY = "canary"


class SampleKind(StrEnum):
    """How samples of one name add up over time."""

    COUNTER = "counter"  #: increases; summed over the window
    GAUGE = "gauge"  #: a level; the newest in the window counts


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """Requests of one side in one window. ``start`` is Unix seconds, aligned to ``seconds``."""

    side: Side
    start: int
    seconds: int
    requests: int
    errors: int
    latency: Histogram
    endpoint: str = ""
    label: str = ""

    @property
    def end(self) -> int:
        """The first second after the window."""
        return self.start + self.seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """A measurement that is no request: a counter's increase or a gauge's level."""

    side: Side
    name: str
    start: int
    value: float
    kind: SampleKind = SampleKind.COUNTER
    label: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Selector:
    """Which windows a check looks at; empty means all."""

    endpoint: str = told("Only this endpoint.", "")
    label: str = told("Only this label.", "")

    def takes(self, endpoint: str, label: str) -> bool:
        """Tell whether a window with this endpoint and label is looked at."""
        return self.endpoint in ("", endpoint) and self.label in ("", label)


@dataclass(kw_only=True, slots=True)
class Arm:
    """One side's totals over a period."""

    requests: int = 0
    errors: int = 0
    latency: Histogram = field(default_factory=Histogram)

    def add(self, window: Window) -> None:
        """Add a window's counts to these."""
        self.requests += window.requests
        self.errors += window.errors
        self.latency.merge(window.latency)

    @property
    def error_rate(self) -> float | None:
        """Errors per request, or ``None`` without requests."""
        return self.errors / self.requests if self.requests else None

    @property
    def success_rate(self) -> float | None:
        """Successes per request, or ``None`` without requests."""
        return 1 - self.errors / self.requests if self.requests else None


@dataclass(frozen=True, kw_only=True, slots=True)
class TrafficState:
    """What the data plane carries, as read back."""

    #: Every instance carries the wanted split.
    acknowledged: bool = True
    carried_bp: int | None = None
    #: What is wrong, instance by instance, in words.
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """Everything a decision reads beside the deployment itself."""

    windows: tuple[Window, ...] = ()
    samples: tuple[Sample, ...] = ()
    #: Stable's recorded windows from before the canary took all traffic: its baseline at 100 %.
    baseline: tuple[Window, ...] = ()
    traffic: TrafficState = TrafficState()
    #: Names of open breakers reported by SDK processes or proxies since the last look, with where.
    open_breakers: tuple[str, ...] = ()
    #: Failures in a row at the canary and successes since the last look, as far as known.
    fresh_errors: int = 0
    fresh_successes: int = 0
    #: What is odd about the sources: a counter that was reset, a source that does not answer.
    notes: tuple[str, ...] = ()
    #: Where watched units were served of late; ``None``: it was not looked up this time.
    sightings: tuple[Sighting, ...] | None = None
    #: Metric (or ``requests``) → why a source could not say what it is, in words.
    problems: Mapping[str, str] = field(default_factory=dict)

    def over(self, side: Side, since: float, until: float, selector: Selector | None = None) -> Arm:
        """Add up one side's windows that end after ``since`` and start by ``until``."""
        arm = Arm()
        for w in self.windows:
            if w.side is side and since < w.end and w.start <= until and _taken(selector, w):
                arm.add(w)
        return arm

    def stable_baseline(self, selector: Selector | None = None) -> Arm:
        """Add up stable's recorded history, for when no stable traffic is left to compare with."""
        arm = Arm()
        for window in self.baseline:
            if _taken(selector, window):
                arm.add(window)
        return arm

    def sample(self, side: Side, name: str, since: float, label: str = "") -> float | None:
        """Return a counter's increase or a gauge's newest level since ``since``; ``None`` if unreported."""
        found = [s for s in self.samples if self._matches(s, side, name, label) and s.start >= since]
        if not found:
            return None
        if found[0].kind is SampleKind.COUNTER:
            return sum(s.value for s in found)
        return max(found, key=lambda s: s.start).value

    def paired(self, since: float, until: float) -> dict[str, tuple[float, float]]:
        """Return the metrics that both sides reported in a span, as name → (canary, stable)."""
        sides: dict[str, dict[Side, float]] = {}
        for s in self.samples:
            if since <= s.start < until and not s.label:
                sides.setdefault(s.name, {})[s.side] = s.value
        return {n: (v[Side.CANARY], v[Side.STABLE]) for n, v in sides.items() if len(v) == len(Side)}

    def reports(self, name: str) -> bool:
        """Tell whether any side has reported this metric at all."""
        return any(s.name == name for s in self.samples)

    @staticmethod
    def _matches(sample: Sample, side: Side, name: str, label: str) -> bool:
        return sample.side is side and sample.name == name and label in ("", sample.label)


def _taken(selector: Selector | None, window: Window) -> bool:
    return selector is None or selector.takes(window.endpoint, window.label)
