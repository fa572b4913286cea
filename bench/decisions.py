"""One decision: a sticky 5 % rollout over 100,000 distinct user ids, with and without a targeting rule.

Each contender is a function that makes ready and returns ``decide(user_id)``. Peers run offline, from
local rules, with event sending off unless the name says otherwise.
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Callable

__all__ = ["CONTENDERS"]

Decide = Callable[[str], object]
ATTRIBUTES = {"country": "KR", "plan": "pro"}


def empty(rule: bool) -> Decide:
    """The harness itself."""
    return lambda user: None


def floor_mmh3(rule: bool) -> Decide:
    """mmh3 with an f-string key; with a rule, two dictionary comparisons before it."""
    import mmh3

    if rule:
        plans = {"pro", "team"}

        def ruled(user: str) -> bool:
            a = ATTRIBUTES
            return (
                a["country"] == "KR"
                and a["plan"] in plans
                and mmh3.hash(f"exp:{user}", signed=False) % 10_000 < 500
            )

        return ruled
    return lambda user: mmh3.hash(f"exp:{user}", signed=False) % 10_000 < 500


def floor_md5(rule: bool) -> Decide:
    """MD5 modulo 100, contract 2's own."""
    import hashlib

    return lambda user: int(hashlib.md5(user.encode(), usedforsecurity=False).hexdigest(), 16) % 100 < 5


def _router(rule: bool):
    from serinus.sdk.routing import Router

    running = {"id": "dep", "version": "v2", "salt": "dep", "weight_bp": 500, "stickiness": "persistent"}
    if rule:
        running["rule"] = {
            "all": [
                {"attribute": "country", "op": "eq", "value": "KR"},
                {"attribute": "plan", "op": "in", "value": ["pro", "team"]},
            ]
        }
    router = Router("checkout")
    router.adopt({"stable": "v1", "deployment": running})
    return router


def serinus(rule: bool) -> Decide:
    """Ours: three-key stickiness and breaker included."""
    router = _router(rule)
    if rule:
        decide = router.decide_for
        return lambda user: decide(ATTRIBUTES, user)
    return router.decide


def serinus_exposed(rule: bool) -> Decide | None:
    """Ours, with the exposure recorded."""
    return None if rule else _router(rule).expose


def eppo(rule: bool) -> Decide:
    """eppo: the Rust core, configuration given."""
    import eppo_client
    from eppo_client import ClientConfig, Configuration

    rules = [
        {
            "conditions": [
                {"attribute": "country", "operator": "ONE_OF", "value": ["KR"]},
                {"attribute": "plan", "operator": "ONE_OF", "value": ["pro", "team"]},
            ]
        }
    ]
    allocation = {
        "key": "a",
        "splits": [
            {"variationKey": "on", "shards": [{"salt": "exp", "ranges": [{"start": 0, "end": 500}]}]},
            {"variationKey": "off", "shards": []},
        ],
        "doLog": False,
    }
    if rule:
        allocation["rules"] = rules
    flag = {
        "key": "exp",
        "enabled": True,
        "variationType": "STRING",
        "variations": {"on": {"key": "on", "value": "v2"}, "off": {"key": "off", "value": "v1"}},
        "allocations": [allocation],
        "totalShards": 10_000,
    }
    ufc = {
        "createdAt": "2026-01-01T00:00:00.000Z",
        "format": "SERVER",
        "environment": {"name": "bench"},
        "flags": {"exp": flag},
    }
    config = ClientConfig(
        api_key="offline",
        initial_configuration=Configuration(flags_configuration=json.dumps(ufc).encode()),
        poll_interval_seconds=None,
        assignment_logger=eppo_client.AssignmentLogger(),
    )
    client = eppo_client.init(config)
    attributes = ATTRIBUTES if rule else {}
    decide = client.get_string_assignment
    assert sum(decide("exp", f"user-{n}", attributes, "none") == "v2" for n in range(2000)) > 20
    return lambda user: decide("exp", user, attributes, "none")


def launchdarkly(rule: bool) -> Decide:
    """LaunchDarkly: its test data source, events off."""
    import ldclient
    from ldclient import Context
    from ldclient.config import Config
    from ldclient.integrations.test_data import TestData

    data = TestData.data_source()
    flag = {
        "key": "exp",
        "version": 1,
        "on": True,
        "salt": "exp",
        "variations": ["v1", "v2"],
        "fallthrough": {
            "rollout": {"variations": [{"variation": 1, "weight": 5000}, {"variation": 0, "weight": 95_000}]}
        },
        "offVariation": 0,
        "rules": [],
        "targets": [],
        "prerequisites": [],
    }
    builder = data.flag("exp")
    if rule:
        flag["rules"] = [
            {
                "id": "r",
                "clauses": [
                    {"attribute": "country", "op": "in", "values": ["KR"], "negate": False},
                    {"attribute": "plan", "op": "in", "values": ["pro", "team"], "negate": False},
                ],
                "rollout": flag["fallthrough"]["rollout"],
            }
        ]
        flag["fallthrough"] = {"variation": 0}
    builder._build = lambda version: {**flag, "version": version}
    data.update(builder)
    client = ldclient.LDClient(Config(sdk_key="offline", update_processor_class=data, send_events=False))
    if rule:
        decide = lambda user: client.variation(
            "exp", Context.builder(user).set("country", "KR").set("plan", "pro").build(), "none"
        )
    else:
        decide = lambda user: client.variation("exp", Context.create(user), "none")
    assert 20 < sum(decide(f"user-{n}") == "v2" for n in range(2000)) < 300
    return decide


def unleash(rule: bool) -> Decide:
    """Unleash: bootstrapped from a file, metrics and registration off."""
    from UnleashClient import UnleashClient
    from UnleashClient.cache import FileCache

    constraints = [
        {"contextName": "country", "operator": "IN", "values": ["KR"]},
        {"contextName": "plan", "operator": "IN", "values": ["pro", "team"]},
    ]
    strategy = {
        "name": "flexibleRollout",
        "parameters": {"rollout": "5", "stickiness": "userId", "groupId": "exp"},
        "constraints": constraints if rule else [],
    }
    cache = FileCache("bench", directory=tempfile.mkdtemp())
    cache.bootstrap_from_dict(
        {"version": 1, "features": [{"name": "exp", "enabled": True, "strategies": [strategy]}]}
    )
    client = UnleashClient(
        "http://127.0.0.1:1/api", "bench", cache=cache, disable_metrics=True, disable_registration=True
    )
    client.initialize_client(fetch_toggles=False)
    decide = client.is_enabled
    extra = {"properties": ATTRIBUTES} if rule else {}
    assert 20 < sum(bool(decide("exp", {"userId": f"user-{n}", **extra})) for n in range(2000)) < 300
    return lambda user: decide("exp", {"userId": user, **extra})


def statsig(rule: bool) -> Decide | None:
    """statsig core: the Rust core, an in-memory specs adapter."""
    from statsig_python_core import Statsig, StatsigOptions, StatsigUser

    if rule:
        return None
    options = StatsigOptions(disable_all_logging=True, disable_network=True)
    client = Statsig("secret-offline", options)
    client.initialize().wait()
    # Without a network there are no rules to give it: what is timed is its evaluation of an unknown gate,
    # which is less work than a rollout.
    return lambda user: client.check_gate(StatsigUser(user), "exp")


#: Name → what makes it ready.
CONTENDERS: dict[str, Callable[[bool], Decide | None]] = {
    "empty call (harness)": empty,
    "floor: mmh3": floor_mmh3,
    "floor: md5 mod 100": floor_md5,
    "**serinus**": serinus,
    "**serinus, exposure recorded**": serinus_exposed,
    "eppo": eppo,
    "statsig core (unknown gate)": statsig,
    "LaunchDarkly": launchdarkly,
    "Unleash": unleash,
}

logging.disable(logging.CRITICAL)
