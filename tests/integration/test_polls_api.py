"""Proxies that poll, by the API: who may, what is refused, and what their questions are taken for."""

from __future__ import annotations

import json

import pytest

ROOT = "http://serinus/v3/discovery:"
TRAEFIK = "/services/checkout/instances/edge-2/traefik"
POLLED = {"drivers": ["envoy", "traefik"], "polled": {"envoy": {}, "traefik": {}}}


def question(version: str = "", name: str = "edge-1", service: str = "checkout", **more) -> dict:
    """Return what an Envoy asks with."""
    built = {"version": {"major_number": 1, "minor_number": 40}}
    node = {"id": name, "cluster": service, "user_agent_build_version": built}
    return {"node": node, "version_info": version, **more}


async def furnish(world, **config) -> str:
    """Make a service whose proxies poll; return their token."""
    await world.service(
        driver="agents",
        driver_config={**POLLED, **config},
        upstreams={"v1": ["10.0.0.1:80"], "v2": ["10.0.0.2:80"]},
    )
    await world.tick()
    return await world.token_of("agent")


class Envoy:
    """Asks for clusters, then for routes, and takes every answer."""

    def __init__(self, world, token: str, name: str = "edge-1") -> None:
        self.world, self.token, self.name = world, token, name
        self.versions = {"clusters": "", "routes": ""}

    async def asks(self, *kinds: str, takes: bool = True) -> list[int]:
        """Ask; return the statuses of the answers."""
        statuses = []
        async with self.world.client(self.token) as c:
            for kind in kinds or ("clusters", "routes", "clusters", "routes", "clusters", "routes"):
                answer = await c.post(ROOT + kind, json=question(self.versions[kind], self.name))
                statuses.append(answer.status_code)
                if answer.status_code == 200 and takes:
                    self.versions[kind] = answer.json()["version_info"]
        return statuses


async def instances(world) -> dict[str, dict]:
    """Return the list of instances, by name."""
    async with world.client() as c:
        return {i["name"]: i for i in (await c.get("/services/checkout/instances")).json()["instances"]}


@pytest.mark.parametrize("role", ["sdk", "agent", "viewer", "approver", "admin"])
async def test_only_agents_may_poll(world, role):
    """People do not acknowledge, nor do applications."""
    await furnish(world)
    expected = 200 if role in ("agent", "admin") else 403
    async with world.client(await world.token_of(role)) as c:
        assert (await c.post(f"{ROOT}clusters", json=question())).status_code == expected
        assert (await c.get(TRAEFIK)).status_code == expected
    assert set(await instances(world)) == ({"edge-1", "edge-2"} if expected == 200 else {"fleet"})


async def test_without_a_token_or_from_another_tenant_there_is_nothing(world):
    """And nobody is registered by it."""
    await furnish(world)
    for token, status in (("", 401), ("srn_wrong", 401), (await world.second_tenant(), 404)):
        async with world.client(token) as c:
            assert (await c.post(f"{ROOT}clusters", json=question())).status_code == status
            assert (await c.get(TRAEFIK)).status_code == status
    assert set(await instances(world)) == {"fleet"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{nan", "body"),
        (b"[]", "body"),
        ({"node": 5}, "node"),
        ({"node": {"id": "edge-1"}}, "node.cluster"),
        (question(name=""), "node.id"),
        (question(name="a|b"), "instance"),
        (question(name="x" * 101), "instance"),
        ({**question(), "version_info": 5}, "version_info"),
        ({**question(), "error_detail": "no"}, "error_detail"),
    ],
)
async def test_a_question_that_is_none_is_refused(world, body, field):
    """With its place, and nobody is registered by it."""
    token = await furnish(world)
    async with world.client(token) as c:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = await c.post(f"{ROOT}clusters", content=content)
        assert (answer.status_code, answer.json()["field"]) == (400, field)
        assert answer.json()["next_step"]
    assert set(await instances(world)) == {"fleet"}


async def test_what_an_envoy_does_not_get_here_is_said(world):
    """Its listeners are in its own bootstrap."""
    token = await furnish(world)
    async with world.client(token) as c:
        for kind in ("listeners", "endpoints", "secrets"):
            answer = await c.post(ROOT + kind, json=question())
            assert answer.status_code == 404
            assert "only clusters and routes" in answer.json()["detail"]


async def test_a_service_has_to_say_that_its_proxies_may_poll(world):
    """Else their settings would be anybody's guess."""
    await world.service("other", driver="agents", driver_config={"drivers": ["envoy"]})
    await world.service("in-process")
    async with world.client() as c:
        refused = await c.post(f"{ROOT}routes", json=question(service="other"))
        assert refused.status_code == 409
        assert refused.json()["next_step"].startswith('Add "polled": {"envoy": {}} to its driver_config')
        assert (await c.post(f"{ROOT}routes", json=question(service="in-process"))).status_code == 409
        assert (await c.post(f"{ROOT}routes", json=question(service="none"))).status_code == 404


async def test_before_anything_is_wanted_a_proxy_is_told_to_wait(world):
    """It is listed all the same."""
    await world.service(driver="agents", driver_config=POLLED)
    async with world.client(await world.token_of("agent")) as c:
        answer = await c.post(f"{ROOT}clusters", json=question())
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert (await instances(world))["edge-1"]["problem"] == "nothing is wanted of it yet"


async def test_an_envoy_follows_when_it_names_what_it_was_given(world):
    """Clusters before routes; then there is nothing new until a share changes."""
    token = await furnish(world)
    envoy = Envoy(world, token)
    assert await envoy.asks() == [200, 304, 304, 200, 304, 304]
    (one,) = (await instances(world)).values()
    told = {k: one[k] for k in ("state", "carried_percentage", "driver", "polls", "release")}
    assert told == {
        "state": "follows",
        "carried_percentage": 0,
        "driver": "envoy",
        "polls": True,
        "release": "1.40.0",
    }
    identity = await world.canary(pct=5)
    await world.tick()
    assert (await instances(world))["edge-1"]["state"] == "pending"
    assert await envoy.asks("routes", "clusters", "clusters", "routes", "routes") == [304, 200, 304, 200, 304]
    assert (await instances(world))["edge-1"]["carried_percentage"] == 5
    await world.tick()
    async with world.client() as c:
        proxy = (await c.get(f"/deployments/{identity}/page")).json()["deployment"]["proxy"]
    assert proxy["acknowledged"]


async def test_a_deployment_holds_and_names_who_refuses(world):
    """At once when it is sure, with what is known of the reason; and goes on when it follows."""
    token = await furnish(world)
    envoy = Envoy(world, token)
    await envoy.asks()
    identity = await world.canary(pct=5)
    await world.tick()
    await envoy.asks("clusters", "clusters", "clusters", takes=False)
    await world.tick()
    async with world.client() as c:
        sentence = (await c.get(f"/deployments/{identity}")).json()["sentence"]
        assert sentence.startswith(
            "Holding at 5 %: the split is not carried: edge-1: Envoy was given new clusters 2 times and "
        )
        await envoy.asks()
        await world.tick()
        sentence = (await c.get(f"/deployments/{identity}")).json()["sentence"]
        assert "the split is not carried" not in sentence
        told = [e["message"] for e in (await c.get(f"/deployments/{identity}/events")).json()["events"]]
        assert any(message.startswith("edge-1 follows again after") for message in told)


async def test_a_traefik_follows_when_it_comes_again(world):
    """Its polls tell no more; after a silence it may have been started again, so once is not enough."""
    token = await furnish(world)
    async with world.client(token) as c:
        first = await c.get(TRAEFIK)
        assert first.json()["http"]["routers"]["entry"]["service"] == "v1"
        assert (await instances(world))["edge-2"]["state"] == "pending"
        await c.get(TRAEFIK)
        assert (await instances(world))["edge-2"]["state"] == "follows"
        world.clock.pass_(11)
        assert (await instances(world))["edge-2"]["problem"].startswith("silent since 12:00:02 UTC, when it")
        assert "the proxy's own log" in (await instances(world))["edge-2"]["problem"]
        await c.get(TRAEFIK)
        assert (await instances(world))["edge-2"]["state"] == "pending"
        await c.get(TRAEFIK)
        assert (await instances(world))["edge-2"]["state"] == "follows"


async def test_a_traefik_whose_api_is_named_has_to_show_it(world):
    """That it polls is no proof then; one whose API does not answer has its time, and is named."""
    edge = {"name": "edge-2", "admin": "http://127.0.0.1:1"}
    token = await furnish(world, polled={"traefik": {"instances": [edge]}})
    async with world.client(token) as c:
        for _ in range(3):
            await c.get(TRAEFIK)
        assert (await instances(world))["edge-2"]["state"] == "pending"
        for _ in range(12):
            world.clock.pass_(1)
            await c.get(TRAEFIK)
    found = (await instances(world))["edge-2"]
    assert found["state"] == "late"
    assert "its API does not answer at http://127.0.0.1:1" in found["problem"]


async def test_a_proxy_that_polls_and_an_agent_do_not_share_a_name(world):
    """Whoever is there has it."""
    token = await furnish(world)
    report = {"run": "r1", "seq": 1, "driver": "envoy"}
    async with world.client(token) as c:
        assert (await c.put("/services/checkout/instances/edge-1", json=report)).status_code == 200
        refused = await c.post(f"{ROOT}clusters", json=question())
        assert (refused.status_code, refused.json()["detail"]) == (409, "An agent reports as edge-1.")
        forged = {**report, "run": "polls", "seq": 2}
        assert (await c.put("/services/checkout/instances/edge-1", json=forged)).status_code == 400
        world.clock.pass_(11)
        assert (await c.post(f"{ROOT}clusters", json=question())).status_code == 200
        late = await c.put("/services/checkout/instances/edge-1", json={**report, "seq": 2})
        assert late.status_code == 409


async def test_an_agent_cannot_make_us_remember(world):
    """What is kept of a proxy's polls is the control plane's own."""
    token = await furnish(world)
    forged = {"run": "r1", "seq": 1, "driver": "envoy", "memory": {"given": "x"}}
    async with world.client(token) as c:
        assert (await c.put("/services/checkout/instances/edge-1", json=forged)).status_code == 200
    plane = world.running.plane
    async with plane.context.store.begin(write=False) as tx:
        service = await tx.services.get((await tx.tenants.all())[0].id, "checkout")
        assert (await tx.fleet.instance(service.id, "edge-1")).report.memory == {}
        assert await tx.fleet.instance(service.id, "edge-9") is None


async def test_a_poll_without_news_writes_nothing(world):
    """Until a report is due: a fleet polls often."""
    token = await furnish(world)
    envoy = Envoy(world, token)
    await envoy.asks()
    seen = (await instances(world))["edge-1"]["seen_at"]
    world.clock.pass_(1.5)
    await envoy.asks()
    assert (await instances(world))["edge-1"]["seen_at"] == seen
    world.clock.pass_(1)
    await envoy.asks("routes")
    assert (await instances(world))["edge-1"]["seen_at"] > seen


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"polled": {"haproxy": {}}, "drivers": ["haproxy"]}, "driver_config.polled.haproxy"),
        ({"polled": {"envoy": {}}, "drivers": ["traefik"]}, "driver_config.polled"),
        ({"polled": {"envoy": {"listen": "x"}}}, "driver_config.polled.envoy.listen"),
        ({"polled": {"envoy": {"wieghts": 1}}}, "driver_config.polled.envoy.wieghts"),
        ({"polled": {"traefik": {"poll_seconds": 0}}}, "driver_config.polled.traefik.poll_seconds"),
        ({"polled": {"envoy": 5}}, "driver_config.polled.envoy"),
    ],
)
async def test_settings_that_cannot_be_are_refused(world, config, field):
    """When the service is made, each with its place."""
    body = {"name": "x", "stable_version": "v1", "driver": "agents", "driver_config": {**POLLED, **config}}
    async with world.client() as c:
        answer = await c.post("/services", json=body)
    assert (answer.status_code, answer.json()["field"]) == (400, field)
    assert answer.json()["next_step"]
