"""HAProxy's counters by version: stick tables know versions, and servers know answers that broke off."""

from __future__ import annotations

import re
from collections.abc import Mapping

from serinus.drivers.traffic.haproxy.exposition import ERRORS, TRIES
from serinus.drivers.traffic.haproxy.latency import cumulative, total_ms
from serinus.drivers.traffic.haproxy.runtime import Server
from serinus.drivers.traffic.haproxy.slots import backend, slot_of, version_key
from serinus.ports.traffic import Counters, DesiredSplit

__all__ = ["aborts_so_far", "counters"]

#: A version's own servers; those that it fails over to are another's.
_OWN_SERVER = re.compile(r"serinus_(\d+)(?:_or_stable)?/a\d+")


def aborts_so_far(servers: Mapping[str, int], started: str) -> dict[int, str]:
    """Return, per slot, what its servers have counted since HAProxy started, as a split map keeps it."""
    made: dict[int, int] = {}
    for name, count in servers.items():
        found = _OWN_SERVER.fullmatch(name)
        if found:
            made[int(found[1])] = made.get(int(found[1]), 0) + count
    return {slot: f"{count}@{started}" for slot, count in made.items()}


def _aborts(split: Mapping[str, str], so_far: Mapping[int, str], version: str) -> int:
    """Return how many of a version's answers ended before their end."""
    slot = slot_of(split, version) or 0
    counted, _, started = so_far.get(slot, "0@").partition("@")
    began, _, when = split.get(f"aborts.{slot}", "0").partition("@")
    # A HAProxy that was restarted counts from zero.
    return int(counted) - (int(began) if when == started and began.isdigit() else 0)


def counters(
    desired: DesiredSplit,
    *,
    instance: str,
    split: Mapping[str, str],
    versions: Mapping[str, Mapping[str, int]],
    latency: Mapping[str, Mapping[str, int]],
    aborts: Mapping[int, str],
    servers: Mapping[str, Server],
    now: float,
) -> list[Counters]:
    """Return one instance's counters, for every version of a split."""
    upstreams = [desired.stable, *(share.upstream for share in desired.others)]
    upstreams += [desired.canary] if desired.canary else []
    made = []
    for version in {u.version: None for u in upstreams}:
        key = version_key(version)
        counted = versions.get(key, {})
        classes = _classes(key, latency)
        made.append(
            Counters(
                instance=instance,
                version=version,
                requests=counted.get(f"gpc{TRIES}", 0),
                errors=counted.get(f"gpc{ERRORS}", 0) + _aborts(split, aborts, version),
                latency_total_ms=total_ms(classes),
                buckets=cumulative(classes),
                ejected=version != desired.stable.version
                and (counted.get("gpt0", 0) > now or _all_down(split, servers, version)),
            )
        )
    return made


def _classes(key: str, latency: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Return class → answers, of the table's ``version|class``."""
    own = f"{key}|"
    return {name.removeprefix(own): at.get("gpc0", 0) for name, at in latency.items() if name.startswith(own)}


def _all_down(split: Mapping[str, str], servers: Mapping[str, Server], version: str) -> bool:
    """Tell whether HAProxy's own health checks have taken every address of a version out."""
    slot = slot_of(split, version)
    own = f"{backend(slot or 0, fails_over=True)}/a"
    states = [s.up for name, s in servers.items() if name.startswith(own) and s.ready]
    return bool(states) and not any(states)
