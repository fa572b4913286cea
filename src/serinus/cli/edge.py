"""What commands see of the data plane: what it says that it carries, and what real requests get.

Verification is exact where a driver splits by our hash: the side of every unit is known, so each request
has one right answer. Plain NGINX has weights or a hash of its own: there the share of many requests is
held against what so many can tell.
"""

from __future__ import annotations

import itertools
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from serinus.cli.client import Api
from serinus.core.bucketing import BUCKETS, bucket_of

__all__ = ["VERSION_HEADER", "Carrying", "Seen", "Witness", "edge_url", "read_back", "units_of", "verify"]

VERSION_HEADER = "x-serinus-version"
#: Seconds between two looks at what the proxies carry.
LOOK_SECONDS = 0.05
#: A share is only called wrong when chance would show it once in a thousand times.
SURE = 0.999
#: A witness is so many units, asks with this pause, and goes on for this long after the rollback.
WITNESSES, PAUSE_SECONDS, LINGER_SECONDS = 50, 0.01, 0.3


@dataclass(frozen=True, kw_only=True, slots=True)
class Carrying:
    """What came of waiting for the data plane."""

    ok: bool
    seconds: float
    #: In words: who carries it, or who does not and why.
    words: str


def read_back(
    api: Api, service: str, percentage: float, *, since: str, timeout: float, clock: Callable[[], float]
) -> Carrying:
    """Wait until every instance has been read back as carrying ``percentage``.

    Args:
        api: The control plane.
        service: Which service.
        percentage: What it should carry, 0 to 100.
        since: Only what was read back after this moment counts (the API's time stamp; empty: any).
        timeout: Seconds to wait.
        clock: A monotonic clock in seconds.
    """
    began, bp = clock(), round(percentage * 100)
    while True:
        proxy = api.get(f"/services/{service}/health")["proxy"] or {}
        fresh = proxy.get("at", "") > since
        instances = proxy.get("instances", [])
        if fresh and proxy["acknowledged"] and (not instances or proxy["carried_bp"] == bp):
            names = ", ".join(i["name"] for i in instances)
            words = f"{names} {'carries' if len(instances) == 1 else 'carry'} {percentage:g} %"
            words = words if instances else "no proxy stands between: the SDKs' snapshot has it"
            return Carrying(ok=True, seconds=clock() - began, words=words)
        if clock() - began > timeout:
            return Carrying(ok=False, seconds=clock() - began, words=_why_not(instances, percentage, timeout))
        time.sleep(LOOK_SECONDS)


def _why_not(instances: list[dict[str, Any]], percentage: float, timeout: float) -> str:
    bad = [f"{i['name']}: {i['problem']}" for i in instances if not i["ok"]]
    if bad:
        return "; ".join(bad)
    return f"{percentage:g} % was not read back within {timeout:g} s; `serinus doctor` looks at every part"


def edge_url(service: dict[str, Any], given: str) -> str:
    """Return where the service's proxy answers: what was given, or where its driver listens."""
    if given:
        return given
    listen = str((service.get("driver_config") or {}).get("listen", ""))
    host, _, port = listen.rpartition(":")
    if not port.isdigit():
        return ""
    host = "127.0.0.1" if host in ("", "0.0.0.0", "[::]", "::") else host
    return f"http://{host}:{port}/"


def units_of(salt: str, canary_bp: int, count: int) -> tuple[list[str], list[str]]:
    """Return ``count`` units that the hash puts on the canary, and as many that it does not.

    A side that nobody is on has no units. The units' names cannot be those of real users.
    """
    wanted = (count if canary_bp > 0 else 0, count if canary_bp < BUCKETS else 0)
    found: tuple[list[str], list[str]] = ([], [])
    run = uuid.uuid4().hex[:8]
    for n in itertools.count():
        if len(found[0]) >= wanted[0] and len(found[1]) >= wanted[1]:
            return found
        unit = f"serinus-probe-{run}-{n}"
        side = 0 if bucket_of(salt, unit) < canary_bp else 1
        if len(found[side]) < wanted[side]:
            found[side].append(unit)
    return found


@dataclass(slots=True)
class Seen:
    """What requests got."""

    asked: int = 0
    right: int = 0
    versions: Counter[str] = field(default_factory=Counter)
    #: What went wrong, in words, with how often.
    wrong: Counter[str] = field(default_factory=Counter)
    #: Where nobody's side is known: the canary, its share (0 to 1), and what the requests can tell of it.
    counted: tuple[str, float, tuple[float, float]] | None = None

    @property
    def ok(self) -> bool:
        """Tell whether there were requests and every one went where it should."""
        if self.counted:
            _, share, (low, high) = self.counted
            return self.asked > 0 and not self.wrong and low <= share <= high
        return self.asked > 0 and self.right == self.asked

    @property
    def words(self) -> str:
        """The counts, and what was wrong."""
        by = ", ".join(f"{version} {n}" for version, n in sorted(self.versions.items()))
        if self.counted:
            canary, share, (low, high) = self.counted
            fits = "which fits" if low <= share <= high else "which does not fit"
            tells = f"so many tell {low * 100:.0f} to {high * 100:.0f} %"
            got = f"{self.versions[canary]} of {self.asked} requests got {canary} ({by or 'no answer'})"
            return self._with_worst(f"{got}, {fits} {share * 100:g} %: {tells}")
        said = f"{self.right} of {self.asked} requests went where the hash sends them ({by or 'no answer'})"
        return self._with_worst(said)

    def _with_worst(self, said: str) -> str:
        worst = "; ".join(f"{n} × {why}" for why, n in self.wrong.most_common(3))
        return f"{said}: {worst}" if worst else said


def verify(url: str, service: dict[str, Any], view: dict[str, Any], canary_bp: int, requests: int) -> Seen:
    """Send real requests and hold the versions of their answers against the split.

    As units of both sides, each against its hash, where the driver splits by ours; else as many units,
    whose answers are counted.

    Args:
        url: Where the proxy (or the application) answers; its path is asked by GET.
        service: The service, as the API shows it.
        view: Its deployment.
        canary_bp: What is carried.
        requests: At most so many requests are sent.
    """
    from serinus.bootstrap.proxies import splits_by_our_hash

    both = 0 < canary_bp < BUCKETS
    if both and not splits_by_our_hash(service["driver"], service.get("driver_config") or {}):
        return _counted(url, service, view, canary_bp, requests)
    sides = units_of(view["strategy"]["salt"], canary_bp, max(1, requests // 2) if both else requests)
    seen = Seen()
    for got, expected in _answers(url, service, list(_asked(sides, view)), seen):
        if got == expected:
            seen.right += 1
        else:
            seen.wrong[_mismatch(got, expected, view)] += 1
    return seen


def _counted(url: str, service: dict[str, Any], view: dict[str, Any], canary_bp: int, requests: int) -> Seen:
    """Hold the share of the canary's answers against the split: no single one is right or wrong."""
    from serinus.sim.proportion import clopper_pearson

    seen, versions = Seen(), {view["version"], view["stable_version"]}
    units = [(f"serinus-probe-{uuid.uuid4().hex[:12]}", "") for _ in range(requests)]
    for got, _ in _answers(url, service, units, seen):
        if got in versions:
            seen.right += 1
        else:
            seen.wrong[_mismatch(got, " or ".join(sorted(versions)), view)] += 1
    sure = clopper_pearson(seen.versions[view["version"]], seen.asked, SURE)
    seen.counted = (view["version"], canary_bp / BUCKETS, sure)
    return seen


def _answers(
    url: str, service: dict[str, Any], asked: list[tuple[str, str]], seen: Seen
) -> Iterator[tuple[str, str]]:
    """Ask as each unit; yield the version that answered with what was expected, and count both."""
    import httpx

    header = _unit_header(service)
    with httpx.Client(timeout=10, trust_env=False, follow_redirects=False) as client:
        for unit, expected in asked:
            seen.asked += 1
            try:
                answer = client.get(url, headers={header: unit})
            except httpx.HTTPError as error:
                seen.wrong[f"no answer from {urlsplit(url).netloc} ({type(error).__name__})"] += 1
                continue
            got = answer.headers.get(VERSION_HEADER, "")
            seen.versions[got or "unnamed"] += 1
            yield got, expected


class Witness:
    """Asks the edge, as units of the canary, until it is stopped; knows when the canary last answered."""

    def __init__(self, url: str, service: dict[str, Any], view: dict[str, Any], canary_bp: int) -> None:
        """Prepare units that the hash puts on the canary; nothing is asked yet."""
        self._url, self._canary = url, view["version"]
        self._header = _unit_header(service)
        self._units = units_of(view["strategy"]["salt"], canary_bp, WITNESSES)[0]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        #: Requests, and when (monotonic) the canary answered the last of them.
        self.asked, self.last = 0, 0.0

    def __enter__(self) -> Witness:
        """Begin to ask."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Ask a little longer, so that a late canary answer is seen, then end."""
        self._ended.wait(LINGER_SECONDS)
        self._ended.set()
        self._thread.join(15)

    def _ask(self) -> None:
        import httpx

        with httpx.Client(timeout=10, trust_env=False, follow_redirects=False) as client:
            for unit in itertools.cycle(self._units):
                if self._ended.is_set():
                    return
                try:
                    answer = client.get(self._url, headers={self._header: unit})
                    self.asked += 1
                    if answer.headers.get(VERSION_HEADER) == self._canary:
                        self.last = time.monotonic()
                except httpx.HTTPError:
                    self._ended.wait(PAUSE_SECONDS)  # no answer is none of the canary's
                self._ended.wait(PAUSE_SECONDS)


def _unit_header(service: dict[str, Any]) -> str:
    """Return the header that names a request's user to the service's proxy."""
    return str((service.get("driver_config") or {}).get("user_header", "x-user-id"))


def _asked(sides: tuple[list[str], list[str]], view: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for units, version in zip(sides, (view["version"], view["stable_version"]), strict=True):
        for unit in units:
            yield unit, version


def _mismatch(got: str, expected: str, view: dict[str, Any]) -> str:
    if not got:
        return f"the answer does not name its version (header {VERSION_HEADER})"
    failed_over = got == view["stable_version"]
    return f"{got} instead of {expected}" + (
        " (a canary answer that fails is retried)" if failed_over else ""
    )
