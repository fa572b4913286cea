"""The middlewares, as an application and its server see them."""

from __future__ import annotations

import asyncio

import pytest

from serinus.core.bucketing import bucket_of
from serinus.sdk import Client
from serinus.sdk.asgi import SerinusMiddleware
from serinus.sdk.inapp import CanaryMiddleware
from serinus.sdk.router import CanaryRouter, DeploymentVersion, MetricsCollector
from serinus.sdk.wsgi import SerinusMiddleware as WsgiMiddleware

DEPLOYMENT = {"id": "dep_1", "version": "v2", "salt": "dep_1", "weight_bp": 5000, "stickiness": "hash"}
SNAPSHOT = {"services": {"checkout": {"stable": "v1", "deployment": DEPLOYMENT}}}
#: Users in any script, half of them on the canary.
USERS = [f"사용자-{n}" for n in range(20)]


def request(path: str = "/", **headers: str) -> dict:
    """Return a request's scope as a server makes it: header names in lower case, values as bytes."""
    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": "GET", "path": path, "headers": given}


async def received(message):
    """Take an answer and do nothing with it."""


def test_a_user_is_on_the_same_version_behind_wsgi_whatever_the_script():
    """WSGI hands headers over as Latin-1; the id is what was sent, as everywhere else."""
    served = []

    def app(environ, start_response):
        served.append(environ["serinus"].is_canary)
        start_response("200 OK", [])
        return []

    middleware = WsgiMiddleware(app, client=Client(url="", snapshot=SNAPSHOT), service="checkout")
    for user in USERS:
        list(middleware({"HTTP_X_USER_ID": user.encode().decode("latin-1")}, lambda *_: None))
    assert served == [bucket_of("dep_1", user) < 5000 for user in USERS]


async def test_a_header_is_found_however_its_name_is_spelled():
    """Header names have no case."""
    served = []

    async def app(scope, receive, send):
        served.append(scope["serinus"].is_canary)
        await send({"type": "http.response.start", "status": 200, "headers": []})

    client = Client(url="", snapshot=SNAPSHOT)
    middleware = SerinusMiddleware(app, client=client, service="checkout", user_header="X-User-Id")
    for user in USERS:
        await middleware(request(x_user_id=user), None, received)
    assert served == [bucket_of("dep_1", user) < 5000 for user in USERS]


async def test_the_routers_header_is_found_however_its_name_is_spelled():
    """Header names have no case."""
    served = []

    async def app(scope, receive, send):
        served.append(scope["canary_version"])

    router = CanaryRouter(100)
    middleware = CanaryMiddleware(app, router=router, collector=MetricsCollector(), user_header="X-Account")
    await middleware(request(x_account="ada"), None, received)
    assert served == [DeploymentVersion.CANARY]


async def test_an_answer_that_breaks_off_is_an_error():
    """It began well, with a 200; the client did not get it."""
    collector = MetricsCollector()

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("the database went away")

    middleware = CanaryMiddleware(app, router=CanaryRouter(100), collector=collector)
    with pytest.raises(RuntimeError, match="went away"):
        await middleware(request(x_user_id="ada"), None, received)
    assert collector.get_metrics_summary()["canary"]["error_count"] == 1


@pytest.mark.parametrize("begun", [False, True], ids=["before an answer", "in the middle of one"])
async def test_a_client_that_leaves_is_no_error(begun):
    """The server cancels the request; the version has done nothing wrong, and was not proven well either."""
    client, collector = Client(url="http://127.0.0.1:1", token="t", snapshot=SNAPSHOT), MetricsCollector()
    asked = asyncio.Event()

    async def app(scope, receive, send):
        if begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        asked.set()
        await asyncio.Event().wait()

    for middleware in (
        SerinusMiddleware(app, client=client, service="checkout"),
        CanaryMiddleware(app, router=CanaryRouter(100), collector=collector),
    ):
        asked.clear()
        task = asyncio.create_task(middleware(request(x_user_id="ada"), None, received))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    ((requests, errors, _),) = client.recorder("checkout").drain().values()
    client.close()
    assert (requests, errors) == (1, 0)
    assert collector.get_metrics_summary()["canary"]["error_count"] == 0


def test_a_client_that_leaves_does_not_calm_the_breaker():
    """Failures in a row stay in a row while clients give up on a version that hangs."""
    client = Client(url="", snapshot=SNAPSHOT)
    user = next(user for user in USERS if bucket_of("dep_1", user) < 5000)
    for status in (500, 499, 500, 499, 500, 499, 500, 499, 500):
        client.record("checkout", client.service("checkout").expose(user), "/", status, 1.0)
    assert not client.service("checkout").expose(user).is_canary
