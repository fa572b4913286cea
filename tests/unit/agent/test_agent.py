"""What an agent does: asks before it applies, keeps over restarts, falls back only where it is told to."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import asynccontextmanager

import pytest

from fakes.fleet import FakeLink, FakeProxy
from serinus.agent import Agent, Kept
from serinus.core.errors import Conflict, InvalidInput
from serinus.core.model import Upstream
from serinus.ports.fleet import OnLost, Order, Terms, everyone_on_stable
from serinus.ports.traffic import DesiredSplit

QUICK = Terms(report_seconds=0.02, lease_seconds=60, deadline_seconds=1)


def order(bp: int, **terms) -> Order:
    """Return an order for a share."""
    made = {name: getattr(QUICK, name) for name in Terms.__dataclass_fields__} | terms
    split = DesiredSplit(
        service_id="svc",
        service="checkout",
        stable=Upstream(version="v1", addresses=("10.0.0.1:80",)),
        canary=Upstream(version="v2", addresses=("10.0.0.2:80",)),
        canary_bp=bp,
        salt="dep",
        user_ids=("ada",),
    )
    return Order(split=split, terms=Terms(**made))


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the told seconds."""
        return self.now


@asynccontextmanager
async def running(link: FakeLink, proxy: FakeProxy, path, clock=None):
    """Run an agent; leave its state file as a kill would."""
    kept = Kept(path, "checkout")
    kept.open()
    agent = Agent(link, proxy, kept, driver_name="fake", release="1", monotonic=clock or time.monotonic)
    work = asyncio.create_task(agent.run())
    try:
        yield agent
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        kept.close()


async def until(true) -> None:
    """Let the agent work until something holds."""
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.005)


@pytest.fixture
def state(tmp_path):
    """Return where the agent keeps its last order."""
    return tmp_path / "agent" / "state.json"


async def test_what_is_pushed_is_carried_and_acknowledged(state):
    """With the revision, the share, the counters and who says so."""
    link, proxy = FakeLink(), FakeProxy()
    link.want(order(500))
    async with running(link, proxy, state):
        await until(lambda: link.reports and link.reports[-1]["ok"])
        link.want(order(1000))
        await until(lambda: link.reports[-1]["carried_bp"] == 1000)
    last = link.reports[-1]
    assert (last["revision"], last["ok"], last["driver"]) == (order(1000).revision, True, "fake")
    assert last["counters"][0]["buckets"] == {"5.0": 1, "inf": 1}
    assert [r["seq"] for r in link.reports] == list(range(1, len(link.reports) + 1))


async def test_without_push_the_answers_to_reports_are_the_polling(state):
    """A stream that never comes up costs one report's time."""
    link, proxy = FakeLink(), FakeProxy()
    link.pushes = False
    link.want(order(500))
    async with running(link, proxy, state):
        await until(lambda: proxy.carried == order(500).split)
        link.want(order(0))
        await until(lambda: proxy.carried == order(0).split)
    assert link.calls.count("ask") >= 2


async def test_one_that_comes_back_asks_before_it_applies(state):
    """What it kept is carried only while nobody answers; the proxy never goes back to it."""
    link, proxy = FakeLink(), FakeProxy()
    link.want(order(5000))
    async with running(link, proxy, state):
        await until(lambda: link.reports)
    proxy.applied.clear()
    proxy.carried = None
    link.want(order(0))
    async with running(link, proxy, state):
        await until(lambda: proxy.applied)
    assert proxy.applied == [order(0).split]


async def test_one_that_was_cut_off_follows_by_itself(state):
    """It goes on with the last split meanwhile, and asks first when it is back."""
    link, proxy = FakeLink(), FakeProxy()
    link.want(order(5000))
    async with running(link, proxy, state):
        await until(lambda: link.reports)
        link.away = True
        link.wanted = {"revision": order(0).revision, "order": order(0).to_json()}  # nothing was pushed
        link.calls.clear()
        await until(lambda: link.calls.count("ask") > 3)
        assert proxy.carried == order(5000).split
        link.away = False
        await until(lambda: link.reports[-1]["revision"] == order(0).revision)
    assert proxy.applied == [order(5000).split, order(0).split]


async def test_a_restart_without_a_control_plane_carries_what_was_kept(state):
    """Also when the proxy has lost it."""
    link, proxy = FakeLink(), FakeProxy()
    link.want(order(5000))
    async with running(link, proxy, state):
        await until(lambda: link.reports)
    link.away = True
    proxy.carried = None
    async with running(link, proxy, state):
        await until(lambda: proxy.carried == order(5000).split)
    assert b"token" not in state.read_bytes()


async def test_the_log_says_each_trouble_once(state, caplog):
    """And when it is over; not once a try."""
    caplog.set_level("INFO", "serinus.agent")
    link, proxy = FakeLink(), FakeProxy()
    link.want(order(500))
    async with running(link, proxy, state):
        await until(lambda: link.reports)
        caplog.clear()
        link.away = True
        link.calls.clear()
        await until(lambda: link.calls.count("ask") > 5)
        link.away = False
        await until(lambda: "the control plane answers" in caplog.messages)
        before = len(link.reports)
        await until(lambda: len(link.reports) > before + 5)
    # Once for the report, once for the question.
    assert caplog.messages.count("the control plane does not answer (ConnectError)") == 2
    assert caplog.messages.count("the control plane answers") == 1


async def test_by_default_one_that_lost_the_control_plane_holds(state):
    """For however long."""
    link, proxy, clock = FakeLink(), FakeProxy(), Clock()
    link.want(order(5000))
    async with running(link, proxy, state, clock):
        await until(lambda: link.reports)
        link.away = True
        clock.now += 1e6
        link.calls.clear()
        await until(lambda: link.calls.count("ask") > 3)
    assert proxy.carried == order(5000).split


async def test_with_a_lease_it_goes_to_stable_until_it_has_asked_again(state):
    """`on_lost: stable`: everyone on stable, pins included; back to the split only by an answer."""
    link, proxy, clock = FakeLink(), FakeProxy(), Clock()
    wanted = order(5000, on_lost=OnLost.STABLE)
    link.want(wanted)
    async with running(link, proxy, state, clock):
        await until(lambda: link.reports)
        link.away = True
        clock.now += 59
        link.calls.clear()
        await until(lambda: link.calls.count("ask") > 3)
        assert proxy.carried == wanted.split
        clock.now += 2
        await until(lambda: proxy.carried == everyone_on_stable(wanted.split))
        link.away = False
        await until(lambda: proxy.carried == wanted.split and link.reports[-1]["ok"])
    assert all(r["ok"] == (r["revision"] == wanted.revision) for r in link.reports)


async def test_a_restart_does_not_renew_the_lease(state):
    """The file's time is when the control plane was last heard."""
    link, proxy = FakeLink(), FakeProxy()
    wanted = order(5000, on_lost=OnLost.STABLE)
    link.want(wanted)
    async with running(link, proxy, state):
        await until(lambda: link.reports)
    link.away = True
    long_ago = time.time() - 61
    os.utime(state, (long_ago, long_ago))
    async with running(link, proxy, state):
        await until(lambda: proxy.carried == everyone_on_stable(wanted.split))


async def test_what_somebody_changes_is_put_right_and_told_once(state):
    """With what was found."""
    link, proxy = FakeLink(), FakeProxy()
    link.want(order(5000))
    async with running(link, proxy, state):
        await until(lambda: link.reports)
        proxy.carried = order(700).split
        await until(lambda: proxy.carried == order(5000).split)
        seen = len(link.reports)
        await until(lambda: len(link.reports) > seen + 3)
    told = [r["correction"] for r in link.reports if r["correction"]]
    assert told == ["the split was changed behind our back (7 %); it is put right"]


async def test_a_driver_that_cannot_is_reported_in_its_own_words(state):
    """And tried again."""
    link, proxy = FakeLink(), FakeProxy()
    proxy.broken = "cannot write /etc/envoy (Permission denied)."
    link.want(order(5000))
    async with running(link, proxy, state):
        await until(lambda: link.reports)
        assert (link.reports[-1]["ok"], link.reports[-1]["problem"]) == (False, proxy.broken)
        proxy.broken = ""
        await until(lambda: link.reports[-1]["ok"])


async def test_an_order_of_a_newer_control_plane_is_not_half_carried(state):
    """What cannot be understood is said; the split before stays."""
    link, proxy = FakeLink(), FakeProxy()
    link.want(order(500))
    async with running(link, proxy, state):
        await until(lambda: link.reports)
        newer = order(1000).to_json()
        newer["split"]["teleport"] = True
        link.wanted = {"revision": "newer", "order": newer}
        await until(lambda: link.reports[-1]["revision"] == "newer")
    assert "teleport" in link.reports[-1]["problem"]
    assert link.reports[-1]["problem"].endswith("update this agent")
    assert proxy.carried == order(500).split


async def test_before_anything_is_wanted_it_says_so(state):
    """It registers, and touches nothing."""
    link, proxy = FakeLink(), FakeProxy()
    async with running(link, proxy, state):
        await until(lambda: link.reports)
    assert link.reports[0]["problem"] == "has no split yet"
    assert proxy.applied == []


@pytest.mark.parametrize("content", ["", "{", "[]", '{"service": "other", "order": {}}'])
async def test_a_state_file_that_is_none_counts_as_none(state, content):
    """The control plane knows better; the next order replaces it."""
    state.parent.mkdir()
    state.write_text(content)
    link, proxy = FakeLink(), FakeProxy()
    link.want(order(500))
    async with running(link, proxy, state):
        await until(lambda: link.reports and link.reports[-1]["ok"])
    assert '"canary_bp": 500' in state.read_text()


async def test_a_split_that_cannot_be_kept_is_carried_all_the_same(state, caplog):
    """The log says what will be missing after a restart."""
    link, proxy = FakeLink(), FakeProxy()
    state.mkdir(parents=True)  # a folder is where the file should be
    link.want(order(500))
    async with running(link, proxy, state):
        await until(lambda: link.reports and link.reports[-1]["ok"])
    assert "cannot be kept (Is a directory)" in caplog.text


async def test_two_agents_cannot_have_one_state_file(state):
    """Two would carry by turns; a killed one's file is free at once."""
    async with running(FakeLink(), FakeProxy(), state):
        with pytest.raises(Conflict, match="Another agent runs"):
            Kept(state, "checkout").open()
    Kept(state, "checkout").open()


def test_a_folder_that_cannot_be_is_told(tmp_path):
    """With what to do."""
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="cannot be written") as refusal:
        Kept(tmp_path / "file" / "x.json", "checkout").open()
    assert "--state" in refusal.value.next_step
