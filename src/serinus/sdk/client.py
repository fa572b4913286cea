"""The client: follows the control plane's snapshot, sends what was measured, survives its absence."""

from __future__ import annotations

import os

from serinus.sdk.recorder import Folded, Recorder
from serinus.sdk.routing import Choice, Router

TYPE_CHECKING = False  # typing itself costs milliseconds and a megabyte; checkers know this name
if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping
    from typing import Any

    from serinus.sdk.routing import Unit
    from serinus.sdk.rulesets import Ruleset
    from serinus.sdk.transport import Transport

__all__ = ["CLIENT_LEFT", "Client"]

#: What proxies write down for a client that left before it was answered.
CLIENT_LEFT = 499

#: Samples kept between two flushes; more are dropped and counted.
MAX_SAMPLES = 10_000
#: A control plane refuses larger numbers, and the batch that they are in.
MAX_VALUE = 2**53
#: Units that one batch tells of; the rest goes with the next ones.
MAX_UNITS = 2_000
#: Where watched units are served is told again after so many seconds: who tells it might have changed.
WATCH_SECONDS = 60.0


class Client:
    """One per process. Attached to a control plane by URL and token, or alone with a snapshot.

    Nothing is started before the first :meth:`service`: no thread, no connection. After a fork the
    child has its own identity, empty books and its own threads.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        snapshot: Mapping[str, Any] | None = None,
        cache_path: str | None = None,
        window_seconds: int = 10,
        flush_seconds: float = 1.0,
        poll_seconds: float = 5.0,
    ) -> None:
        """Prepare; nothing is contacted yet.

        Args:
            url: The control plane; ``SERINUS_URL`` by default. Without any the client is alone.
            token: An SDK token; ``SERINUS_TOKEN`` by default.
            snapshot: Where to begin, before (or without) a control plane.
            cache_path: A file that keeps the last known snapshot over restarts.
            window_seconds: Width of the evidence windows.
            flush_seconds: Pause between two batches.
            poll_seconds: Pause between two looks while the push stream is down.
        """
        self.url = (url if url is not None else os.environ.get("SERINUS_URL", "")).rstrip("/")
        self._token = token if token is not None else os.environ.get("SERINUS_TOKEN", "")
        self._routers: dict[str, Router] = {}
        self._recorders: dict[str, Recorder] = {}
        self._rulesets: dict[str, Ruleset] = {}
        self._samples: list[dict[str, Any]] = []
        self._breakers: list[dict[str, Any]] = []
        self._services: Mapping[str, Any] = {}
        self._lock: threading.Lock | None = None
        self._transport: Transport | None = None
        self._options = (cache_path, flush_seconds, poll_seconds)
        self.window_seconds = window_seconds
        self.revision = ""
        self.dropped = 0
        self.last_error = ""
        if snapshot is not None:
            self.follow(snapshot)
        os.register_at_fork(after_in_child=self._forked)

    def service(self, name: str) -> Router:
        """Return the router of a service; the same one each time. Starts to follow the control plane."""
        router = self._routers.get(name)
        if router is None:
            router = self._routers.setdefault(name, Router(name, self._on_breaker))
            self._adopt(router)
            self._start()
        return router

    def ruleset(self, name: str) -> Ruleset:
        """Return a ruleset that is executed in this process; the same one each time."""
        known = self._rulesets.get(name)
        if known is None:
            from serinus.sdk.rulesets import Ruleset

            known = self._rulesets.setdefault(name, Ruleset(self, name))
        return known

    def rules(self, name: str) -> Mapping[str, Any]:
        """Return a ruleset's rules in the snapshot, by version."""
        rules = (self._services.get(name) or {}).get("rules")
        return rules if isinstance(rules, dict) else {}

    def recorder(self, name: str) -> Recorder:
        """Return the recorder of a service; the same one each time."""
        recorder = self._recorders.get(name)
        return recorder if recorder is not None else self._recorders.setdefault(name, Recorder())

    def record(
        self, service: str, choice: Choice, endpoint: str, status: int, latency_ms: float, label: str = ""
    ) -> None:
        """Record one answered request. A status of 500 or above, or an exception told as 500, is an error.

        499, a client that left, is no error, and no success that would calm the breaker.

        What a canary that is over answers late is no evidence on the one that runs now.
        """
        if choice.is_canary and not self.service(service).plan.tests(choice.version):
            return
        if self._transport is not None:  # alone, nobody would ever take it
            key: Any = (endpoint, label) if label else endpoint
            if choice.candidate:
                key = (endpoint, label, choice.candidate)
            self.recorder(service).record(choice.is_canary, key, status, latency_ms)
        if choice.is_canary:
            router = self.service(service)
            if status >= 500:
                router.failed(choice.candidate)
            elif status != CLIENT_LEFT and router.needs_success:
                router.succeeded(choice.candidate)

    def metric(
        self, service: str, choice: Choice, name: str, value: float, kind: str = "counter", label: str = ""
    ) -> None:
        """Report a metric of your own: a counter's increase, or a gauge's level."""
        router = self._routers.get(service)
        deployment = router.plan.deployment if router else ""
        if not deployment or len(self._samples) >= MAX_SAMPLES or not abs(value) <= MAX_VALUE:  # NaN, too
            self.dropped += bool(deployment)
            return
        import time

        self._samples.append(
            {
                "service": service,
                "deployment": deployment,
                "side": "canary" if choice.is_canary else "stable",
                "name": name,
                "label": label,
                "kind": kind,
                "start": int(time.time()),
                "value": float(value),
                **({"version": choice.candidate} if choice.candidate else {}),
            }
        )

    @property
    def services(self) -> Mapping[str, Any]:
        """What is followed now, by service."""
        return self._services

    def follow(self, snapshot: Mapping[str, Any]) -> None:
        """Follow a snapshot. A service whose entry is unusable keeps the one before."""
        services = snapshot.get("services")
        if not isinstance(services, dict):
            self.last_error = "the snapshot has no services"
            return
        self._services = services
        self.revision = str(snapshot.get("revision", ""))
        for router in list(self._routers.values()):
            self._adopt(router)

    def _adopt(self, router: Router) -> None:
        entry = self._services.get(router.service)
        if entry is None:
            return
        try:
            router.adopt(entry)
        except ValueError as error:
            self.last_error = str(error)

    def status(self) -> dict[str, Any]:
        """Return what the client knows of itself; no secrets."""
        transport = self._transport
        return {
            "attached": bool(self.url),
            "connected": bool(transport and transport.connected),
            "revision": self.revision,
            "services": sorted(self._services),
            "dropped": self.dropped,
            "last_error": self.last_error,
        }

    def flush(self) -> None:
        """Send what there is, now. Waits at most a few seconds; never raises."""
        if self._transport is not None:
            self._transport.flush(last=True)

    def close(self) -> None:
        """Send the rest and end the threads. Waits at most a few seconds."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def _start(self) -> None:
        if not self.url or self._transport is not None:
            return
        import threading

        self._lock = self._lock or threading.Lock()
        with self._lock:
            if self._transport is None:
                from serinus.sdk.transport import Transport

                self._transport = Transport(self, self._token, *self._options)
                self._transport.start()

    def _on_breaker(
        self, service: str, deployment: str, state: str, failures: int, candidate: str = ""
    ) -> None:
        news = {"service": service, "deployment": deployment, "state": state, "failures": failures}
        if candidate:
            news["version"] = candidate
        self._breakers.append(news)
        if self._transport is not None:
            self._transport.hurry()

    def _forked(self) -> None:
        """Begin anew in a forked child: the parent sends what the parent measured."""
        started = self._transport is not None
        self._transport, self._lock = None, None
        self._samples, self._breakers = [], []
        for name in list(self._recorders):
            self._recorders[name].reset()
        for router in self._routers.values():
            router.new_units()
            router.sightings(0.0, 0.0)
        if started:
            self._start()

    def take_batch(self, *, last: bool = False) -> dict[str, Any] | None:
        """Take what there is to send, or ``None``. The transport adds who sends it and its number."""
        import time

        now = int(time.time())
        windows: list[dict[str, Any]] = []
        for name, recorder in list(self._recorders.items()):
            folded = recorder.drain() if last else recorder.take()
            windows += self._windows(name, folded, now)
        units = self.take_units()
        samples, self._samples = self._samples, []
        breakers, self._breakers = self._breakers, []
        sightings = self._sightings()
        if not (windows or units or samples or breakers or sightings):
            return None
        found = {"windows": windows, "units": units, "samples": samples, "breakers": breakers}
        return {**found, "sightings": sightings} if sightings else found

    def _sightings(self) -> list[dict[str, Any]]:
        """Take where watched units were served, by service, version and share."""
        import time

        told: dict[tuple[str, str, str, int], list[str]] = {}
        for name, router in list(self._routers.items()):
            for unit, version, share in router.sightings(time.monotonic(), WATCH_SECONDS):
                told.setdefault((name, router.plan.deployment, version, share), []).append(f"{unit:016x}")
        return [
            {
                "service": service,
                "deployment": deployment,
                "version": version,
                "share_bp": share,
                "units": units,
            }
            for (service, deployment, version, share), units in told.items()
        ]

    def take_units(self) -> list[dict[str, Any]]:
        """Take units that nobody was told of, as many as a batch tells of."""
        units: list[dict[str, Any]] = []
        for name, router in list(self._routers.items()):
            units += _units(name, router, router.new_units(MAX_UNITS - len(units)))
        return units

    def take_back(self, batch: Mapping[str, Any]) -> None:
        """Take the units of a batch that is given up: measurements may be lost, assignments may not."""
        for one in batch["units"]:
            router = self._routers.get(one["service"])
            if router and router.plan.deployment == one["deployment"]:
                router.take_back([(int(one["hash"], 16), one["priority"], one["key"], one["epoch"])])

    def _windows(self, service: str, folded: Folded, now: int) -> list[dict[str, Any]]:
        router = self._routers.get(service)
        deployment = router.plan.deployment if router else ""
        if router is None or not deployment:
            return []
        start = now // self.window_seconds * self.window_seconds
        own = (router.plan.stable_version, router.plan.canary_version)
        return [
            {
                "service": service,
                "deployment": deployment,
                "side": "canary" if is_canary else "stable",
                "version": candidate[0] if candidate else own[is_canary],
                "endpoint": endpoint[:200],
                "label": label[:200],
                "start": start,
                "seconds": self.window_seconds,
                "requests": requests,
                "errors": errors,
                "latency": latency.to_json(),
            }
            for (is_canary, endpoint, label, *candidate), (requests, errors, latency) in folded.items()
        ]


def _units(service: str, router: Router, units: list[Unit]) -> list[dict[str, Any]]:
    deployment = router.plan.deployment
    return [
        {
            "service": service,
            "deployment": deployment,
            "hash": f"{unit:016x}",
            "priority": priority,
            "key": key[:256],
            "epoch": epoch,
        }
        for unit, priority, key, epoch in units
    ]
