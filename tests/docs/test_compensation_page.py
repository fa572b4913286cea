"""What docs/compensation.md shows is so: its strategy, its three timelines, its settings."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from serinus.control.undoing.saga import MOST_TRIES
from serinus.core.model import CanaryConfig
from serinus.core.policy.parse import strategy_from
from undoing import report_failing, rolled_back, strategy, timeline, walked, work

PAGE = (Path(__file__).parents[2] / "docs/compensation.md").read_text()


def shown(title: str) -> list[str]:
    """Return the lines of the timeline under a heading."""
    under = PAGE[PAGE.index(f"### {title}") :]
    return re.search(r"```text\n(.*?)```", under, re.DOTALL)[1].splitlines()


def test_the_strategy_of_the_page_is_read():
    """As `--strategy` takes it."""
    data = yaml.safe_load(re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[1])
    made = strategy_from(data, CanaryConfig())
    assert [(s.irreversible, bool(s.compensate)) for s in made.steps] == [
        (False, True),
        (True, True),
        (False, False),
    ]
    assert made.compensate.command == "close-books"


async def test_a_compensation_that_fails_three_times_and_then_works(gate, world):
    """Line by line."""
    gate.answers = [(500, "no database")] * 3 + [(200, "12 orders undone")]
    identity = await walked(world, gate.url, to=25)
    await rolled_back(world, identity)
    for _ in range(12):
        await work(world)
    assert await timeline(world, identity) == shown("Fails three times, then works")


async def test_a_compensation_that_never_works(gate, world):
    """Given up and told; done by hand; what waits for it follows."""
    gate.answers = [(500, "no database")]
    identity = await walked(world, gate.url, to=25)
    await rolled_back(world, identity)
    for _ in range(520):
        await work(world)
    gate.answers = [(200, "")]
    async with world.client(await world.token_of("approver")) as c:
        path = f"/deployments/{identity}/compensation/step-1/complete"
        done = await c.post(path, json={"note": "refunded 12 orders, ticket 4711"})
        assert done.status_code == 200
    await work(world)
    assert await timeline(world, identity) == shown("Never works")


async def test_an_irreversible_step(gate, world):
    """Held at zero new units, decided, rolled back across it, undone."""
    plan = strategy(gate.url, irreversible=True)
    identity = await walked(world, gate.url, to=100, strategy=plan)
    await report_failing(world, identity)
    for _ in range(60):
        await work(world)
    await rolled_back(world, identity, across_irreversible=True)
    for _ in range(6):
        await work(world)
    assert await timeline(world, identity) == shown("An irreversible step")


def test_the_numbers_of_the_page_are_the_codes():
    """Tries, and the time that they take."""
    assert f"{MOST_TRIES} tries" in PAGE
