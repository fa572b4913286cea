"""What HAProxy has to hold for a split: slots, classes and names, without HAProxy."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from itertools import permutations
from math import inf

import pytest

from serinus.core.model import Upstream
from serinus.drivers.traffic.haproxy import HaproxyConfig
from serinus.drivers.traffic.haproxy.latency import cumulative, edges, map_lines, rows, total_ms
from serinus.drivers.traffic.haproxy.slots import base_of, carried_share, plan, version_key
from serinus.drivers.traffic.haproxy.statistics import aborts_so_far
from serinus.ports.traffic import DesiredSplit, Share, TrafficError

CONFIG = HaproxyConfig.read(
    {"instances": [{"name": "e", "admin": "/s", "config_dir": "/x"}], "max_versions": 4}
)


def split(*versions: str) -> DesiredSplit:
    """Return a split of stable, a canary and others, 10 % each."""
    stable, canary, *others = (Upstream(version=v, addresses=("127.0.0.1:1",)) for v in (*versions, ""))
    return DesiredSplit(
        service_id="s",
        service="s",
        stable=stable,
        canary=canary if canary.version else None,
        canary_bp=1000,
        others=tuple(Share(upstream=u, bp=1000) for u in others if u.version),
    )


def planned(desired: DesiredSplit, carried: dict[str, str] | None = None):
    """Return the plan on top of what is carried."""
    return plan(CONFIG, desired, carried or {}, {"127.0.0.1:1": ("127.0.0.1", 1)})


def test_a_version_keeps_its_slot_for_as_long_as_a_split_names_it():
    """Through every order of four versions, and from the canary's place to stable's."""
    for order in permutations(("v1", "v2", "v3", "v4")):
        first = planned(split(*order))
        assert sorted(first.slots.values()) == [1, 2, 3, 4]
        for next_order in permutations(order, 2):
            assert planned(split(*next_order), dict(first.split)).slots.items() <= first.slots.items()


def test_a_newcomer_gets_no_slot_that_gets_requests_now():
    """It waits for the next change rather than move an address under requests."""
    carried = dict(planned(split("v1", "v2", "v3")).split)
    assert planned(split("v1", "v4"), carried).slots["v4"] == 4
    with pytest.raises(TrafficError, match="no room for v5"):
        planned(split("v1", "v4", "v5"), carried)


def test_the_carried_share_is_the_canarys_own():
    """Whatever somebody has written there by hand."""
    desired = split("v1", "v2", "v3")
    carried = dict(planned(desired).split)
    assert carried_share(desired, carried) == 1000
    assert carried_share(split("v1", "v3"), carried) == 1000
    assert carried_share(split("v1"), carried) == 2000
    assert carried_share(split("v1", "v9"), carried) == 0
    assert carried_share(desired, {**carried, "edge.1": "nonsense"}) == 0


def test_every_time_has_exactly_one_class():
    """Prefixes of the map, looked up as HAProxy does."""
    networks = [(IPv4Network(n), edge) for n, edge in (x.split() for x in map_lines().splitlines())]
    for ms in (*range(200), 999, 59_999, 60_000, 10**9):
        found = [edge for network, edge in networks if IPv4Address(ms) in network]
        above = [edge for edge in edges() if ms < edge]
        assert found == [str(above[0]) if above else "65535"], ms


def test_rows_add_up():
    """Cumulative, with nothing lost above the last edge; no answers, no histogram."""
    buckets = cumulative({0: 2, 4: 1, 60: 1, 72: 1, 65_535: 1})
    assert (buckets[1.0], buckets[4.0], buckets[5.0], buckets[72.0]) == (2, 2, 3, 5)
    assert (buckets[60_000.0], buckets[inf]) == (5, 6)
    assert total_ms({0: 2, 4: 1}) == 2 * 0.5 + 4.5
    assert cumulative({}) == {}


def test_the_same_time_is_in_the_same_class_with_a_row_of_its_own_and_without():
    """Upwards, so that what is below an edge is known at the last row of its class."""
    above = [edge for edge in edges() if edge > 64]
    assert rows()[63] == above[0]
    assert list(rows()) == sorted(rows())
    assert list(rows().values()) == sorted(rows().values())
    assert set(rows().values()) == {float(edge) for edge in edges()} | {inf}


def test_counters_of_two_versions_are_never_one():
    """Whatever the names look like in the table."""
    names = ["v2", "v 2", "v_2", "v|2", "v" * 60, "v" * 61, "v" * 62, "ü", "v2~x"]
    assert len({version_key(name) for name in names}) == len(names)


def test_a_newcomer_counts_in_rows_that_nobody_had():
    """Also where it has the slot of another; a version keeps its rows with its slot."""
    first = dict(planned(split("v1", "v2")).split)
    assert {base_of(first, v) for v in ("v1", "v2")} == {65_536, 131_072}
    alone = dict(planned(split("v1"), first).split)
    newcomer = dict(planned(split("v1", "v3"), alone).split)
    assert newcomer["version.2"] == "v3"
    assert (base_of(newcomer, "v1"), base_of(newcomer, "v3")) == (65_536, 196_608)
    assert base_of(newcomer, "v2") == 0


def test_what_says_that_there_is_no_canary_is_a_server():
    """One that is open for the slot of stable, and one while units or requests are named."""
    assert [s for s in planned(split("v1")).servers if "alone" in s or "picks" in s] == ["serinus_alone/s1"]
    assert [s for s in planned(split("v1", "v2")).servers if "alone" in s or "picks" in s] == []
    named = replace(split("v1", "v2"), user_ids=("ada",))
    assert [s for s in planned(named).servers if "alone" in s or "picks" in s] == ["serinus_picks/s1"]


def test_only_a_slots_own_servers_count_its_broken_answers():
    """Not those that it fails over to."""
    servers = {"serinus_2/a0": 1, "serinus_2_or_stable/a1": 2, "serinus_2_or_stable/b0": 4, "serinus_1/a0": 8}
    assert aborts_so_far(servers, "77") == {2: "3@77", 1: "8@77"}
