"""Is the stable version itself well: its health, and its performance against thresholds."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Any

from serinus.core.freeze import frozen
from serinus.core.policy.units import number_of, share_text
from serinus.guard.file import Guard, Stable
from serinus.guard.findings import Finding, failed, passed, skipped

__all__ = [
    "FEW",
    "Measured",
    "calendar",
    "health",
    "measured_from",
    "objectives",
    "performance",
    "probe",
    "unmeasured",
]

GROUP, OBJECTIVES, CALENDAR = "stable", "objectives", "calendar"
#: Fewer requests say nothing of a rate: the presets' own number.
FEW = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What stable did: by whom it was measured, and the numbers."""

    by: str
    requests: int
    errors: int
    p95_ms: float | None


def measured_from(view: Mapping[str, Any]) -> Measured | None:
    """Return what the control plane has measured lately; ``None`` when nothing was compared."""
    numbers = view.get("stable_metrics")
    if not numbers:
        return None
    return Measured(
        by=f"the control plane, last {view['over_seconds'] / 60:g} min",
        requests=numbers["total_requests"],
        errors=numbers["error_count"],
        p95_ms=numbers["p95_latency_ms"],
    )


def probe(wanted: Stable) -> Measured:
    """Ask stable a few times, one after the other."""
    import httpx

    url, times, errors = f"{wanted.base_url}".rstrip("/") + wanted.path, [], 0
    with httpx.Client(timeout=max(1.0, 4 * wanted.p95), trust_env=False) as client:
        for _ in range(wanted.requests):
            began = time.perf_counter()
            try:
                errors += client.get(url).status_code >= 500
            except httpx.HTTPError:
                errors += 1
            times.append((time.perf_counter() - began) * 1000)
    p95 = sorted(times)[ceil(0.95 * len(times)) - 1]
    return Measured(by=url, requests=wanted.requests, errors=errors, p95_ms=p95)


def health(view: Mapping[str, Any] | None) -> Finding:
    """Tell whether the control plane finds the service fit for a rollout."""
    if view is None:
        return skipped(GROUP, "health", "no service named", "Write `service`, or give --service.")
    running = view.get("rollout")
    if running:
        what = f"{running['version']} is rolling out already ({running['deployment_id']})"
        return failed(GROUP, "health", what, f"serinus rollout status {running['deployment_id']}")
    if view["warnings"]:
        return failed(GROUP, "health", "; ".join(view["warnings"]), "serinus doctor")
    instances = (view["proxy"] or {}).get("instances", [])
    carried = f", {len(instances)} of {len(instances)} proxies follow" if instances else ""
    return passed(GROUP, "health", f"{view['stable_version']} serves, the monitor runs{carried}")


def performance(wanted: Stable, measured: Measured | None) -> Finding:
    """Hold stable's numbers against the thresholds."""
    if measured is None or measured.requests < min(FEW, wanted.requests):
        got = number_of(measured.requests, "request") if measured else "nothing"
        return skipped(GROUP, "performance", f"{got} measured lately", "Give `base_url`, or --base-url.")
    rate = measured.errors / measured.requests
    p95 = measured.p95_ms
    wrong = []
    if 1 - rate < wanted.availability:
        wrong.append(f"availability {_share(1 - rate)}, at least {share_text(wanted.availability)}")
    if rate > wanted.errors:
        wrong.append(f"errors {_share(rate)}, at most {share_text(wanted.errors)}")
    if p95 is not None and p95 > wanted.p95 * 1000:
        wrong.append(f"p95 {p95:.0f} ms, at most {wanted.p95 * 1000:g} ms")
    if wrong:
        return failed(GROUP, "performance", f"{'; '.join(wrong)} ({measured.by})", "Mend stable first.")
    slow = "" if p95 is None else f", p95 {p95:.0f} ms"
    said = f"availability {_share(1 - rate)}{slow}, errors {_share(rate)} of {measured.requests:,} requests"
    return passed(GROUP, "performance", f"{said} ({measured.by})")


def _share(value: float) -> str:
    return f"{100 * value:.4g} %"


def objectives(budgets: Sequence[Mapping[str, Any]] | None) -> Finding:
    """Refuse when an error budget is spent, or burns so fast that somebody is paged."""
    name = "error budget"
    if budgets is None:
        return skipped(OBJECTIVES, name, "nothing measured", "Write `service` or `slos`, or `slos: off`.")
    spent = [b["sentence"] for b in budgets if b["exhausted"]]
    burning = [
        f"{b['name']} burns {burn['long']:.3g} times as fast as allowed (at most {burn['limit']:g})"
        for b in budgets
        for burn in b["burns"]
        if burn["fires"] and burn["severity"] == "critical"
    ]
    if spent or burning:
        return failed(OBJECTIVES, name, "; ".join([*spent, *burning]), "serinus slo show")
    known = [b for b in budgets if b["spent"] is not None]
    if not known:
        return skipped(OBJECTIVES, name, budgets[0]["sentence"] if budgets else "no objective")
    least = min(known, key=lambda b: float(b["left"]))
    return passed(OBJECTIVES, name, f"{100 * least['left']:.3g} % left of the scarcest ({least['name']})")


def unmeasured(why: str, next_step: str) -> Finding:
    """Refuse when budgets should be measured and cannot be: missing data is no pass."""
    return failed(OBJECTIVES, "error budget", why, next_step)


def calendar(guard: Guard, now: datetime, override: str, view: Mapping[str, Any] | None = None) -> Finding:
    """Refuse while a freeze window is on, unless somebody overrides it with a reason.

    ``view`` is the service's health: it has the tenant's freezes that are on beside the file's.
    """
    on = frozen(guard.freezes, now)
    said = [on.sentence] if on else []
    said += [str(freeze["sentence"]) for freeze in (view or {}).get("freezes", ())]
    if not said:
        count = len(guard.freezes)
        return passed(
            CALENDAR, "freeze", "no freeze now" + (f" ({number_of(count, 'window')})" if count else "")
        )
    if override:
        return passed(CALENDAR, "freeze", f"{'; '.join(said)}; overridden: {override}")
    return failed(CALENDAR, "freeze", "; ".join(said), 'Wait, or give --override-freeze "WHY".')
