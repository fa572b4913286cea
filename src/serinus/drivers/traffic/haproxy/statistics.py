"""HAProxy's counters by version: stick tables know versions, and servers know answers that broke off."""

from __future__ import annotations

import re
from collections.abc import Mapping

from serinus.drivers.traffic.haproxy.exposition import ERRORS, TRIES
from serinus.drivers.traffic.haproxy.latency import cumulative, total_ms
from serinus.drivers.traffic.haproxy.runtime import Server
from serinus.drivers.traffic.haproxy.slots import ROWS, backend, base_of, slot_of
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
        base = base_of(split, version)
        counted = versions.get(str(base), {})
        timed = _timed(base, latency)
        made.append(
            Counters(
                instance=instance,
                version=version,
                requests=sum(timed.values()) + counted.get(f"gpc{TRIES}", 0),
                errors=counted.get(f"gpc{ERRORS}", 0) + _aborts(split, aborts, version),
                latency_total_ms=total_ms(timed),
                buckets=cumulative(timed),
                ejected=version != desired.stable.version
                and (counted.get("gpt0", 0) > now or _all_down(split, servers, version)),
            )
        )
    return made


def _timed(base: int, latency: Mapping[str, Mapping[str, int]]) -> dict[int, int]:
    """Return row → answers, of a version whose rows begin at ``base``."""
    keys = {int(key): at for key, at in latency.items() if key.isdigit()}
    own = {key - base: at.get("http_req_cnt", 0) for key, at in keys.items() if base <= key < base + ROWS}
    return own if base else {}


def _all_down(split: Mapping[str, str], servers: Mapping[str, Server], version: str) -> bool:
    """Tell whether HAProxy's own health checks have taken every address of a version out."""
    slot = slot_of(split, version)
    own = f"{backend(slot or 0, fails_over=True)}/a"
    states = [s.up for name, s in servers.items() if name.startswith(own) and s.ready]
    return bool(states) and not any(states)
