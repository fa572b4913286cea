"""Rulesets in process, while other threads execute them as well."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from serinus.sdk import Client
from serinus.sdk.rulesets import Ruleset


def snapshot(version: str) -> dict:
    """Return a snapshot with one ruleset on this version, which answers with its own name."""
    script = f'def decide(input):\n    return "{version}"\n'
    rules = {"engine": "starlark", "digest": version, "source": script}
    pricing = {"stable": version, "deployment": None, "rules": {version: rules}}
    return {"revision": version, "services": {"pricing": pricing}}


class Interrupted(Client):
    """A client in which something else happens whenever rules are about to be compiled, or routers told."""

    meanwhile = before_routers = staticmethod(lambda: None)

    def _adopt(self, router):
        self.before_routers()
        super()._adopt(router)

    def rules(self, name: str):
        """Return the rules that there are now, after what happens meanwhile."""
        found, happens = super().rules(name), self.meanwhile
        self.meanwhile = lambda: None
        happens()
        return found


@pytest.fixture
def client():
    """A client that knows v1."""
    return Interrupted(url="", snapshot=snapshot("v1"))


def test_while_one_thread_compiles_new_rules_another_is_answered_by_them(client):
    """Nobody gets the default because somebody else was first."""
    pricing, answers = Ruleset(client, "pricing"), []
    with ThreadPoolExecutor() as other:
        client.meanwhile = lambda: answers.append(other.submit(pricing.execute, {}).result(10))
        answers.append(pricing.execute({}))
    assert [(a.output, a.error) for a in answers] == [("v1", "")] * 2


def test_rules_that_are_replaced_while_they_are_compiled_still_answer(client):
    """The newest snapshot's rules are compiled by the next request."""
    pricing = Ruleset(client, "pricing")
    pricing.execute({})
    client.follow(snapshot("v2"))
    client.meanwhile = lambda: client.follow(snapshot("v3"))
    answers = [pricing.execute({}), pricing.execute({})]
    assert [(a.output, a.error) for a in answers] == [("v2", ""), ("v3", "")]


def test_whoever_is_still_routed_by_the_snapshot_before_is_answered_by_its_rules(client):
    """A snapshot arrives, and a request comes before the routers follow it."""
    pricing, answers = Ruleset(client, "pricing"), []
    answers.append(pricing.execute({}))
    client.before_routers = lambda: answers.append(pricing.execute({}))
    client.follow(snapshot("v2"))
    answers.append(pricing.execute({}))
    assert [(a.output, a.error) for a in answers] == [("v1", ""), ("v1", ""), ("v2", "")]
