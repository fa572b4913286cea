"""The middlewares, as an application and its server see them."""

from __future__ import annotations

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
