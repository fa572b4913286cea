"""Bucketing: the same answer everywhere, growing only ever adds."""

from __future__ import annotations

import xxhash
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.bucketing import BUCKETS, bucket_of, is_on_canary, unit_hash, unit_key

keys = st.text(min_size=1, max_size=200)
salts = st.from_regex(r"[A-Za-z0-9_.-]{1,64}", fullmatch=True)


@given(salts, keys.filter(lambda k: k.isprintable()))
def test_a_bucket_is_xxh64_of_salt_and_key(salt, key):
    """The formula that proxies compute too."""
    expected = xxhash.xxh64(f"{salt}:{key}".encode("utf-8", "surrogatepass")).intdigest()
    assert (unit_hash(salt, key), bucket_of(salt, key)) == (expected, expected % BUCKETS)


@given(salts, keys, st.integers(0, BUCKETS), st.integers(0, BUCKETS))
def test_growing_never_moves_a_unit_off_the_canary(salt, key, one, two):
    """Whoever is on the canary at a share is on it at every larger one."""
    small, large = sorted((one, two))
    assert not is_on_canary(salt, key, small) or is_on_canary(salt, key, large)


@given(salts, keys)
def test_nobody_at_zero_and_everybody_at_full(salt, key):
    """0 % is nobody, 100 % is everybody."""
    assert not is_on_canary(salt, key, 0)
    assert is_on_canary(salt, key, BUCKETS)


@given(*[st.one_of(st.none(), st.just(""), st.text(min_size=1, max_size=9))] * 3)
def test_the_first_key_present_decides(workflow, session, user):
    """Workflow before session before user; empty counts as absent."""
    given_keys = [("workflow_id", workflow), ("session_id", session), ("user_id", user)]
    expected = next(((key, name) for name, key in given_keys if key), None)
    assert unit_key(workflow, session, user) == expected


def test_the_share_is_even():
    """5 % of 100,000 users are 5,000, give or take five standard deviations."""
    on = sum(is_on_canary("dep_1", f"user-{n}", 500) for n in range(100_000))
    assert abs(on - 5000) < 5 * (100_000 * 0.05 * 0.95) ** 0.5


def test_two_deployments_do_not_burn_the_same_users():
    """Under another salt another 10 % are chosen: the overlap is 1 %, not 10 %."""
    both = sum(
        is_on_canary("dep_1", f"user-{n}", 1000) and is_on_canary("dep_2", f"user-{n}", 1000)
        for n in range(50_000)
    )
    assert abs(both - 500) < 5 * (50_000 * 0.01 * 0.99) ** 0.5
