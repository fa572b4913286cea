"""What the pages and the commands show of compensation and of irreversible steps, and what they do."""

from __future__ import annotations

import asyncio
import re

import pytest
from typer.testing import CliRunner

from browsing import browser_for, in_chromium, served
from serinus.cli.app import app
from undoing import given_up, report_failing, rolled_back, seen, strategy, walked, work


async def press(c, path: str, action: str, **form: str) -> str:
    """Go through a button's page; return the deployment's page afterwards."""
    confirm = await c.get(f"{path}/{action}")
    assert confirm.status_code == 200, confirm.text
    token = re.search(r'name="csrf" value="([0-9a-f]+)"', confirm.text)[1]
    done = await c.post(f"{path}/{action}", data={**form, "csrf": token})
    assert done.status_code == 303, done.text
    return (await c.get(path)).text


async def test_what_is_left_undone_is_shown_retried_and_done_by_hand(gate, world):
    """On the list and on its page; by an approver."""
    identity = await given_up(world, gate)
    path = f"/deployments/{identity}"
    c = await browser_for(world)
    assert "compensation failed (step 1 (5 %))" in re.sub(r"<[^>]+>", "", (await c.get("/")).text)
    page = (await c.get(path)).text
    assert "Compensation of step 1 (5 %) was given up after 10 tries (HTTP 500 no database)" in page
    assert f'href="{path}/retry-compensation"' in page
    viewer = await browser_for(world, await world.token_of("viewer"))
    assert f'href="{path}/retry-compensation"' not in (await viewer.get(path)).text
    page = await press(c, path, "retry-compensation", item="step-1")
    assert "is tried again, by first admin." in page
    for _ in range(12):
        await work(world, 300)
    page = await press(c, path, "complete-compensation", item="step-1", note="refunded 12 orders")
    assert "Compensation of step 1 (5 %) was completed by first admin: refunded 12 orders" in page
    korean = (await c.get(f"{path}?lang=ko")).text
    assert "보상" in korean


async def test_a_task_is_completed_on_its_page(world):
    """With a note."""
    await world.service()
    identity = await world.canary(compensation_strategy="manual")
    await rolled_back(world, identity)
    c = await browser_for(world)
    assert "a compensation task is open" in (await c.get("/")).text
    page = await press(
        c, f"/deployments/{identity}", "complete-compensation", item="task", note="all is well"
    )
    assert "The compensation task was completed by first admin: all is well" in page


async def test_somebody_decides_on_the_page_whether_it_goes_back_across(gate, world):
    """Going on needs a reason; going back, the tick that says that it is meant."""
    plan = strategy(gate.url, irreversible=True)
    identity = await walked(world, gate.url, to=100, strategy=plan)
    path = f"/deployments/{identity}"
    await report_failing(world, identity)
    c = await browser_for(world)
    page = (await c.get(path)).text
    assert "Not rolled back: step 2 (25 %) is irreversible and was completed." in page
    assert ">Go on</a>" in page
    assert f'href="{path}/promote"' not in page
    asked = (await c.get(f"{path}/approve")).text
    assert "It goes on with v2 although it should have gone back" in asked
    page = await press(c, path, "approve", reason="the provider is down")
    assert "Goes on at 100 %, decided by first admin: the provider is down" in page
    refused = re.search(r'name="csrf" value="([0-9a-f]+)"', (await c.get(f"{path}/rollback")).text)[1]
    answer = await c.post(f"{path}/rollback", data={"csrf": refused, "reason": "lost"})
    assert (answer.status_code, "irreversible" in answer.text) == (409, True)
    page = await press(c, path, "rollback", reason="lost", across="yes")
    assert "Rolled back, across the irreversible step 2 (25 %), from 100 % to v1: lost" in page


async def test_the_commands_list_show_retry_and_complete(gate, world):
    """The same as the pages, in a terminal."""
    identity = await given_up(world, gate)
    async with served(world) as url:
        environment = {"SERINUS_URL": url, "SERINUS_TOKEN": world.token, "COLUMNS": "200"}

        async def run(*words: str, code: int = 0) -> str:
            done = await asyncio.to_thread(CliRunner().invoke, app, list(words), env=environment)
            assert done.exit_code == code, done.output
            return done.output

        listed = await run("compensation", "list")
        assert "✘ failed   step-1" in listed
        assert "… pending  deployment" in listed
        shown = await run("compensation", "show", "checkout")
        assert shown.startswith("compensation failed\n  ✘ failed   step-1      step 1 (5 %) · 10 tries")
        assert "compensation failed" in await run("watch", "checkout", "--once")
        retried = await run("compensation", "retry", identity)
        assert "compensation running" in retried
        refused = await run("compensation", "retry", identity, code=4)
        assert f"Nothing of {identity} was given up." in refused
        for _ in range(12):
            await work(world, 300)
        done = await run("compensation", "complete", "checkout", "--note", "refunded 12 orders")
        assert "✔ done     step-1      step 1 (5 %) · 10 tries · by first admin: refunded 12 orders" in done
        gate.answers = [(200, "")]
        await work(world)
        assert "Nothing is left to undo." in await run("compensation", "list")
    assert (await seen(world, identity))["compensation"]["state"] == "done"


async def test_the_commands_go_back_across_or_go_on(gate, world):
    """The refusal names the option."""
    plan = strategy(gate.url, irreversible=True)
    identity = await walked(world, gate.url, to=100, strategy=plan)
    await report_failing(world, identity)
    async with served(world) as url:
        environment = {"SERINUS_URL": url, "SERINUS_TOKEN": world.token, "COLUMNS": "200"}

        async def run(*words: str, code: int = 0) -> str:
            done = await asyncio.to_thread(CliRunner().invoke, app, ["rollout", *words], env=environment)
            assert done.exit_code == code, done.output
            return done.output

        assert "Somebody has to decide" in await run("status", "checkout")
        assert "100 %" in await run("approve", identity, "--reason", "the provider is down")
        refused = await run("rollback", identity, "--reason", "lost", code=4)
        assert "Step 2 (25 %) is irreversible and was completed" in refused
        assert "--across-irreversible" in refused
        said = await run("rollback", identity, "--reason", "lost", "--across-irreversible")
        assert "Rolled back, across the irreversible step 2 (25 %), from 100 % to v1: lost" in said


@pytest.mark.real
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_in_chromium_it_fits_a_phone(gate, world, scheme):
    """No sideways scrolling, and no complaint of the browser."""
    identity = await given_up(world, gate)
    phone = {"width": 390, "height": 844}
    async with in_chromium(world, viewport=phone, color_scheme=scheme) as (page, said):
        for where in ("/", f"/deployments/{identity}", f"/deployments/{identity}/complete-compensation"):
            await page.goto(where)
            assert await page.evaluate("document.documentElement.scrollWidth") <= 390
        await page.goto(f"/deployments/{identity}")
        assert "was given up after 10 tries" in await page.locator(".problem").first.inner_text()
        assert said == []
