"""The pages of release sets: what they show, and what their buttons do, without scripts."""

from __future__ import annotations

import re

from browsing import browser_for

REGIONS = {
    "name": "checkout <v2>",
    "service": "checkout",
    "version": "v2",
    "waves": [{"regions": ["eu"], "gate": {"role": "admin"}}, {"regions": ["us"]}],
    "strategy": {"steps": [{"traffic_percentage": 100, "hold_seconds": 0}]},
    "analysis": {"checks": [], "only": True},
    "canary_config": {"duration_minutes": 0},
}


async def started(world) -> str:
    """Start waves over two regions; return their page's path."""
    for region in ("eu", "us"):
        await world.service(f"checkout@{region}")
    async with world.client() as c:
        made = await c.post("/release-sets", json=REGIONS)
        assert made.status_code == 201, made.text
    return f"/release-sets/{made.json()['release_set_id']}"


async def look(world, times: int) -> None:
    """Let the monitor look, then the coordinator."""
    for _ in range(times):
        await world.tick()
        await world.running.plane.coordinator.tick()


async def press(c, path: str, action: str, code: int = 303, **form: str) -> str:
    """Go through a button's page; return the set's page afterwards, or the refusal."""
    confirm = await c.get(f"{path}/{action}")
    assert confirm.status_code == 200, confirm.text
    token = re.search(r'name="csrf" value="([0-9a-f]+)"', confirm.text)[1]
    done = await c.post(f"{path}/{action}", data={**form, "csrf": token})
    assert done.status_code == code, done.text
    return (await c.get(path)).text if code == 303 else done.text


async def test_a_set_is_listed_shown_approved_and_rolled_back(world):
    """Its members in their order, each with a way to its own page; and back from there."""
    path = await started(world)
    await look(world, 4)
    c = await browser_for(world)
    assert "checkout &lt;v2&gt;" in (await c.get("/release-sets")).text
    page = (await c.get(path)).text
    assert "Wave 2 of 2 (us) waits for an approval by the role admin." in page
    assert page.index("checkout@eu") < page.index("checkout@us")
    assert "Its stage has not begun." in page
    member = re.search(r'href="(/deployments/dep_[0-9a-f]+)"', page)[1]
    assert f'href="{path}"' in (await c.get(member)).text
    approver = await browser_for(world, await world.token_of("approver"))
    offered = (await approver.get(path)).text
    assert [f'href="{path}/{move}"' in offered for move in ("rollback", "approve")] == [True, False]
    assert "Needs the role admin: Approve" in offered
    assert "Ask somebody with the role admin." in await press(approver, path, "approve", code=403)
    page = await press(c, path, "approve", reason="support is quiet")
    assert "Approved after Wave 1 of 2 (eu) by first admin: support is quiet" in page
    await look(world, 1)
    await press(c, path, "pause")
    assert "Rolling back, in this order: checkout@us, checkout@eu." in await press(
        c, path, "rollback", reason="invoices are wrong"
    )
    await look(world, 2)
    page = (await c.get(path)).text
    assert "Rolled back: invoices are wrong" in page
    assert page.count("stage back") == 2
    assert f'href="{path}/rollback"' not in page


async def test_viewers_see_and_strangers_do_not(world):
    """A viewer's buttons are off; another tenant finds nothing; a foreign form is refused."""
    path = await started(world)
    viewer = await browser_for(world, await world.token_of("viewer"))
    page = (await viewer.get(path)).text
    assert f'href="{path}/rollback"' not in page
    assert 'aria-disabled="true">Roll back' in page
    other = await browser_for(world, await world.second_tenant())
    assert (await other.get(path)).status_code == 404
    assert "No release set yet." in (await other.get("/release-sets")).text
    c = await browser_for(world)
    assert (await c.post(f"{path}/rollback", data={"reason": "x", "csrf": "0"})).status_code == 403
    assert "릴리스 세트" in (await c.get("/release-sets?lang=ko")).text


async def test_a_freeze_that_is_on_is_on_the_lists(world):
    """Above what runs, and among all freezes; a deployment that it holds can be overridden on its page."""
    await world.service()
    async with world.client() as c:
        freeze = {"from": "sat 00:00", "until": "mon 08:00", "reason": "nobody is in the office"}
        assert (await c.put("/freezes/weekend", json=freeze)).status_code == 201
    identity = await world.canary()
    c = await browser_for(world)
    assert "❄ weekend: frozen until" in (await c.get("/")).text
    assert "sat 00:00 until mon 08:00 (UTC) · every service" in (await c.get("/release-sets")).text
    assert f'href="/deployments/{identity}/override-freeze"' in (await c.get(f"/deployments/{identity}")).text
