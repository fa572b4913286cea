"""The whole OpenAPI, fuzzed against a running server: no server error, nothing that it does not describe."""

from __future__ import annotations

import threading
import time

import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance

from serinus.bootstrap.build import build, create_app
from serinus.settings import Settings

#: Cases per operation.
EXAMPLES = 30


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Return URL and token of a control plane whose loops run."""
    plane_settings = Settings(data_dir=tmp_path_factory.mktemp("fuzz"))
    running = build(plane_settings, notifiers={})
    app = create_app(plane_settings, running)
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, access_log=False)
    made = uvicorn.Server(config)
    thread = threading.Thread(target=made.run, daemon=True)
    thread.start()
    while not made.started:
        time.sleep(0.01)
    port = made.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}", running.first_token
    made.should_exit = True
    thread.join(10)


@pytest.mark.timeout(300)
def test_no_call_of_the_api_breaks(server):
    """Every operation but the endless streams, valid and invalid input, derandomised."""
    url, token = server
    headers = {"Authorization": f"Bearer {token}"}
    schema = schemathesis.openapi.from_url(f"{url}/api/v1/openapi.json").exclude(path_regex="stream$")
    tried = 0
    for result in schema.get_all_operations():
        operation = result.ok()

        @given(case=operation.as_strategy())
        @settings(
            max_examples=EXAMPLES,
            derandomize=True,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def fuzz(case):
            answer = case.call(base_url=url, headers=headers)
            case.validate_response(answer, checks=[not_a_server_error, response_schema_conformance])

        fuzz()
        tried += 1
    assert tried > 25
