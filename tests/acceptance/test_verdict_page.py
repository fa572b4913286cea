"""The verdict on the page, the endpoints and in the messages: what the judge says, in every state."""

from __future__ import annotations

import re

import pytest

from answers import ALONE, HARM, NOT_YET
from browsing import browser_for, in_chromium
from serinus.core.model import Status

JUDGED = {"analysis": {"preset": "sequential"}}


async def shown(world, answer, query: str = "", **changes) -> str:
    """Return the page of a deployment with this answer."""
    await world.service()
    identity = await world.canary(**JUDGED)
    if answer is not None:
        await world.answered(identity, answer, **changes)
    c = await browser_for(world)
    return (await c.get(f"/deployments/{identity}{query}")).text


def words(html: str) -> str:
    """Return a page's text as it is read."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


async def test_before_anything_is_compared_the_panel_says_so(world):
    """No rows, no picture, an empty budget."""
    page = await shown(world, None)
    assert "Nothing to compare yet" in page
    assert "0 % of the error budget used" in page
    assert 'class="interval' not in page


async def test_while_observing_it_says_how_much_longer(world):
    """Both sides, interval, marks, and time: in words beside the picture, never by colour alone."""
    page = await shown(world, NOT_YET)
    said = words(page)
    for expected in (
        "No harm seen so far; too early to call it safe",
        "… too early",
        "v2 0.31 %",
        "v1 0.3 %",
        "1 × (0.38 to 2.8 ×)",
        "tolerated 1.3 ×",
        "worth finding 2 ×",
        "needs 1,840 more canary requests, about 6 min",
        "3 % of the error budget used · sure in about 6 min",
        "At most 1 % of good canaries ever get there.",
        "The comparison itself is not well: the canary gets 31 % less traffic",
    ):
        assert expected in said
    assert 'role="img" aria-label="errors: 1 × (0.38 to 2.8 ×); too early"' in page
    assert page.count('class="interval') == 2
    assert "No checks yet." not in page, "the judge's checks are not listed a second time"
    assert "judged_until" not in page


async def test_a_rollback_shows_the_harm_and_where_it_hurts(world):
    """The slices are a table, the worst first."""
    page = await shown(world, HARM, status=Status.ROLLED_BACK)
    said = words(page)
    assert "✘ Harm: the canary is worse than tolerated" in said
    assert "/pay region=eu errors 31 % 0.4 % 77 × by chance at most 1 in 4,100" in said
    assert said.index("/pay region=eu errors 31") < said.index("/cart errors 2 %")
    assert "100 % of the error budget used" in said
    assert "sure in about" not in said


async def test_after_promotion_the_watch_says_how_long_and_against_what(world):
    """The comparison from before is still there, and said to be over."""
    page = await shown(
        world, ALONE, status=Status.ACTIVE, phase="watching", ended_at=world.clock.now(), traffic_bp=10_000
    )
    said = words(page)
    assert "◉ Watched for another 30 min against what was recorded of v1" in said
    assert "✔ Everyone is on it: no worse than what was recorded of stable" in said
    assert said.count("while both ran") == 2
    assert "v1 0.3 % (recorded)" in said


async def test_the_list_and_the_confirm_page_speak_from_the_judge(world):
    """A row says what is found; one that is watched is still under way; promoting says what is advised."""
    await world.service()
    identity = await world.canary(**JUDGED)
    await world.serve(identity, "stable", 900)
    await world.serve(identity, "canary", 100)
    await world.answered(identity, NOT_YET)
    c = await browser_for(world)
    assert "… too early" in words((await c.get("/")).text)
    advice = words((await c.get(f"/deployments/{identity}/promote")).text)
    assert "Recommended: wait : no harm seen so far; errors: 0.31 %" in advice
    watched = {"status": Status.ACTIVE, "phase": "watching", "ended_at": world.clock.now()}
    await world.answered(identity, ALONE, **watched)
    listed = (await c.get("/")).text
    assert "◉ Watched" in words(listed)
    assert 'data-part="earlier"' not in listed


async def test_fixed_thresholds_have_no_verdict_panel(world):
    """They look as they always did."""
    await world.service()
    identity = await world.canary(analysis={"preset": "rulesets"})
    await world.serve(identity, "stable", 900)
    await world.serve(identity, "canary", 100)
    await world.tick()
    c = await browser_for(world)
    page = (await c.get(f"/deployments/{identity}")).text
    assert 'data-part="verdict"' not in page
    assert "3 of 3 checks pass" in page
    assert page.count('<li class="pass">') == 3


async def test_the_panel_speaks_korean(world):
    """Headline, numbers, needs and budget."""
    said = words(await shown(world, NOT_YET, "?lang=ko"))
    for expected in (
        "판정",
        "아직 악화는 보이지 않음",
        "오류: 카나리 0.31 %, 안정 버전 0.3 %",
        "카나리 요청 1,840건이 더 필요, 약 6분",
        "오류 예산의 3 % 사용 · 약 6분 후 확신",
    ):
        assert expected in said


async def test_the_endpoints_answer_from_the_judge(world):
    """Deployment, comparison, metrics, health and /metrics; its state is nobody's business."""
    await world.service()
    identity = await world.canary(**JUDGED)
    await world.serve(identity, "stable", 900, errors=3)
    await world.serve(identity, "canary", 100)
    await world.answered(identity, NOT_YET, judge="opaque state")
    async with world.client() as c:
        answers = {
            name: (await c.get(f"/deployments/{identity}{path}")).json()
            for name, path in (("it", ""), ("comparison", "/comparison"), ("metrics", "/metrics"))
        }
        health = (await c.get(f"/deployments/{identity}/health")).json()
    for answer in answers.values():
        assert answer["judge"]["finding"] == "not_yet"
        assert "opaque state" not in str(answer)
    assert answers["comparison"]["comparison"]["recommendation"] == "wait"
    assert answers["comparison"]["comparison"]["seconds_needed"] == 370.0
    assert answers["comparison"]["analysis"]["significant_difference"] is False
    assert health["health_status"] == "degraded"
    assert NOT_YET.warnings[0] in health["warnings"]


async def test_real_traffic_ends_in_a_verdict_and_a_message(world):
    """Eight in a hundred fail on one side: rolled back, with the numbers in every place."""
    world.running.plane.context.channels = ("slack",)
    await world.service()
    identity = await world.canary(**JUDGED, strategy={"stickiness": "persistent"})
    await world.compare(identity, 3)
    await world.compare(identity, 6, canary=(50, 6, 50.0), endpoint="/pay")
    async with world.client() as c:
        view = (await c.get(f"/deployments/{identity}")).json()
        comparison = (await c.get(f"/deployments/{identity}/comparison")).json()
    assert (view["status"], view["judge"]["finding"]) == ("rolled_back", "harm")
    assert view["judge"]["budget_used"] == 1.0
    assert comparison["comparison"]["recommendation"] == "rollback"
    assert comparison["analysis"]["significant_difference"] is True
    async with world.running.plane.context.store.begin(write=False) as tx:
        tenant = (await tx.tenants.all())[0].id
        told = (await tx.outbox.of(tenant, identity))[0].payload
    fields = dict(told["fields"])
    assert fields["Metric"] == "errors"
    assert re.fullmatch(r"v2 [\d.]+ %, v1 [\d.]+ %", fields["Both sides"])
    assert re.fullmatch(
        r"\d+ × \([\d.]+ to [\d,> ]+ ×\), 95 % sure, at every look", fields["Canary to stable"]
    )
    assert "It had traffic for" in told["text"]
    assert told["link"].endswith(identity)


async def test_a_rollback_message_counts_who_was_on_the_canary(world):
    """Counted before the assignments are cleared."""
    world.running.plane.context.channels = ("slack",)
    await world.service()
    identity = await world.canary(**JUDGED)
    await world.assign(identity, 3)
    async with world.client() as c:
        await c.post(f"/deployments/{identity}/rollback", json={"reason": "seen enough"})
    async with world.running.plane.context.store.begin(write=False) as tx:
        tenant = (await tx.tenants.all())[0].id
        told = (await tx.outbox.of(tenant, identity))[0].payload
    assert told["text"].endswith("It had traffic for 1 s and 3 units were on it.")


@pytest.mark.real
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_in_chromium_the_panel_fits_a_phone_and_follows(world, scheme):
    """No sideways scrolling, no complaint of the browser, and a new finding without loading again."""
    await world.service()
    identity = await world.canary(**JUDGED)
    await world.answered(identity, NOT_YET)
    phone = {"width": 390, "height": 844}
    async with in_chromium(world, viewport=phone, color_scheme=scheme) as (page, said):
        await page.goto(f"/deployments/{identity}")
        await page.wait_for_selector("text=● live")
        # In one breath: the part that it is in may be replaced by a newer one at any time.
        width = "document.querySelector('svg.interval').getBoundingClientRect().width"
        assert 250 < await page.evaluate(width) <= 358
        await world.answered(identity, HARM)
        await page.wait_for_selector("text=Where it hurts", timeout=8000)
        assert await page.locator(".headline").inner_text() == "✘ Harm: the canary is worse than tolerated"
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390
        assert said == []
