"""What the pages show of strategies, and what their buttons do, without scripts."""

from __future__ import annotations

import re
from datetime import timedelta

from browsing import browser_for

#: The tests begin on a Saturday at noon.
WEEKEND = {"windows": [{"name": "weekend", "from": "sat 00:00", "until": "mon 08:00"}]}
GATED = {
    "mode": "auto",
    "steps": [
        {"traffic_percentage": 90, "hold_seconds": 0, "gate": {"role": "admin"}},
        {"traffic_percentage": 100, "hold_seconds": 60, "manual": True},
    ],
    "rollback": {"steps": [50], "seconds": 60},
}


async def drafted(world, strategy: dict, verb: str = "start-canary", **body) -> str:
    """Make and start a deployment; return its page's path."""
    await world.service()
    async with world.client() as c:
        new = {"service_id": "checkout", "version": "v2", "analysis": {"checks": [], "only": True}}
        made = await c.post("/deployments", json={**new, "strategy": strategy})
        path = f"/deployments/{made.json()['deployment_id']}"
        begun = await c.post(f"{path}/{verb}", json=body)
        assert begun.status_code == 200, begun.text
    await world.tick()
    return path


async def press(c, path: str, action: str, **form: str) -> str:
    """Go through a button's page; return the deployment's page afterwards."""
    confirm = await c.get(f"{path}/{action}")
    assert confirm.status_code == 200, confirm.text
    token = re.search(r'name="csrf" value="([0-9a-f]+)"', confirm.text)[1]
    done = await c.post(f"{path}/{action}", data={**form, "csrf": token})
    assert done.status_code == 303, done.text
    return (await c.get(path)).text


async def test_a_gate_is_approved_with_a_reason_and_a_way_back_is_shortened(world):
    """The steps show their gates; who approved and why is on the timeline."""
    path = await drafted(world, GATED)
    c = await browser_for(world)
    page = (await c.get(path)).text
    assert "waits at 90 % for an approval by the role admin" in page
    assert "gate (admin)" in page
    assert "by hand" in page
    approver = await browser_for(world, await world.token_of("approver"))
    token = re.search(r'name="csrf" value="([0-9a-f]+)"', (await approver.get(f"{path}/approve")).text)[1]
    refused = await approver.post(f"{path}/approve", data={"csrf": token})
    assert (refused.status_code, "Ask somebody with the role admin." in refused.text) == (403, True)
    page = await press(c, path, "approve", reason="the dashboards look well")
    assert "Approved at 90 % by first admin: the dashboards look well" in page
    page = await press(c, path, "rollback", reason="invoices are wrong")
    assert "Going back at 50 %, then 0 %: invoices are wrong" in page
    assert f'href="{path}/promote"' not in page
    page = await press(c, path, "rollback", reason="now", force="yes")
    assert "Rolled back from 50 % to v1: now" in page


async def test_a_scheduled_start_is_shown_and_cancelled(world):
    """It is among what runs, with its time."""
    at = (world.clock.now() + timedelta(hours=1)).isoformat()
    path = await drafted(world, {}, "schedule", start_at=at)
    c = await browser_for(world)
    assert "v2 starts at 2026-01-31 13:00:00 UTC." in (await c.get("/")).text
    assert "it is a draft again" in await press(c, path, "cancel")


async def test_a_freeze_is_overridden_by_an_admin_with_a_reason(world):
    """An approver is refused; the reason is required and shown."""
    path = await drafted(world, {"freeze": WEEKEND})
    c = await browser_for(world)
    assert "weekend: frozen until 2026-02-02 08:00 UTC." in (await c.get(path)).text
    approver = await browser_for(world, await world.token_of("approver"))
    token = re.search(r'name="csrf" value="([0-9a-f]+)"', (await approver.get(f"{path}/cancel")).text)[1]
    refused = await approver.post(f"{path}/override-freeze", data={"csrf": token, "reason": "mine"})
    assert refused.status_code == 403
    page = await press(c, path, "override-freeze", reason="a security fix")
    assert "Freezes are overridden for v2: a security fix" in page


async def test_each_candidate_is_on_the_page_and_one_is_chosen(world):
    """Their numbers side by side; the promotion asks which, in the reader's language."""
    names = [{"version": "v2"}, {"version": "v3"}]
    path = await drafted(world, {"type": "ab", "candidates": names, "mode": "manual"}, canary_pct=20)
    identity = path.rsplit("/", 1)[1]
    await world.serve(identity, "stable", 80, 1, version="v1")
    await world.serve(identity, "canary", 20, 0, version="v2")
    await world.serve(identity, "canary", 30, 3, version="v3")
    c = await browser_for(world)
    page = (await c.get(path)).text
    assert "v2 and v3</h1>" in page
    assert "v2 and v3 cannot be told apart" in page
    for version, share in (("v2", "10 %"), ("v3", "10 %")):
        assert re.search(rf"<h3>{version} .*under test.*{share}", page), version
    assert re.search(r"requests</th><td>80</td><td>20</td><td>30</td>", page)
    assert "테스트 중" in (await c.get(f"{path}?lang=ko")).text
    page = await press(c, path, "rollback", reason="legal says no", version="v2")
    assert "v2 제외: legal says no. 그 사용자는 v1을(를) 사용하고 v3은(는) 계속됩니다." in page
    promote = (await c.get(f"{path}/promote?lang=en")).text
    assert re.search(r'<select id="version" name="version" required><option>v3</option></select>', promote)
    page = await press(c, path, "promote", version="v3", force="yes")
    assert "v3 promoted: everyone is on it." in page
