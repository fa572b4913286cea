"""Whether units stick, from what processes have seen of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serinus.core.analysis.flips import Sighting, flips_of
from serinus.core.bucketing import bucket_of

SHARES = st.integers(1, 9_999)


def seen(unit: str, version: str, share_bp: int) -> Sighting:
    """Return a sighting; an empty version is stable."""
    return Sighting(unit=unit, version=version, share_bp=share_bp)


def by_hash(salt: str, users: range, share_bp: int) -> list[Sighting]:
    """Return where a router with this salt has these users."""
    return [
        seen(f"{user:016x}", "v2" if bucket_of(salt, f"u{user}") < share_bp else "", share_bp)
        for user in users
    ]


def flipped(*sightings: Sighting) -> int:
    """Return how many units flipped."""
    return flips_of(sightings, 0.0, "v2", "v1").flipped


@given(st.permutations([100, 500, 500, 2500, 2500, 9000]), st.integers(0, 9_999))
def test_no_growing_no_shrinking_and_no_late_news_is_a_flip_where_one_hash_decides(shares, bucket):
    """Whatever the order in which shares were in force, or in which processes tell of them."""
    assert flipped(*(seen("a", "v2" if bucket < share else "", share) for share in shares)) == 0


@given(SHARES, SHARES, SHARES)
def test_a_unit_that_no_bucket_explains_has_flipped(on_canary, on_stable, elsewhere):
    """On stable at a share at which, or below which, it was on the canary before or after."""
    facts = [seen("a", "v2", on_canary), seen("a", "", on_stable), seen("b", "", elsewhere)]
    assert flipped(*facts) == flipped(*facts[::-1]) == int(on_stable >= on_canary)


def test_two_candidates_for_one_unit_are_a_flip_whatever_the_share():
    """Slots never move, so nothing explains it."""
    assert flipped(seen("a", "v2", 500), seen("a", "v3", 2500)) == 1
    assert flipped(seen("a", "v2", 500), seen("b", "v3", 500)) == 0


def test_two_salts_mix_nearly_all_of_the_smaller_side_and_the_operator_reads_so():
    """The share of the smaller side shows it at every split: of all units it would be few."""
    users = range(600)
    found = flips_of([*by_hash("a", users, 500), *by_hash("b", users, 500)], 60.0, "v2", "v1")
    assert (found.watched, found.flipped, found.fewer) == (600, 63, 63)
    assert found.sentence == (
        "units do not stick: 63 of 600 watched were served by more than one version (100 % of those on v2; "
        "up to 5 % is normal), and no change of the split explains it. Users see both, and the comparison "
        "mixes them: bring every process to the present snapshot and the same SDK, then roll back and start "
        "again"
    )
    most = flips_of([*by_hash("a", users, 9500), *by_hash("b", users, 9500)], 60.0, "v2", "v1")
    assert most.flipped > 0.9 * most.fewer
    assert "of those on v1;" in most.sentence


def test_a_few_are_normal():
    """Up to 5 % of the smaller side, and never one or two units."""
    sound = by_hash("a", range(600), 2500)
    on_canary = [s for s in sound if s.version]
    few = [seen(s.unit, "", 2500) for s in on_canary[: len(on_canary) // 20]]
    found = flips_of([*sound, *few], 0.0, "v2", "v1")
    assert (found.flipped, found.sentence) == (len(few), "")
    assert flips_of([*sound, *few, seen(on_canary[-1].unit, "", 2500)], 0.0, "v2", "v1").sentence
    two = [seen(unit, version, 100) for unit in "ab" for version in ("v2", "")]
    assert flips_of(two, 0.0, "v2", "v1").sentence == ""
    assert flips_of([*two, seen("c", "v2", 100), seen("c", "", 100)], 0.0, "v2", "v1").sentence


def test_nothing_seen_is_nothing_known():
    """Behind a proxy, or before the first request."""
    found = flips_of([], 5.0, "v2", "v1")
    assert (found.at, found.watched, found.flipped, found.sentence) == (5.0, 0, 0, "")
