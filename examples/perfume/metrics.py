"""The service's four metrics and what its process uses, in Prometheus' text format."""

from __future__ import annotations

import resource
from pathlib import Path
from threading import Lock

__all__ = ["Metrics"]

#: Upper edges in seconds; the limits of the policy (2.5, 3.2 and 4.5) are among them.
EDGES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 3.2, 4.5, 6.0, 10.0)
_HELP = {
    "http_request_duration_seconds": ("histogram", "Time to answer, by mode."),
    "http_requests_total": ("counter", "Requests, by status."),
    "llm_brief_schema_failures_total": ("counter", "Drafts of a model that were no brief."),
    "rl_training_loss": ("gauge", "The critic's mean squared error, smoothed."),
    "process_cpu_seconds_total": ("counter", "Processor time of this process."),
    "process_resident_memory_bytes": ("gauge", "Memory of this process."),
}


class Metrics:
    """Counts for one process, which is one version."""

    def __init__(self, version: str) -> None:
        """``version`` is the label by which dashboards and checks tell the two sides apart."""
        self._version = version
        self._lock = Lock()
        self._buckets: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}
        self._requests: dict[str, int] = {"200": 0}
        self._failures = 0
        self._loss: float | None = None

    def request(self, mode: str, status: int, seconds: float) -> None:
        """Count an answer; ``mode`` is empty for requests that have none."""
        with self._lock:
            self._requests[str(status)] = self._requests.get(str(status), 0) + 1
            buckets = self._buckets.setdefault(mode, [0] * (len(EDGES) + 1))
            buckets[next((n for n, edge in enumerate(EDGES) if seconds <= edge), len(EDGES))] += 1
            self._sums[mode] = self._sums.get(mode, 0.0) + seconds

    def failed_drafts(self, count: int) -> None:
        """Count drafts that broke the schema."""
        with self._lock:
            self._failures += count

    def loss(self, value: float) -> None:
        """Remember the newest training loss."""
        with self._lock:
            self._loss = value

    def text(self) -> str:
        """Return the exposition."""
        with self._lock:
            lines = []
            for name, (kind, help_) in _HELP.items():
                lines += [f"# HELP {name} {help_}", f"# TYPE {name} {kind}", *self._samples(name)]
        return "\n".join(lines) + "\n"

    def _samples(self, name: str) -> list[str]:
        who = f'version="{self._version}"'
        if name == "http_requests_total":
            return [f'{name}{{{who},status="{s}"}} {n}' for s, n in sorted(self._requests.items())]
        if name == "llm_brief_schema_failures_total":
            return [f"{name}{{{who}}} {self._failures}"]
        if name == "rl_training_loss":
            return [] if self._loss is None else [f"{name}{{{who}}} {self._loss:.6f}"]
        if name == "process_cpu_seconds_total":
            used = resource.getrusage(resource.RUSAGE_SELF)
            return [f"{name}{{{who}}} {used.ru_utime + used.ru_stime:.3f}"]
        if name == "process_resident_memory_bytes":
            return [f"{name}{{{who}}} {resident_bytes()}"]
        lines = []
        for mode, buckets in sorted(self._buckets.items()):
            labels, total = f'{who},mode="{mode}"', 0
            for edge, count in zip((*EDGES, float("inf")), buckets, strict=True):
                total += count
                shown = "+Inf" if edge == float("inf") else f"{edge:g}"
                lines.append(f'{name}_bucket{{{labels},le="{shown}"}} {total}')
            lines.append(f"{name}_sum{{{labels}}} {self._sums[mode]:.6f}")
            lines.append(f"{name}_count{{{labels}}} {total}")
        return lines


def resident_bytes() -> int:
    """Return the memory that this process has now; where the system does not tell, its peak."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return pages * resource.getpagesize()
