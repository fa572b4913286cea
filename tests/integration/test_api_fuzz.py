"""The whole OpenAPI, fuzzed: no call answers with a server error or something it does not describe."""

from __future__ import annotations

import asyncio

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance

from serinus.api import create_app
from serinus.bootstrap.build import build
from serinus.settings import Settings

#: Streams never end by themselves; they have tests of their own.
STREAMS = "stream"


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory):
    """Return the API over a database with a service and a running canary, and its schema."""
    plane_settings = Settings(data_dir=tmp_path_factory.mktemp("fuzz"))
    running = build(plane_settings, notifiers={})
    loops, running.loops = running.loops, ()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(running.start())
    app = create_app(running.plane)
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", app)
    yield app, schema, running.first_token
    loop.run_until_complete(running.stop())
    loop.close()
    assert loops


schema = schemathesis.pytest.from_fixture("api_schema")


@pytest.fixture
def api_schema(fuzzed):
    """Return the schema without its endless streams."""
    return fuzzed[1].exclude(path_regex=STREAMS)


@schema.parametrize()
@settings(
    max_examples=25,
    derandomize=True,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_no_call_breaks(case, fuzzed):
    """Whatever is sent, the answer is described and is no server error."""
    headers = {"Authorization": f"Bearer {fuzzed[2]}"}
    answer = case.call(headers=headers)
    case.validate_response(answer, checks=[not_a_server_error, response_schema_conformance])
