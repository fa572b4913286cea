"""The pages: without scripts, in Chromium, for each role, and never a bare error."""

from __future__ import annotations

import asyncio
import re
import threading
import time

import httpx
import pytest
import uvicorn
from playwright.async_api import async_playwright

from browsing import FLAGS, browser_for
from needs import program
from serinus.bootstrap.build import build, create_app
from serinus.settings import Settings


def csrf(html: str) -> str:
    """Return the form token of a page."""
    return re.search(r'name="csrf" value="([0-9a-f]+)"', html)[1]


async def test_signing_in_needs_a_live_token(world):
    """Without one every page leads to the login; a wrong one is told; a link of ours works once."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(world.app), base_url="http://serinus") as c:
        assert (await c.get("/")).headers["location"] == "/login?next=/"
        wrong = await c.post("/login", data={"token": "nonsense"}, headers={"origin": "http://serinus"})
        assert (wrong.status_code, "not known" in wrong.text) == (401, True)
        away = await c.post(
            "/login",
            data={"token": world.token, "next": "//evil.example"},
            headers={"origin": "http://serinus"},
        )
        assert away.headers["location"] == "/"
    async with world.client() as api:
        path = (await api.post("/login-code")).json()["path"]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(world.app), base_url="http://serinus") as c:
        assert (await c.get(path)).status_code == 303
        assert (await c.get(path)).status_code == 401


async def test_empty_pages_say_what_to_do_next(world):
    """With the very commands."""
    c = await browser_for(world)
    page = (await c.get("/")).text
    assert "serinus service create checkout --stable v1" in page
    assert "The monitor" in page or "monitor" in page


async def test_a_deployment_is_shown_moved_and_rolled_back_without_scripts(world):
    """Each button has a page that says what it will do, and does it."""
    await world.service()
    identity = await world.canary(changelog="<script>alert(1)</script>", analysis={"preset": "rulesets"})
    await world.serve(identity, "stable", 900, ms=50)
    await world.serve(identity, "canary", 100, ms=40, endpoint="/pay")
    await world.tick()
    c = await browser_for(world)
    page = (await c.get(f"/deployments/{identity}")).text
    assert "At 10 %, moved by hand: 3 of 3 checks pass." in page
    assert "<script>alert" not in page
    for words in ("900", "100", "p95", "/pay", "Roll back", "Pause", "Promote", "Set traffic"):
        assert words in page
    for action, data, after in (
        ("traffic", {"percentage": "25"}, "25 %"),
        ("pause", {}, "Paused at 25 %"),
        ("resume", {}, "Resumed at 25 %"),
        ("rollback", {"reason": "seen enough"}, "Rolled back from 25 % to v1: seen enough"),
    ):
        confirm = await c.get(f"/deployments/{identity}/{action}")
        assert confirm.status_code == 200
        done = await c.post(f"/deployments/{identity}/{action}", data={**data, "csrf": csrf(confirm.text)})
        assert (done.status_code, done.headers["location"]) == (303, f"/deployments/{identity}")
        assert after in (await c.get(f"/deployments/{identity}")).text
    assert "rolled back" in (await c.get("/")).text


async def test_a_form_of_another_site_or_session_is_refused(world):
    """Nothing moves."""
    await world.service()
    identity = await world.canary()
    c = await browser_for(world)
    token = csrf((await c.get(f"/deployments/{identity}/rollback")).text)
    path = f"/deployments/{identity}/rollback"
    foreign = await c.post(
        path, data={"csrf": token, "reason": "x"}, headers={"origin": "http://evil.example"}
    )
    wrong = await c.post(path, data={"csrf": "0" * 64, "reason": "x"})
    assert (foreign.status_code, wrong.status_code) == (403, 403)
    assert "Not yours to do" in wrong.text
    async with world.client() as api:
        assert (await api.get(f"/deployments/{identity}")).json()["status"] == "canary"


async def test_a_viewer_sees_everything_and_moves_nothing(world):
    """Buttons say which role they need; the call itself is refused too."""
    await world.service()
    identity = await world.canary()
    c = await browser_for(world, await world.token_of("viewer"))
    page = (await c.get(f"/deployments/{identity}")).text
    assert "Needs the role approver" in page
    assert f'href="/deployments/{identity}/rollback"' not in page
    refused = await c.post(f"/deployments/{identity}/rollback", data={"csrf": csrf(page), "reason": "x"})
    assert refused.status_code == 403


async def test_errors_are_pages_with_words(world):
    """Unknown ids, refused moves; and nothing comes from elsewhere."""
    c = await browser_for(world)
    missing = await c.get("/deployments/dep_none")
    assert (missing.status_code, "Not here" in missing.text) == (404, True)
    assert "Traceback" not in missing.text
    policy = (await c.get("/")).headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', (await c.get("/")).text)


async def test_korean_is_remembered(world):
    """Asked for once, then from the cookie; or what the browser prefers."""
    c = await browser_for(world)
    assert "배포" in (await c.get("/?lang=ko")).text
    assert "배포" in (await c.get("/")).text
    fresh = httpx.AsyncClient(transport=httpx.ASGITransport(world.app), base_url="http://serinus")
    assert "로그인" in (await fresh.get("/login", headers={"accept-language": "ko-KR,ko;q=0.9"})).text


async def test_what_runs_is_on_the_first_page_however_much_was_made_since(world, monkeypatch):
    """The rest is turned over page by page, also under a filter."""
    monkeypatch.setattr("serinus.web.listing.A_PAGE", 2)
    await world.service()
    await world.service("search")
    running = await world.canary(service="search")
    async with world.client() as c:
        for version in ("v2", "v3", "v4"):
            world.clock.pass_(1)  # newest first, so they need an order
            identity = await world.canary(version)
            await c.post(f"/deployments/{identity}/rollback", json={"reason": f"{version} is wrong"})
    browser = await browser_for(world)
    first, second = [(await browser.get(f"/?page={n}")).text for n in (1, 2)]
    assert f'href="/deployments/{running}"' in first
    assert [v in first for v in ("v4 is wrong", "v3 is wrong", "v2 is wrong")] == [True, True, False]
    assert 'rel="next" href="/?page=2"' in first
    assert [v in second for v in ("v4 is wrong", "v3 is wrong", "v2 is wrong")] == [False, False, True]
    assert running not in second
    filtered = (await browser.get("/?service=checkout&status=rolled_back")).text
    assert "service=checkout&amp;status=rolled_back&amp;page=2" in filtered
    assert "Nothing like that is rolling out." in filtered
    assert running not in filtered


async def test_a_korean_page_has_korean_sentences_and_marks_what_is_not(world):
    """The sentence, the timeline and the list; a reason that somebody gave stays."""
    await world.service()
    identity = await world.canary()
    async with world.client() as c:
        await c.post(f"/deployments/{identity}/rollback", json={"reason": "orders are lost"})
    c = await browser_for(world)
    page = (await c.get(f"/deployments/{identity}?lang=ko")).text
    assert page.count("10 %에서 v1(으)로 롤백: orders are lost") == 2
    assert "v2이(가) 단위의 10 %(으)로 시작했고 나머지는 v1에 남습니다." in page
    assert "10 %에서 v1(으)로 롤백: orders are lost" in (await c.get("/")).text
    assert ' lang="en">' not in page.partition("<main")[2]
    assert "Rolled back from 10 % to v1" in (await c.get(f"/deployments/{identity}?lang=en")).text


def luminance(colour: str) -> float:
    """Return a colour's relative luminance (WCAG 2)."""
    colour = colour.lstrip("#")
    colour = "".join(x * 2 for x in colour) if len(colour) == 3 else colour
    channels = [int(colour[n : n + 2], 16) / 255 for n in (0, 2, 4)]
    one, two, three = (x / 12.92 if x <= 0.03928 else ((x + 0.055) / 1.055) ** 2.4 for x in channels)
    return 0.2126 * one + 0.7152 * two + 0.0722 * three


@pytest.mark.parametrize("scheme", [0, 1])
async def test_every_text_colour_has_enough_contrast(world, scheme):
    """WCAG AA: 4.5 to 1 on cards and on the page, light and dark."""
    c = await browser_for(world)
    css = (await c.get("/static/style.css")).text
    palette = dict(re.findall(r"--(\w+):(#[0-9a-f]+)", re.findall(r":root\{([^}]*)\}", css)[scheme]))
    pairs = [
        (text, ground)
        for text in ("ink", "soft", "accent", "good", "bad", "warn")
        for ground in ("bg", "card")
    ]
    pairs += [("warn", "warnbg"), ("good", "goodbg"), ("bad", "badbg")]
    pairs += [(text, ground) for text in ("ink", "soft") for ground in ("goodbg", "badbg")]
    for text, ground in pairs:
        light, dark = sorted((luminance(palette[text]), luminance(palette[ground])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, ground)


@pytest.fixture
def live(tmp_path):
    """Return a control plane on a port."""
    settings = Settings(data_dir=tmp_path, tick_seconds=0.2, window_seconds=1)
    running = build(settings, notifiers={})
    config = uvicorn.Config(
        create_app(settings, running), host="127.0.0.1", port=0, log_config=None, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    yield url, running.first_token
    server.should_exit = True
    thread.join(10)


@pytest.mark.real
async def test_in_chromium_the_page_follows_without_being_loaded_again(live):
    """Live by push, keyboard reachable, no sideways scrolling on a phone, no request to elsewhere."""
    url, token = live
    chromium = program("chromium", "apt-get install chromium")
    async with httpx.AsyncClient(
        base_url=f"{url}/api/v1", headers={"Authorization": f"Bearer {token}"}
    ) as api:
        await api.post("/services", json={"name": "checkout", "stable_version": "v1"})
        identity = (await api.post("/deployments", json={"service_id": "checkout", "version": "v2"})).json()[
            "deployment_id"
        ]
        await api.post(f"/deployments/{identity}/start-canary", json={"canary_pct": 10})
        path = (await api.post("/login-code")).json()["path"]
        async with async_playwright() as p:
            browser = await p.chromium.launch(executable_path=chromium, args=FLAGS)
            context = await browser.new_context(viewport={"width": 390, "height": 844})
            page = await context.new_page()
            asked, wrong = [], []
            page.on("request", lambda r: asked.append(r.url))
            page.on("pageerror", lambda e: wrong.append(str(e)))
            await page.goto(url + path)
            await page.goto(f"{url}/deployments/{identity}")
            await page.evaluate("window.unloaded = false")
            await page.wait_for_selector("text=● live")
            await api.put(f"/deployments/{identity}/traffic", json={"traffic_percentage": 50})
            await page.wait_for_selector("text=moved by hand >> visible=true", timeout=8000)
            await page.locator("p.facts").filter(has_text="wanted 50 %").wait_for(timeout=8000)
            assert await page.evaluate("window.unloaded") is False
            assert await page.evaluate("document.documentElement.scrollWidth") <= 390
            await page.evaluate("document.activeElement.blur()")
            reached = []
            for _ in range(12):
                await page.keyboard.press("Tab")
                reached.append(await page.evaluate("document.activeElement.innerText"))
            assert "Roll back" in reached
            assert [u for u in asked if not u.startswith(url)] == []
            assert wrong == []
            await browser.close()
    await asyncio.sleep(0)
