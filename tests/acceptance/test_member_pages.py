"""Pages of members and tokens: without scripts, for admins alone, and each secret shown once."""

from __future__ import annotations

import re

import pytest

from browsing import browser_for, in_chromium


def words(html: str) -> str:
    """Return a page's text as it is read."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


def hidden(html: str, name: str) -> str:
    """Return a hidden field of a page."""
    return re.search(rf'name="{name}" value="([^"]+)"', html)[1]


async def press(c, path: str, code: int = 303, **form: str):
    """Open a form's page, send it, and return the answer."""
    page = (await c.get(path)).text
    if 'name="key"' in page:
        form.setdefault("key", hidden(page, "key"))
    answer = await c.post(path.partition("?")[0], data={**form, "csrf": hidden(page, "csrf")})
    assert answer.status_code == code, answer.text
    return answer


async def added(c, **changes: str) -> str:
    """Add a person; return the path of their first token."""
    form = {"kind": "person", "name": "Ada Lovelace", "email": "ada@example.com", "role": "approver"}
    return (await press(c, "/members/add", **{**form, **changes})).headers["location"]


async def test_a_person_is_added_given_a_token_and_lowered(world):
    """The secret is on one page only; what was done is in the audit log, without it."""
    await world.service()
    c = await browser_for(world)
    assert "Nobody yet." in (await c.get("/members")).text
    path = await added(c)
    made = await press(c, path, 200, name="laptop", role="approver", services="checkout", days="7")
    secret = re.search(r"srn_[\w-]+", made.text)[0]
    assert made.headers["cache-control"] == "no-store"
    assert "Ada Lovelace · approver · checkout · ends" in words(made.text)
    listed = (await c.get("/members")).text
    assert "Ada Lovelace approver ada@example.com" in words(listed)
    assert re.search(r"laptop approver ! ends soon only checkout · ends .* never used", words(listed))
    async with world.client() as api:
        log = (await api.get("/audit")).text
    assert secret not in listed + log
    assert [a in log for a in ("member.add", "token.create")] == [True, True]
    async with world.client(secret) as hers:
        assert (await hers.get("/whoami")).json()["name"] == "Ada Lovelace"
        await press(c, path.replace("/token", "/role"), role="viewer")
        assert (await hers.get("/whoami")).json()["role"] == "viewer"


async def test_the_answer_loaded_again_makes_no_second_token_and_shows_no_secret(world):
    """It says that the secret was shown, and what to do."""
    c = await browser_for(world)
    path = await added(c)
    page = (await c.get(path)).text
    form = {
        "csrf": hidden(page, "csrf"),
        "key": hidden(page, "key"),
        "name": "laptop",
        "role": "viewer",
        "days": "",
    }
    first, again = [await c.post(path, data=form) for _ in range(2)]
    assert ["srn_" in one.text for one in (first, again)] == [True, False]
    assert "This token was made already" in again.text
    async with world.client() as api:
        names = [t["name"] for t in (await api.get("/tokens")).json()["tokens"]]
    assert names.count("laptop") == 1


async def test_a_token_is_revoked_and_a_member_removed(world):
    """At once, after a page that says what that means."""
    c = await browser_for(world)
    path = await added(c, kind="service_account", name="ci", email="")
    secrets = [
        re.search(r"srn_[\w-]+", (await press(c, path, 200, name=n, role="viewer", days="")).text)[0]
        for n in ("one", "two")
    ]
    async with world.client() as api:
        ids = {t["name"]: t["token_id"] for t in (await api.get("/tokens")).json()["tokens"]}

    async def alive() -> list[int]:
        codes = []
        for secret in secrets:
            async with world.client(secret) as theirs:
                codes.append((await theirs.get("/whoami")).status_code)
        return codes

    revoke = f"/tokens/{ids['one']}/revoke"
    assert "is refused at once" in (await c.get(revoke)).text
    await press(c, revoke)
    assert await alive() == [401, 200]
    assert "1 ended" in (await c.get("/members")).text
    assert "All tokens and sessions of ci end at once." in (await c.get(path.replace("token", "remove"))).text
    await press(c, path.replace("/token", "/remove"))
    assert await alive() == [401, 401]
    assert "ci" not in re.findall(r"<h3>(\w+) ", (await c.get("/members")).text)


@pytest.mark.parametrize("role", ["viewer", "approver"])
async def test_only_admins_see_and_do_any_of_it(world, role):
    """No link, no page, no call; nothing changes."""
    admin = await browser_for(world)
    path = await added(admin)
    c = await browser_for(world, await world.token_of(role))
    assert 'href="/members"' not in (await c.get("/")).text
    async with world.client() as api:
        tokens = (await api.get("/tokens")).json()["tokens"]
        revoke = f"/tokens/{tokens[0]['token_id']}/revoke"
        for page in ("/members", "/members/add", path, path.replace("token", "remove"), revoke):
            refused = await c.get(page)
            assert (refused.status_code, "Not yours to do" in refused.text) == (403, True), page
            assert "Ada" not in refused.text
            assert 'href="/release-sets"' in refused.text, "the way on to the other pages stays"
        token = hidden((await c.get("/")).text, "csrf")
        form = {"csrf": token, "name": "x", "email": "x@y", "kind": "person", "role": "admin", "days": ""}
        for page in (
            "/members/add",
            path,
            path.replace("token", "role"),
            path.replace("token", "remove"),
            revoke,
        ):
            assert (await c.post(page, data=form)).status_code == 403, page
        assert (await api.get("/tokens")).json()["tokens"] == tokens
        assert [m["role"] for m in (await api.get("/members")).json()["members"]] == ["approver"]


async def test_another_tenant_and_another_site_find_nothing(world):
    """A stranger's admin gets 404, a foreign form 403."""
    c = await browser_for(world)
    path = await added(c)
    async with world.client() as api:
        token = (await api.get("/tokens")).json()["tokens"][0]["token_id"]
    other = await browser_for(world, await world.second_tenant())
    assert "Ada" not in (await other.get("/members")).text
    mine = hidden((await other.get("/members")).text, "csrf")
    for page in (path, path.replace("token", "remove"), f"/tokens/{token}/revoke"):
        assert (await other.get(page)).status_code == 404, page
        form = {"csrf": mine, "name": "x", "role": "viewer", "days": ""}
        assert (await other.post(page, data=form)).status_code == 404, page
    page = path.replace("token", "remove")
    assert (await c.post(page, data={"csrf": "0" * 64})).status_code == 403
    foreign = {"csrf": hidden((await c.get(page)).text, "csrf")}
    assert (await c.post(page, data=foreign, headers={"origin": "http://evil.example"})).status_code == 403


@pytest.mark.parametrize(
    ("what", "changes", "why"),
    [
        ("person", {"name": " "}, "A name has 1 to 120 characters"),
        ("person", {"name": "Ada\x07"}, "A name has 1 to 120 characters"),
        ("person", {"email": ""}, "A person needs an e-mail address."),
        ("person", {"email": "ada"}, "is no e-mail address"),
        ("person", {"role": "king"}, "No role was chosen."),
        ("token", {"name": "-"}, "begins with a letter or digit"),
        ("token", {"role": "admin"}, "no token of theirs can be admin"),
        ("token", {"services": "nowhere"}, "There is no service"),
        ("token", {"days": "12345678"}, "ends after one of the times offered"),
    ],
)
async def test_what_cannot_be_is_refused_in_words_and_changes_nothing(world, what, changes, why):
    """With the field's rule, and a way on."""
    c = await browser_for(world)
    path = await added(c, name="Grace Hopper") if what == "token" else "/members/add"
    form = {"kind": "person", "name": "ada", "email": "ada@example.com", "role": "viewer", "days": ""}
    async with world.client() as api:
        before = [(await api.get(kind)).json()["total"] for kind in ("/members", "/tokens")]
        refused = await press(c, path, 400, **{**form, **changes})
        assert why in words(refused.text)
        assert [(await api.get(kind)).json()["total"] for kind in ("/members", "/tokens")] == before


async def test_nobody_removes_or_lowers_themselves(world):
    """The page does not offer it, and the call is refused."""
    c = await browser_for(world)
    path = await added(c, role="admin")
    made = await press(c, path, 200, name="laptop", role="admin", days="")
    ada = await browser_for(world, re.search(r"srn_[\w-]+", made.text)[0])
    listed = (await ada.get("/members")).text
    assert "you" in words(listed)
    assert path.replace("token", "remove") not in listed
    refused = await press(ada, path.replace("token", "remove"), 409)
    assert "Nobody removes themselves" in words(refused.text)


@pytest.mark.real
async def test_in_chromium_the_pages_fit_a_phone_and_the_keyboard(world):
    """No sideways scrolling, no complaint of the browser; a person and a token with the keyboard alone."""
    size = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"}
    async with in_chromium(world, **size) as (page, said):
        await page.goto("/members/add?kind=person")
        await page.keyboard.type("Ada Lovelace-of-a-very-long-name-that-does-not-end-so-soon")
        await page.keyboard.press("Tab")
        await page.keyboard.type("ada.lovelace@analytical-engines.example.com")
        await page.keyboard.press("Tab")
        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/token")
        await page.keyboard.type("laptop")
        await page.keyboard.press("Enter")
        assert (await page.locator(".secret").inner_text()).startswith("srn_")
        for where in (None, "/members"):
            if where:
                await page.goto(where)
            assert await page.evaluate("document.documentElement.scrollWidth") <= 390
        assert await page.locator("h3 .badge").inner_text() == "approver"
        assert said == []
