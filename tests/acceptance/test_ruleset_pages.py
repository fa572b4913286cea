"""Pages of rulesets: read without scripts, acted on by role, and one click from a breaker to what failed."""

from __future__ import annotations

import re

import pytest

from browsing import browser_for, in_chromium
from rulebook import BROKEN, CASES, GENEROUS, PRICING, table

FIRST = {"name": "pricing", "version": "v1.0.0", "engine": "starlark", "content": PRICING}
BIG = {"name": "big", "input": {"amount": 200}, "expected_output": {"discount": 0.2}}


@pytest.fixture
async def pricing(world):
    """Return the id of a ruleset with versions v1.0.0 (serves), v1.5.0 and v2.0.0 (fails for everyone)."""
    async with world.client() as c:
        answer = await c.post("/rulesets", json={**FIRST, "test_cases": CASES, "redact": ["email"]})
        identity = answer.json()["ruleset_id"]
        for new in (
            {"version": "v1.5.0", "content": GENEROUS, "changelog": "20 % from 100 on", "test_cases": [BIG]},
            {"version": "v2.0.0", "content": BROKEN, "test_cases": []},
        ):
            made = await c.post(f"/rulesets/{identity}/versions", json={"engine": "starlark", **new})
            assert made.status_code == 201, made.text
    return identity


async def executed(world, ruleset: str, times: int, **given) -> None:
    """Execute for as many users, and let the monitor look at what came of it."""
    world.clock.pass_(1)
    async with world.client() as c:
        for n in range(times):
            body = {"input": {"amount": 200, **given}, "user_id": f"user-{n}"}
            assert (await c.post(f"/rulesets/{ruleset}/execute", json=body)).status_code == 200
    await world.running.plane.executor.settle()
    await world.running.plane.executor.flush()
    await world.tick()


def words(html: str) -> str:
    """Return a page's text as it is read."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


def csrf(html: str) -> str:
    """Return the form token of a page."""
    return re.search(r'name="csrf" value="([0-9a-f]+)"', html)[1]


async def test_without_any_the_list_says_how_to_make_one(world):
    """With the very command."""
    c = await browser_for(world)
    assert "serinus ruleset create pricing" in (await c.get("/rulesets")).text


async def test_the_list_says_what_serves_what_rolls_out_and_what_changed_last(world, pricing):
    """One row a ruleset, and the way to its page."""
    await world.canary("v1.5.0", "pricing", 10)
    c = await browser_for(world)
    page = (await c.get("/rulesets")).text
    assert f'href="/rulesets/{pricing}"' in page
    assert "pricing v1.0.0 ● serves → v1.5.0 ◐ 10 % 3 versions newest: v2.0.0, first admin" in words(page)


async def test_a_version_shows_its_rules_its_cases_and_their_last_results(world, pricing):
    """Run from the page, by whoever may read; the result stays until the next run."""
    viewer = await browser_for(world, await world.token_of("viewer"))
    path = f"/rulesets/{pricing}/version?version=v1.0.0"
    page = (await viewer.get(path)).text
    assert "They have not run yet." in words(page)
    assert "def decide(input):" in page
    assert "sha256:" in page
    done = await viewer.post(f"/rulesets/{pricing}/test", data={"csrf": csrf(page), "version": "v1.0.0"})
    assert (done.status_code, done.headers["location"]) == (303, f"{path}#cases")
    shown = words((await viewer.get(path)).text)
    assert "a viewer" in shown
    assert "✔ pass a big order" in shown
    foreign = await viewer.post(f"/rulesets/{pricing}/test", data={"csrf": "0" * 64})
    assert foreign.status_code == 403


async def test_a_case_that_failed_says_where_the_output_differs(world, pricing):
    """The same words as in the API and the terminal."""
    async with world.client() as c:
        body = {"version": "v1.7.0", "engine": "starlark", "content": GENEROUS, "test_cases": CASES}
        await c.post(f"/rulesets/{pricing}/versions", json=body)
        await c.post(f"/rulesets/{pricing}/test", json={"version": "v1.7.0"})
    browser = await browser_for(world)
    said = words((await browser.get(f"/rulesets/{pricing}/version?version=v1.7.0")).text)
    assert "✘ fail a big order $.discount: expected 0.1, got 0.2" in said
    confirm = words((await browser.get(f"/rulesets/{pricing}/rollout?version=v1.7.0")).text)
    assert "At their last run 1 failed: the start will be refused." in confirm


async def test_two_versions_are_compared_as_people_read_rules(world, pricing):
    """A script by its lines, a decision table by its rows."""
    c = await browser_for(world)
    page = (await c.get(f"/rulesets/{pricing}/diff?before=v1.0.0&after=v1.5.0")).text
    assert "<del>    return {&#34;discount&#34;: 0.1 if" in page
    assert "<ins>    return {&#34;discount&#34;: 0.2 if" in page
    async with world.client() as api:
        zen = {"name": "tabled", "version": "1", "content": table()}
        identity = (await api.post("/rulesets", json=zen)).json()["ruleset_id"]
        rows = (("> 500", "0.3"), ("", "0"))
        await api.post(f"/rulesets/{identity}/versions", json={"version": "2", "content": table(rows=rows)})
    page = (await c.get(f"/rulesets/{identity}/diff?before=1&after=2")).text
    assert "<del>    Amount &gt; 100 → Discount = 0.1</del>" in page
    assert "<ins>    Amount &gt; 500 → Discount = 0.3</ins>" in page
    same = (await c.get(f"/rulesets/{identity}/diff?before=1&after=1")).text
    assert "The rules are the same." in same


async def test_an_approver_starts_a_rollout_from_a_version(world, pricing):
    """A confirm page says what it does; then it runs, and the version's page offers no second one."""
    c = await browser_for(world, await world.token_of("approver"))
    page = (await c.get(f"/rulesets/{pricing}")).text
    path = f"/rulesets/{pricing}/rollout?version=v1.5.0"
    assert f'href="{path}"' in page
    confirm = await c.get(path)
    assert "This share of users gets v1.5.0 at once; everyone else stays on v1.0.0." in words(confirm.text)
    form = {"csrf": csrf(confirm.text), "version": "v1.5.0", "percentage": "25", "changelog": "20 %"}
    begun = await c.post(f"/rulesets/{pricing}/rollout", data=form)
    assert begun.status_code == 303, begun.text
    said = words((await c.get(begun.headers["location"])).text)
    assert "v1.5.0 started with 25 % of units" in said
    assert "1 of 1 test cases of v1.5.0 passed." in said
    assert "/rollout?version" not in (await c.get(f"/rulesets/{pricing}")).text
    again = words((await c.get(path)).text)
    assert "v1.5.0 is rolling out at 25 % . Promote it or roll it back first." in again


@pytest.mark.parametrize(
    ("version", "percentage", "why"),
    [
        ("v1.5.0", "a lot", "canary_pct"),
        ("v1.5.0", "250", "outside 0 to 100"),
        ("v9", "10", "has no version v9"),
        ("v1.0.0", "10", "stable version already"),
    ],
)
async def test_a_start_that_is_refused_says_why_and_leaves_nothing(world, pricing, version, percentage, why):
    """No draft stays behind."""
    c = await browser_for(world)
    token = csrf((await c.get(f"/rulesets/{pricing}/version?version=v1.0.0")).text)
    form = {"csrf": token, "version": version, "percentage": percentage}
    refused = await c.post(f"/rulesets/{pricing}/rollout", data=form)
    assert (refused.status_code, why in words(refused.text)) == (400, True), refused.text
    async with world.client() as api:
        assert (await api.get("/deployments")).json()["total"] == 0


async def test_a_viewer_starts_nothing(world, pricing):
    """No button, no confirm page, no rollout."""
    c = await browser_for(world, await world.token_of("viewer"))
    for path in (f"/rulesets/{pricing}", f"/rulesets/{pricing}/version?version=v1.5.0"):
        page = (await c.get(path)).text
        assert "rollout?version" not in page
    assert (await c.get(f"/rulesets/{pricing}/rollout?version=v1.5.0")).status_code == 403
    token = csrf(page)
    refused = await c.post(
        f"/rulesets/{pricing}/rollout", data={"csrf": token, "version": "v1.5.0", "percentage": "10"}
    )
    assert refused.status_code == 403
    async with world.client() as api:
        assert (await api.get("/deployments")).json()["total"] == 0


async def test_from_the_breaker_to_the_executions_that_failed(world, pricing):
    """Health, the page and the timeline lead there; it shows input, error and version, without secrets."""
    d = await world.canary("v2.0.0", "pricing", 50)
    await executed(world, pricing, 40, email="ada@example.com")
    async with world.client() as api:
        health = (await api.get(f"/deployments/{d}/health")).json()
        events = (await api.get(f"/deployments/{d}/events")).json()["events"]
        path = f"/rulesets/{pricing}/executions?failed=true&canary=true&deployment_id={d}"
        failing = health["failing_executions"]
        assert health["circuit_breaker_state"] == "OPEN"
        assert health["warnings"][0] == (
            "The rules of v2.0.0 failed in 5 executions, the newest with: fail: no price for [redacted] "
            f"(line 2). Read them: http://serinus.example{path}"
        )
        assert (failing["total"], failing["shadows"], failing["path"]) == (5, 0, path)
        assert failing["api"] == f"/api/v1{path}"
        assert (await api.get(failing["api"].removeprefix("/api/v1"))).json()["total"] == 5
        linked = [e["kind"] for e in events if "failing_executions" in e["data"]]
        assert linked == ["breaker"]
    c = await browser_for(world, await world.token_of("viewer"))
    page = (await c.get(f"/deployments/{d}")).text
    assert page.count(f'href="{path.replace("&", "&amp;")}"') == 2
    assert "The rules of v2.0.0 failed in 5 executions." in words(page)
    assert "5 failures in a row (rules executed by the control plane)" in words(page)
    log = (await c.get(path)).text
    said = words(log)
    assert said.count("✘ failed v2.0.0") == 5
    assert "error: fail: no price for [redacted] (line 2)" in said
    assert "&#34;email&#34;: &#34;[redacted]&#34;" in log
    assert "ada@example.com" not in log + page
    assert f"Of the deployment {d}" in said


async def test_a_canary_that_answers_has_no_failing_executions(world, pricing):
    """Nor has a service whose rules somebody else runs."""
    d = await world.canary("v1.5.0", "pricing", 50)
    await executed(world, pricing, 20)
    await world.service()
    other = await world.canary()
    async with world.client() as c:
        for identity in (d, other):
            assert (await c.get(f"/deployments/{identity}/health")).json()["failing_executions"] is None
    browser = await browser_for(world)
    assert 'data-part="failing"' not in (await browser.get(f"/deployments/{d}")).text
    assert "Rules of pricing" in (await browser.get(f"/deployments/{d}")).text
    assert "Rules of" not in (await browser.get(f"/deployments/{other}")).text


async def test_the_log_is_filtered_and_turned_over_page_by_page(world, pricing):
    """Fifty on a page; a page number that nobody can mean is the first."""
    async with world.client() as c:
        await c.patch(f"/rulesets/{pricing}", json={"log_percent": 100})
    await executed(world, pricing, 60)
    browser = await browser_for(world)
    path = f"/rulesets/{pricing}/executions"
    first, second = [(await browser.get(f"{path}?page={n}")) for n in ("1", "2")]
    assert (first.status_code, second.status_code) == (200, 200)
    assert (first.text.count('<li class="ok">'), second.text.count('<li class="ok">')) == (50, 10)
    assert 'rel="next" href="' in first.text
    assert "None is logged." in (await browser.get(f"{path}?failed=true")).text
    assert (await browser.get(f"{path}?page=99999999999")).status_code == 200


async def test_a_shadow_shows_how_often_and_where_outputs_differ(world, pricing):
    """Counts, and examples with both values."""
    async with world.client() as c:
        await c.patch(f"/rulesets/{pricing}", json={"shadow_percent": 100})
    await world.canary("v1.5.0", "pricing", 0)
    await executed(world, pricing, 12)
    browser = await browser_for(world)
    page = (await browser.get(f"/rulesets/{pricing}")).text
    assert "12 compared · 12 differ (100.0 %) · 0 failed" in words(page)
    assert "≠ differs v1.5.0 shadow" in words(page)
    assert "$.discount: expected 0.1, got 0.2" in page
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))


async def test_another_tenant_finds_no_page(world, pricing):
    """Each page and each form answers 404 to a stranger, and its list is empty."""
    d = await world.canary("v1.5.0", "pricing", 10)
    await executed(world, pricing, 3)
    c = await browser_for(world, await world.second_tenant())
    assert "pricing" not in (await c.get("/rulesets")).text.replace("create pricing v1.0.0 pricing.star", "")
    for path in ("", "/live", "/version?version=v1.5.0", "/diff?before=v1.0.0&after=v1.5.0", "/executions"):
        assert (await c.get(f"/rulesets/{pricing}{path}")).status_code == 404, path
    assert (await c.get(f"/rulesets/{pricing}/rollout?version=v1.5.0")).status_code == 404
    token = csrf((await c.get("/rulesets")).text)
    for path in ("/test", "/rollout"):
        form = {"csrf": token, "version": "v1.5.0", "percentage": "10"}
        assert (await c.post(f"/rulesets/{pricing}{path}", data=form)).status_code == 404
    assert (await c.get(f"/deployments/{d}")).status_code == 404


async def test_whoever_is_not_signed_in_comes_back_to_the_very_page(world, pricing):
    """A link from a message to what failed survives the login, with its filter."""
    c = await browser_for(world)
    c.cookies.clear()
    away = await c.get(f"/rulesets/{pricing}/executions?failed=true&canary=true")
    assert away.status_code == 303
    login = await c.get(away.headers["location"])
    following = re.search(r'name="next" value="([^"]+)"', login.text)[1].replace("&amp;", "&")
    assert following == f"/rulesets/{pricing}/executions?failed=true&canary=true"


async def test_every_word_of_these_pages_is_there_in_korean(world, pricing):
    """What stays English is data: names, versions, commands, what rules say."""
    c = await browser_for(world)
    page = words((await c.get(f"/rulesets/{pricing}?lang=ko")).text)
    for expected in ("규칙 세트", "서비스 중", "테스트 케이스", "실행 기록", "섀도", "배포 시작", "비교"):
        assert expected in page


@pytest.mark.real
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_in_chromium_a_ruleset_follows_and_keeps_what_was_unfolded(world, pricing, scheme):
    """On a phone: no sideways scrolling on any of its pages, no complaint, and focus stays where it was."""
    async with world.client() as c:
        await c.patch(f"/rulesets/{pricing}", json={"log_percent": 100})
    await executed(world, pricing, 1)
    size = {"viewport": {"width": 390, "height": 844}, "color_scheme": scheme}
    async with in_chromium(world, **size) as (page, said):
        await page.goto(f"/rulesets/{pricing}")
        await page.wait_for_selector("text=● live")
        summary = page.locator(".executions summary").first
        await summary.click()
        await executed(world, pricing, 2)
        await page.wait_for_selector("text=3 logged", timeout=8000)
        assert await page.locator(".executions details[open]").count() == 1
        assert await page.evaluate("document.activeElement.tagName") == "SUMMARY"
        for path in ("", "/version?version=v1.5.0", "/diff?before=v1.0.0&after=v2.0.0", "/executions"):
            await page.goto(f"/rulesets/{pricing}{path}")
            assert await page.evaluate("document.documentElement.scrollWidth") <= 390, path
        assert said == []


@pytest.mark.real
async def test_in_chromium_what_really_changed_is_read_out(world):
    """A status region says the new sentence; counts that go on by themselves stay silent."""
    await world.service()
    identity = await world.canary()
    async with in_chromium(world) as (page, said):
        await page.goto(f"/deployments/{identity}")
        await page.wait_for_selector("text=● live")
        status = page.locator("p.hidden[role=status]")
        assert await status.text_content() == ""
        async with world.client() as c:
            await c.post(f"/deployments/{identity}/pause", json={})
        await page.wait_for_selector("text=‖ paused", timeout=8000)
        assert "Paused at 10 %" in await status.text_content()
        assert said == []
