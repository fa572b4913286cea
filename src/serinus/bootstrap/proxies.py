"""What the traffic drivers can do, what their proxies are started with, and what Prometheus is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from serinus.core.errors import InvalidInput
from serinus.core.model import Upstream
from serinus.drivers._start import PollAt, StartWith
from serinus.drivers.catalog import STARTED_WITH, TRAFFIC, capabilities, load, pollable
from serinus.ports.traffic import Capability, DesiredSplit, Scraped

__all__ = ["MEANINGS", "StartWith", "prometheus_of", "proxy_start", "splits_by_our_hash", "who_can_what"]

#: Each capability as a user would ask for it.
MEANINGS = {
    Capability.STICKY: "same user, same side, as in the SDK",
    Capability.PERSISTENT: "units stay when the share shrinks",
    Capability.TARGET_FILTER: "named users and workflows",
    Capability.MATCH: "a header's or a cookie's value",
    Capability.VERSIONS: "three and more versions",
    Capability.MIRROR: "mirror (copies of requests)",
    Capability.STATISTICS: "counts per version without Prometheus",
    Capability.LATENCY: "latency histograms in those counts",
    Capability.FAILOVER: "a failed GET is answered by stable",
    Capability.BREAKER: "five failures in a row take the canary out",
    Capability.NO_RELOAD: "changes without a reload",
}


def who_can_what() -> dict[str, dict[str, bool]]:
    """Return, for every capability in words, which drivers have it."""
    known = capabilities()
    return {
        MEANINGS[capability]: {driver: capability in theirs for driver, theirs in known.items()}
        for capability in Capability
    }


def splits_by_our_hash(driver: str, config: Mapping[str, Any]) -> bool:
    """Tell whether a service's driver puts every unit on the side that the SDK would.

    Raises:
        InvalidInput: The settings are wrong.
    """
    return (
        driver not in TRAFFIC or Capability.STICKY in load(TRAFFIC[driver]).from_config(config).capabilities
    )


def prometheus_of(
    driver: str, config: Mapping[str, Any], stable: str, canary: str | None, window_seconds: float
) -> dict[str, Any]:
    """Return the scrape job of a service's proxies and the PromQL of the checks.

    Args:
        driver: The driver's name.
        config: The service's ``driver_config``.
        stable: The stable version.
        canary: The version under test, if there is one.
        window_seconds: How far back each query looks.

    Raises:
        InvalidInput: There is no such driver, its settings are wrong, or it has nothing to scrape.
    """
    made = load(TRAFFIC[driver]).from_config(config) if driver in TRAFFIC else None
    if not isinstance(made, Scraped):
        able = [name for name, target in TRAFFIC.items() if issubclass(load(target), Scraped)]
        raise InvalidInput(
            f"{driver!r} has nothing that Prometheus could scrape.",
            field="driver",
            next_step=f"Use one of: {', '.join(able)}.",
        )
    split = DesiredSplit(
        service_id="",
        service="",
        stable=Upstream(version=stable, addresses=()),
        canary=Upstream(version=canary, addresses=()) if canary else None,
    )
    asked = made.queries(split, source="prom", window_seconds=window_seconds)
    return {
        "scrape_configs": [made.scrape_config()],
        "checks": [
            {"name": name, **{side: text for side, text in asdict(query).items() if text}}
            for name, query in asked.items()
        ],
    }


def proxy_start(
    driver: str,
    config: Mapping[str, Any],
    instance: str | None = None,
    *,
    poll: str = "",
    service: str = "",
    token: str = "",
) -> StartWith:
    """Return what an operator starts a proxy with.

    Args:
        driver: The driver's name.
        config: A service's ``driver_config``; of one that agents carry, the part for proxies that poll.
        instance: Which instance; the first by default.
        poll: The control plane's URL, for a proxy that polls it.
        service: The service's name, for a proxy that polls.
        token: A token with the role agent, for a proxy that polls; a placeholder by default.

    Raises:
        InvalidInput: The driver has no such configuration, or the settings are wrong.
    """
    if driver not in STARTED_WITH:
        raise InvalidInput(
            f"{driver!r} needs no configuration of ours.",
            field="driver",
            next_step=f"Use one of: {', '.join(STARTED_WITH)}.",
        )
    made: StartWith
    if driver not in pollable():
        if poll:
            raise InvalidInput(
                f"{driver} cannot poll.",
                field="poll",
                next_step=f"Run `serinus agent` beside it; {' and '.join(pollable())} can poll.",
            )
        made = load(STARTED_WITH[driver])(config, instance)
    else:
        made = load(STARTED_WITH[driver])(
            config, instance, PollAt.read(poll, service, token) if poll else None
        )
    return made
