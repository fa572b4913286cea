"""Contract 2: a canary router and collector inside one application, with no control plane at all.

Several workers agree through a small folder: one file with the configuration, replaced at once, and
one file of totals per worker, which every worker adds up.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from xxhash import xxh64_intdigest

from serinus.core.histogram import Histogram
from serinus.sdk.paths import Templates

__all__ = ["BadPercentage", "CanaryRouter", "DeploymentVersion", "MetricsCollector"]

#: Contract 2's defaults and conditions.
DEFAULT_PERCENTAGE = 5.0
MAX_ERROR_RATE, MAX_P95_MS, MIN_AVAILABILITY = 0.05, 2000.0, 0.99
PROMOTE_ERROR_INCREASE, PROMOTE_P95_INCREASE, PROMOTE_REQUESTS = 0.005, 0.10, 1000
#: Other workers' changes are looked for this often.
LOOK_SECONDS = 0.1
FILE = "canary.json"


class DeploymentVersion(Enum):
    """Which version serves a user."""

    LEGACY = "legacy"
    CANARY = "canary"


class BadPercentage(ValueError):
    """The percentage is no number from 0 to 100."""


class CanaryRouter:
    """Decides by the user's id alone: the same user gets the same version, everywhere and always."""

    def __init__(
        self,
        canary_percentage: float = DEFAULT_PERCENTAGE,
        endpoints_to_canary: tuple[str, ...] = (),
        *,
        enabled: bool = True,
        hash: str = "xxh64",  # noqa: A002 - the option's name
        salt: str = "canary",
        shared: str | None = None,
    ) -> None:
        """Begin with these settings, or with what other workers have agreed on in ``shared``.

        Args:
            canary_percentage: Share of users, 0 to 100, in steps of 0.01 (1 with md5).
            endpoints_to_canary: Path templates that may go to the canary; none means all.
            enabled: Whether anybody goes to the canary at all.
            hash: ``xxh64`` over ``"salt:user"`` with 10,000 buckets, or ``md5`` of the user's id
                mapped to 0–99, as the contract's first version did.
            salt: Which users go first (xxh64 only).
            shared: A folder that all workers can write; changes then hold in every one of them.

        Raises:
            BadPercentage: The percentage is none.
            BadTemplate: An endpoint does not compile.
            ValueError: There is no such hash.
        """
        if hash not in ("xxh64", "md5"):
            raise ValueError(f"There is no hash {hash!r}: use 'xxh64' or 'md5'.")
        self._md5 = hash == "md5"
        self._prefix = f"{salt}:"
        self._folder = Path(shared) if shared else None
        self._lock = threading.Lock()
        self._looked = 0.0
        self._mark: tuple[int, int] | None = None
        self._config: dict[str, Any] = {
            "enabled": bool(enabled),
            "canary_percentage": _percentage(canary_percentage),
            "endpoints_to_canary": list(endpoints_to_canary),
        }
        self._templates = Templates(tuple(endpoints_to_canary))
        if self._folder:
            self._folder.mkdir(parents=True, exist_ok=True)
            if not (self._folder / FILE).exists():
                self._store(self._config)
            self._look(force=True)

    def get_deployment_version(self, user_id: str) -> DeploymentVersion:
        """Return which version serves this user."""
        return DeploymentVersion.CANARY if self.is_canary_user(user_id) else DeploymentVersion.LEGACY

    def is_canary_user(self, user_id: str) -> bool:
        """Tell whether this user is on the canary. Anything unusable is not."""
        try:
            self._look()
            config = self._config
            if not config["enabled"] or not user_id:
                return False
            if self._md5:
                digest = hashlib.md5(user_id.encode(), usedforsecurity=False).hexdigest()
                return int(digest, 16) % 100 < float(config["canary_percentage"])
            bucket = xxh64_intdigest((self._prefix + user_id).encode()) % 10_000
            return bucket < round(float(config["canary_percentage"]) * 100)
        except Exception:  # noqa: BLE001 - the application never sees our errors: legacy
            return False

    def routes_endpoint(self, path: str) -> bool:
        """Tell whether requests of this path may go to the canary."""
        self._look()
        return not self._templates.names or self._templates.match(path) is not None

    def get_canary_config(self) -> dict[str, Any]:
        """Return ``enabled``, ``canary_percentage`` and ``endpoints_to_canary``."""
        self._look()
        return {**self._config, "endpoints_to_canary": list(self._config["endpoints_to_canary"])}

    def update_canary_percentage(self, percentage: float) -> None:
        """Change the share, at once and in all workers.

        Raises:
            BadPercentage: It is none; nothing was changed.
        """
        self._change(canary_percentage=_percentage(percentage))

    def enable(self) -> None:
        """Let the share go to the canary."""
        self._change(enabled=True)

    def disable(self) -> None:
        """Put everyone on legacy, at once and in all workers."""
        self._change(enabled=False)

    def add_endpoint(self, path: str) -> None:
        """Let a path template go to the canary.

        Raises:
            BadTemplate: It does not compile; nothing was changed.
        """
        Templates((path,))
        with self._changing() as config:
            if path not in config["endpoints_to_canary"]:
                config["endpoints_to_canary"].append(path)

    def remove_endpoint(self, path: str) -> None:
        """Keep a path template on legacy; an unknown one changes nothing."""
        with self._changing() as config:
            if path in config["endpoints_to_canary"]:
                config["endpoints_to_canary"].remove(path)

    def _change(self, **values: Any) -> None:
        with self._changing() as config:
            config.update(values)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[dict[str, Any]]:
        """Change the newest configuration, alone among all threads and workers."""
        with self._lock, self._file_lock():
            self._look(force=True)
            config = {**self._config, "endpoints_to_canary": list(self._config["endpoints_to_canary"])}
            yield config
            if self._folder:
                self._store(config)
                self._mark = None
            self._adopt(config)

    @contextlib.contextmanager
    def _file_lock(self) -> Iterator[None]:
        if self._folder is None:
            yield
            return
        import fcntl

        with (self._folder / "canary.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _store(self, config: Mapping[str, Any]) -> None:
        assert self._folder is not None
        _replace(self._folder / FILE, json.dumps(config))

    def _look(self, *, force: bool = False) -> None:
        """Follow what another worker has changed."""
        if self._folder is None:
            return
        now = time.monotonic()
        if not force and now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        try:
            stat = (self._folder / FILE).stat()
            mark = (stat.st_mtime_ns, stat.st_ino)
            if mark != self._mark:
                self._adopt(json.loads((self._folder / FILE).read_text()))
                self._mark = mark
        except (OSError, ValueError, KeyError):
            return  # half written or gone: what we have stays in force until the next look

    def _adopt(self, config: dict[str, Any]) -> None:
        self._templates = Templates(tuple(config["endpoints_to_canary"]))
        self._config = config


def _percentage(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadPercentage(f"{value!r} is no percentage: give a number from 0 to 100.")
    if not 0 <= value <= 100:
        raise BadPercentage(f"{value} is outside 0 to 100.")
    return value


def _replace(path: Path, content: str) -> None:
    with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".tmp", delete=False) as file:
        file.write(content)
    Path(file.name).replace(path)


class _Totals:
    """Requests, errors and latency of one version, or of one endpoint of it."""

    def __init__(self) -> None:
        self.errors = 0
        self.latency = Histogram()

    def add(self, status: int, latency_ms: float) -> None:
        self.errors += status >= 500
        self.latency.record(latency_ms)

    def merge(self, data: Mapping[str, Any]) -> None:
        self.errors += int(data["errors"])
        self.latency.merge(Histogram.from_json(data["latency"]))

    def to_json(self) -> dict[str, Any]:
        return {"errors": self.errors, "latency": self.latency.to_json()}

    def view(self) -> dict[str, Any]:
        count = self.latency.count
        return {
            "request_count": count,
            "error_count": self.errors,
            "error_rate": self.errors / count if count else 0.0,
            "avg_response_time_ms": self.latency.mean or 0.0,
            "p95_response_time_ms": self.latency.quantile(0.95) or 0.0,
            "p99_response_time_ms": self.latency.quantile(0.99) or 0.0,
        }


class MetricsCollector:
    """Counts requests per version and endpoint; with ``shared`` over all workers."""

    def __init__(self, shared: str | None = None, *, flush_seconds: float = 0.5) -> None:
        """Begin with nothing of our own; other workers' totals are read when asked for.

        Args:
            shared: A folder that all workers can write.
            flush_seconds: A worker writes its totals at most this often.
        """
        self._folder = Path(shared) if shared else None
        if self._folder:
            self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._flush_seconds = flush_seconds
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        """Start empty under a name of our own: a forked child counts what it serves itself."""
        self._lock = threading.Lock()
        self._name = f"worker-{uuid.uuid4().hex}.json"
        self._totals: dict[tuple[str, str], _Totals] = {}
        self._written = 0.0
        self._planned = False

    def record_request(
        self,
        endpoint: str,
        method: str,
        user_id: str,  # noqa: ARG002 - the contract's signature; ids are not kept
        version: DeploymentVersion | str,
        status_code: int,
        response_time_ms: float,
    ) -> None:
        """Count one answered request. A status of 500 or above is an error."""
        name = version.value if isinstance(version, DeploymentVersion) else str(version)
        with self._lock:
            for key in ((name, ""), (name, f"{method} {endpoint}")):
                totals = self._totals.get(key)
                if totals is None:
                    totals = self._totals.setdefault(key, _Totals())
                totals.add(status_code, response_time_ms)
            due = time.monotonic() - self._written >= self._flush_seconds
            later = self._folder is not None and not due and not self._planned
            self._planned |= later
        if due:
            self.flush()
        elif later:  # perhaps no other request comes; the process waits for it at its end
            with contextlib.suppress(RuntimeError):  # it has begun to end: no thread starts any more
                threading.Timer(self._flush_seconds, self.flush).start()

    def flush(self) -> None:
        """Write our totals for the other workers."""
        if self._folder is None:
            return
        with self._lock:
            self._written, self._planned = time.monotonic(), False
            data = [[*key, totals.to_json()] for key, totals in self._totals.items()]
        with contextlib.suppress(OSError):  # the folder is away: our own numbers are still here
            _replace(self._folder / self._name, json.dumps(data))

    def _all(self) -> dict[tuple[str, str], _Totals]:
        """Return our totals and those of every other worker, ended ones included."""
        merged: dict[tuple[str, str], _Totals] = {}
        with self._lock:
            listed: list[list[list[Any]]] = [
                [[*key, totals.to_json()] for key, totals in self._totals.items()]
            ]
        for path in self._folder.glob("worker-*.json") if self._folder else ():
            if path.name != self._name:
                with contextlib.suppress(OSError, ValueError):  # being replaced: it is there next time
                    listed.append(json.loads(path.read_text()))
        for rows in listed:
            for version, endpoint, data in rows:
                merged.setdefault((version, endpoint), _Totals()).merge(data)
        return merged

    def get_metrics_summary(self) -> dict[str, dict[str, Any]]:
        """Return per version: requests, errors, error rate, average, P95 and P99 in milliseconds."""
        self.flush()
        merged = self._all()
        return {v.value: merged.get((v.value, ""), _Totals()).view() for v in DeploymentVersion}

    def get_endpoint_metrics(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Return the same per ``METHOD endpoint`` and version."""
        self.flush()
        by_endpoint: dict[str, dict[str, dict[str, Any]]] = {}
        for (version, endpoint), totals in sorted(self._all().items()):
            if endpoint:
                by_endpoint.setdefault(endpoint, {})[version] = totals.view()
        return by_endpoint

    def should_promote(self) -> tuple[bool, list[str]]:
        """Tell whether the canary may go to 100 %, and which of contract 2's conditions are not met."""
        legacy, canary = (self.get_metrics_summary()[v.value] for v in DeploymentVersion)
        unmet = []
        increase = canary["error_rate"] - legacy["error_rate"]
        if increase >= PROMOTE_ERROR_INCREASE:
            unmet.append(f"error rate is up by {increase:.2%}, the limit is 0.50%")
        slower = _relative(canary["p95_response_time_ms"], legacy["p95_response_time_ms"])
        if slower >= PROMOTE_P95_INCREASE:
            unmet.append(f"p95 is up by {slower:.1%}, the limit is 10%")
        if canary["request_count"] <= PROMOTE_REQUESTS:
            unmet.append(
                f"{canary['request_count']} canary requests, more than {PROMOTE_REQUESTS} are needed"
            )
        return not unmet, unmet

    def should_roll_back(self) -> tuple[bool, list[str]]:
        """Tell whether the canary must go, and why (contract 2). Without requests nobody knows."""
        canary = self.get_metrics_summary()[DeploymentVersion.CANARY.value]
        if not canary["request_count"]:
            return False, []
        reasons = []
        if canary["error_rate"] > MAX_ERROR_RATE:
            reasons.append(f"canary error rate {canary['error_rate']:.2%} is above 5%")
        if canary["p95_response_time_ms"] > MAX_P95_MS:
            reasons.append(f"canary p95 {canary['p95_response_time_ms']:.0f} ms is above 2 s")
        if 1 - canary["error_rate"] < MIN_AVAILABILITY:
            reasons.append(f"canary availability {1 - canary['error_rate']:.2%} is below 99%")
        return bool(reasons), reasons

    def admin_view(self) -> dict[str, Any]:
        """Return what ``GET /api/v2/admin/canary/metrics`` answers, in the contract's own formats."""
        summary = self.get_metrics_summary()
        legacy, canary = (summary[v.value] for v in DeploymentVersion)
        total = legacy["request_count"] + canary["request_count"]
        share = 100 * canary["request_count"] / total if total else 0.0
        faster = -_relative(canary["p95_response_time_ms"], legacy["p95_response_time_ms"])
        rate = 100 * (canary["error_rate"] - legacy["error_rate"])
        return {
            "legacy": _shown("legacy", legacy),
            "canary": _shown("canary", canary),
            "comparison": {
                "error_rate_difference": f"{rate:+.2f}%",
                "response_time_improvement": f"{100 * faster:+.2f}%",
                "canary_p95_response_time": f"{canary['p95_response_time_ms']:.2f}ms",
                "legacy_p95_response_time": f"{legacy['p95_response_time_ms']:.2f}ms",
                "traffic_split": {
                    "legacy_requests": legacy["request_count"],
                    "canary_requests": canary["request_count"],
                    "legacy_percentage": f"{100 - share if total else 0.0:.1f}%",
                    "canary_percentage": f"{share:.1f}%",
                },
            },
        }


def _relative(value: float, base: float) -> float:
    return (value - base) / base if base else 0.0


def _shown(version: str, numbers: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "version": version,
        "request_count": numbers["request_count"],
        "error_count": numbers["error_count"],
        "error_rate": f"{100 * numbers['error_rate']:.2f}%",
        "avg_response_time_ms": f"{numbers['avg_response_time_ms']:.2f}",
        "p95_response_time_ms": f"{numbers['p95_response_time_ms']:.2f}",
        "p99_response_time_ms": f"{numbers['p99_response_time_ms']:.2f}",
    }
