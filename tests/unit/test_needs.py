"""What a split asks of its driver, and how a driver that cannot is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from serinus.core.errors import InvalidInput
from serinus.core.model import Upstream
from serinus.ports.needs import CannotCarry, ensure_able, needs
from serinus.ports.traffic import Capability, DesiredSplit, Match, Share, TrafficError


def version(name: str) -> Upstream:
    """Return a version with an address."""
    return Upstream(version=name, addresses=("127.0.0.1:80",))


PLAIN = DesiredSplit(
    service_id="s", service="shop", stable=version("v1"), canary=version("v2"), canary_bp=500
)
ASKING = {
    Capability.TARGET_FILTER: replace(PLAIN, user_ids=("ada",)),
    Capability.MATCH: replace(PLAIN, matches=(Match(name="x-preview", value="1"),)),
    Capability.VERSIONS: replace(PLAIN, others=(Share(upstream=version("v3"), bp=500),)),
    Capability.MIRROR: replace(PLAIN, mirror=version("v3"), mirror_bp=100),
}
EVERYTHING = frozenset(Capability)


@pytest.mark.parametrize("capability", ASKING)
def test_a_split_needs_what_it_asks_for_and_nothing_else(capability):
    """A plain share needs nothing that any driver could lack."""
    assert needs(PLAIN) == frozenset()
    assert needs(ASKING[capability]) == {capability}
    ensure_able("envoy", EVERYTHING, ASKING[capability])
    ensure_able("envoy", {capability}, ASKING[capability])
    with pytest.raises(CannotCarry):
        ensure_able("haproxy", EVERYTHING - {capability}, ASKING[capability])


def test_the_refusal_says_what_is_missing_who_could_and_what_to_leave_out():
    """On one line for the timeline, and in its parts for the API; it is a bad input and a traffic error."""
    drivers = {"haproxy": frozenset(), "traefik": EVERYTHING, "envoy": {Capability.MIRROR}}
    with pytest.raises(CannotCarry) as refusal:
        ensure_able("haproxy", frozenset(), ASKING[Capability.MIRROR], lambda: drivers)
    error = refusal.value
    assert str(error) == "haproxy cannot mirror requests; use envoy or traefik, or leave `mirror` out."
    assert (error.detail, error.field) == ("haproxy cannot mirror requests.", "mirror")
    assert error.next_step == "Use envoy or traefik, or leave `mirror` out."
    assert isinstance(error, InvalidInput)
    assert isinstance(error, TrafficError)


def test_two_missing_capabilities_are_told_together():
    """Only a driver that can do both is named; without one, only what to leave out."""
    both = replace(ASKING[Capability.MIRROR], matches=ASKING[Capability.MATCH].matches)
    known = {"envoy": EVERYTHING, "traefik": {Capability.MIRROR}}
    with pytest.raises(CannotCarry, match=r"use envoy, or leave `matches` and `mirror` out"):
        ensure_able("nginx", (), both, lambda: known)
    with pytest.raises(
        CannotCarry, match=r"requests by a header or a cookie and cannot mirror .*; leave `matches`"
    ):
        ensure_able("nginx", (), both)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"canary_bp": 9_600, "others": (Share(upstream=version("v3"), bp=500),)}, "others"),
        ({"canary_bp": -1}, "others"),
        ({"others": (Share(upstream=version("v2"), bp=1),)}, "others"),
        ({"others": (Share(upstream=version("v1"), bp=1),)}, "others"),
        ({"canary": None, "canary_bp": 0, "others": (Share(upstream=version("v3"), bp=1),)}, "others"),
        ({"mirror": version("v3"), "mirror_bp": 10_001}, "mirror_bp"),
        ({"matches": (Match(name="two words", value="1"),)}, "matches"),
        ({"matches": (Match(name="x", value="a\r\nb: c"),)}, "matches"),
        ({"matches": (Match(name="x", value=""),)}, "matches"),
    ],
)
def test_a_split_that_nothing_could_carry_is_refused(change, field):
    """Whatever the driver can do."""
    with pytest.raises(CannotCarry) as refusal:
        ensure_able("envoy", EVERYTHING, replace(PLAIN, **change))
    assert refusal.value.field == field
    assert refusal.value.next_step
