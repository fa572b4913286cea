"""What HAProxy's maps and servers have to hold for a desired split.

HAProxy cannot make a backend at run time, so it is started with slots: places for a version each. A version
keeps its slot for as long as any split names it, a promotion included; only a slot that no split in force
names gets another version's addresses. So no address ever moves under requests that are on their way.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from serinus.core.bucketing import BUCKETS
from serinus.core.model import Upstream
from serinus.drivers.traffic.haproxy.config import HaproxyConfig
from serinus.ports.traffic import DesiredSplit, Match, TrafficError

__all__ = [
    "ALONE",
    "MATCHES_FILE",
    "PICKS",
    "ROWS",
    "SPLIT_FILE",
    "Plan",
    "alone",
    "backend",
    "base_of",
    "carried_share",
    "plan",
    "slot_of",
    "version_key",
]

#: Maps in an instance's folder.
SPLIT_FILE, MATCHES_FILE = "split.map", "matches.map"
#: Backends whose servers get no request: one that is open says that a slot is stable and there is no canary,
#: or that units or requests are named. They open before the split map and rest after it, like any server.
ALONE, PICKS = "serinus_alone", "serinus_picks"
_NOWHERE = ("127.0.0.1", 9)
#: A version's counters begin at its number times this; so many numbers there are before they are used again.
ROWS, _NUMBERS = 1 << 16, (1 << 15) - 1
#: As many versions as there may ever be, and a gap between each two of them.
MOST_RANGES = 64
#: Room in HAProxy's pattern buffers and in one header.
LONGEST = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What one instance has to hold."""

    #: version → slot, from 1.
    slots: Mapping[str, int]
    split: Mapping[str, str]
    matches: Mapping[str, str]
    #: ``backend/server`` → its address, for every server that is open.
    servers: Mapping[str, tuple[str, int]]


def backend(slot: int, *, fails_over: bool) -> str:
    """Return the name of a slot's backend, or of the one that is stable where the slot fails."""
    return f"serinus_{slot}_or_stable" if fails_over else f"serinus_{slot}"


def alone(slot: int) -> str:
    """Return the server that is open while this slot is stable and there is no canary."""
    return f"{ALONE}/s{slot}"


def version_key(version: str) -> str:
    """Return a version's name for Prometheus: HAProxy prints it as it is, and no two versions share one.

    >>> version_key("v2"), version_key("v 2")
    ('v2', 'v_2~2f7fe9b6')
    """
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", version)[:60]
    if plain == version:
        return plain
    return f"{plain}~{hashlib.sha256(version.encode()).hexdigest()[:8]}"


def plan(
    config: HaproxyConfig,
    desired: DesiredSplit,
    carried: Mapping[str, str],
    resolved: Mapping[str, tuple[str, int]],
    aborts: Mapping[int, str] | None = None,
) -> Plan:
    """Plan a split on top of the map that is carried now.

    Args:
        config: The service's settings.
        desired: What should be carried.
        carried: The split map in force, or on disk.
        resolved: An upstream's ``host:port`` → IP address and port.
        aborts: Slot → what its servers have counted so far, which is not a newcomer's.

    Raises:
        TrafficError: HAProxy as it was started cannot carry this.
    """
    wanted = _versions(config, desired)
    slots = _allocate(config, wanted, carried)
    servers: dict[str, tuple[str, int]] = {}
    for upstream in wanted:
        slot = slots[upstream.version]
        stable = upstream.version == desired.stable.version
        places = [resolved[a] for a in upstream.addresses]
        servers |= {f"{backend(slot, fails_over=False)}/a{n}": at for n, at in enumerate(places)}
        if not stable:
            fallback = [resolved[a] for a in desired.stable.addresses]
            name = backend(slot, fails_over=True)
            servers |= {f"{name}/a{n}": at for n, at in enumerate(places)}
            servers |= {f"{name}/b{n}": at for n, at in enumerate(fallback)}
    if desired.canary is None:
        servers[alone(slots[desired.stable.version])] = _NOWHERE
    elif desired.user_ids or desired.workflow_ids or desired.matches:
        servers[f"{PICKS}/s1"] = _NOWHERE
    return Plan(
        slots=slots,
        split=_split(desired, wanted, slots, _bases(slots, carried)) | _aborts(slots, carried, aborts or {}),
        matches={_pattern(m): "1" for m in desired.matches} if desired.canary else {},
        servers=servers,
    )


def _versions(config: HaproxyConfig, desired: DesiredSplit) -> list[Upstream]:
    """Return every version of a split, stable first."""
    listed = {desired.stable.version: desired.stable}
    for upstream in (desired.canary, *(share.upstream for share in desired.others)):
        if upstream is not None:
            listed.setdefault(upstream.version, upstream)
    for upstream in listed.values():
        if not 1 <= len(upstream.version.encode()) <= LONGEST or not upstream.version.isprintable():
            raise TrafficError(f"{upstream.version[:80]!r} cannot be a version's name in HAProxy.")
        if not upstream.addresses:
            raise TrafficError(f"{upstream.version} has no address. Add it to the service's `upstreams`.")
        if len(upstream.addresses) > config.max_addresses:
            raise TrafficError(
                f"{upstream.version} has {len(upstream.addresses)} addresses, and HAProxy was started with "
                f"room for {config.max_addresses}. Raise `max_addresses` and restart HAProxy."
            )
    return list(listed.values())


def slot_of(carried: Mapping[str, str], version: str) -> int | None:
    """Return the slot that a version has in a split map."""
    for key, value in carried.items():
        kind, _, number = key.partition(".")
        if kind == "version" and value == version and number.isdigit():
            return int(number)
    return None


def _allocate(config: HaproxyConfig, wanted: list[Upstream], carried: Mapping[str, str]) -> dict[str, int]:
    room = range(1, config.max_versions + 1)
    known = ((u.version, slot_of(carried, u.version)) for u in wanted)
    slots = {version: slot for version, slot in known if slot is not None and slot in room}
    in_force = {int(n) for key in carried if key.startswith("version.") and (n := key[8:]).isdigit()}
    free = iter(n for n in room if n not in in_force | set(slots.values()))
    for upstream in wanted:
        if upstream.version not in slots:
            slot = next(free, None)
            if slot is None:
                raise TrafficError(
                    f"There is no room for {upstream.version} beside the versions that get requests now. "
                    f"Raise `max_versions` (it is {config.max_versions}) and restart HAProxy."
                )
            slots[upstream.version] = slot
    return slots


def _bases(slots: Mapping[str, int], carried: Mapping[str, str]) -> dict[str, int]:
    """Return where each version's rows begin in the tables of counters.

    A version has its number while it has its slot, and no newcomer gets one that was used before.
    """
    last = _number(carried.get("numbers", "0"))
    bases = {}
    for version, slot in slots.items():
        base = base_of(carried, version) if carried.get(f"version.{slot}") == version else 0
        if not base:
            last = last % _NUMBERS + 1
            base = last * ROWS
        bases[version] = base
    return bases | {"": last}


def base_of(carried: Mapping[str, str], version: str) -> int:
    """Return where a version's rows begin by a split map; 0: it has none."""
    return _number(carried.get(f"base.{slot_of(carried, version)}", "0"))


def _split(
    desired: DesiredSplit, wanted: list[Upstream], slots: Mapping[str, int], bases: Mapping[str, int]
) -> dict[str, str]:
    made = {"stable": backend(slots[desired.stable.version], fails_over=False), "numbers": str(bases[""])}
    for upstream in wanted:
        slot = slots[upstream.version]
        made[f"version.{slot}"] = upstream.version
        made[f"key.{slot}"] = version_key(upstream.version)
        made[f"base.{slot}"] = str(bases[upstream.version])
        made[f"count.{slot}"] = str(len(upstream.addresses))
    if desired.canary is None:
        return made
    names = {version: backend(slot, fails_over=True) for version, slot in slots.items()}
    for upstream in wanted:
        for fails_over in (False, True):
            name = backend(slots[upstream.version], fails_over=fails_over)
            made[f"base.{name}"], made[f"version.{name}"] = str(bases[upstream.version]), upstream.version
    # What lies between two candidates is stable's, and not a candidate's that could fail over to it.
    names[desired.stable.version] = made["stable"]
    edge = 0
    for n, (upstream, bp) in enumerate(desired.ranges, 1):
        edge = min(BUCKETS, edge + bp)
        made[f"to.{n}"], made[f"edge.{n}"] = names[upstream.version], str(edge)
    made |= {"canary": names[desired.canary.version], "salt": f"{desired.salt}:", "total": str(edge)}
    made |= {"stable_name": desired.stable.version, "stable_base": str(bases[desired.stable.version])}
    made |= {f"{_hex(unit)}.u": "1" for unit in desired.user_ids}
    return made | {f"{_hex(unit)}.w": "1" for unit in desired.workflow_ids}


def _aborts(
    slots: Mapping[str, int], carried: Mapping[str, str], aborts: Mapping[int, str]
) -> dict[str, str]:
    """Return where each version's count of aborts begins: servers count by slot, and slots are used again."""
    made = {}
    for version, slot in slots.items():
        key = f"aborts.{slot}"
        stays = carried.get(f"version.{slot}") == version
        began = carried.get(key) if stays else aborts.get(slot, "0")
        if began is not None:
            made[key] = began
    return made


def _hex(text: str) -> str:
    """Return what HAProxy's ``hex`` makes of a header's bytes: a map's key may hold no space."""
    return text.encode("utf-8", "surrogatepass").hex().upper()


def _pattern(match: Match) -> str:
    """Return the expression that finds a header or a cookie in the block of all headers.

    HAProxy gives it as lines of ``name: value``, names in lower case. Whatever is no letter or digit is
    written by its number, so that nothing in a value means anything to the expression or to the map.
    """
    value = _literal(match.value)
    if match.cookie:
        return rf"(?:^|\n)cookie:\x20(?:[^\r\n]*;\x20*)?{_literal(match.name)}={value}\x20*(?:;|\r)"
    return rf"(?:^|\n){_literal(match.name.lower())}:\x20{value}\r"


def _literal(text: str) -> str:
    return "".join(
        chr(byte) if chr(byte).isalnum() and byte < 128 else f"\\x{byte:02x}" for byte in text.encode()
    )


def carried_share(desired: DesiredSplit, carried: Mapping[str, str]) -> int:
    """Return which share of the buckets a split map gives to the canary; without one, to any candidate."""
    if desired.canary is None:
        return _number(carried.get("total", "0"))
    slot = slot_of(carried, desired.canary.version)
    before = 0
    for n in range(1, MOST_RANGES):
        edge = _number(carried.get(f"edge.{n}", str(before)))
        if slot is not None and carried.get(f"to.{n}") == backend(slot, fails_over=True):
            return max(0, edge - before)
        before = edge
    return 0


def _number(text: str) -> int:
    """Return a number in a map; what somebody wrote there that is none counts as 0, as HAProxy has it."""
    return int(text) if text.isascii() and text.isdigit() else 0
