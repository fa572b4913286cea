"""What the documents show runs, and the two READMEs stay in step."""

from __future__ import annotations

import base64
import re
import time
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from serinus.bootstrap.proxies import who_can_what
from serinus.cli.drivers import markdown
from serinus.control.desk import ChannelPlan, Plan, Quiet, Route, read_plan
from serinus.drivers.catalog import NOTIFIERS
from serinus.drivers.notify.webhook import sign
from serinus.drivers.traffic.envoy import EnvoyConfig
from serinus.drivers.traffic.haproxy import HaproxyConfig
from serinus.drivers.traffic.nginx import NginxConfig, ReloadConfig
from serinus.drivers.traffic.nginx.config import Common
from serinus.drivers.traffic.traefik import TraefikConfig
from serinus.ports.fleet import FleetConfig

ROOT = Path(__file__).parents[2]
PAGES = [
    "README.md",
    "README.ko.md",
    "docs/assignments.md",
    "docs/in-app.md",
    "docs/judge.md",
    "docs/notifications.md",
    "docs/rulesets.md",
]


@pytest.mark.parametrize("page", PAGES)
def test_python_in_the_documents_runs(page):
    """Every python block, from top to bottom."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert blocks
    space: dict = {}
    for block in blocks:
        exec(compile(block, page, "exec"), space)


def test_the_readmes_have_the_same_shape():
    """The same commands, the same number of headings, the same links."""
    one, two = ((ROOT / name).read_text() for name in ("README.md", "README.ko.md"))
    for pattern in (r"^#+ ", r"\]\((?!README)([^)]+)\)", r"^serinus [^#\n]*[a-z]", r"^make \w+"):
        assert len(re.findall(pattern, one, re.MULTILINE)) == len(re.findall(pattern, two, re.MULTILINE)), (
            pattern
        )


def test_links_lead_somewhere():
    """Every relative link of every document."""
    for page in [ROOT / "README.md", ROOT / "README.ko.md", *ROOT.glob("docs/**/*.md")]:
        for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text()):
            assert (page.parent / link).exists(), (page.name, link)


def test_every_variable_of_a_channel_is_documented():
    """Drivers and their page name the same variables."""
    source = "".join(p.read_text() for p in (ROOT / "src/serinus/drivers/notify").glob("*.py"))
    names = set(
        re.findall(r'"((?:SLACK|SMTP|EMAIL|ALERT|PAGERDUTY|TWILIO|WEBHOOK|APPRISE)_[A-Z_]+)"', source)
    )
    page = (ROOT / "docs/notifications.md").read_text()
    assert [n for n in names if n not in page] == []


def test_the_file_of_routes_in_the_documents_is_read_and_every_setting_is_there():
    """The example is one that ``serinus up`` takes; the table names each setting."""
    page = (ROOT / "docs/notifications.md").read_text()
    example = yaml.safe_load(re.search(r"```yaml\n(.*?)```", page, re.DOTALL)[1])
    plan = read_plan(example, tuple(NOTIFIERS))
    assert [route.channels for route in plan.routes][1] == ("pagerduty", "twilio")
    table = page[page.index("| setting |") :].partition("\n\n")[0]
    names = {f.name.rstrip("_") for f in fields(Plan)} | {f"routes[].{f.name}" for f in fields(Route)}
    names |= {f.name.rstrip("_") for kind in (Quiet, ChannelPlan) for f in fields(kind)}
    assert [name for name in names if f"`{name}`" not in table] == []


def test_the_webhook_check_in_the_documents_takes_what_we_sign():
    """And refuses another body."""
    page = (ROOT / "docs/notifications.md").read_text()
    space: dict = {}
    exec(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1], space)
    key, stamp = b"k" * 32, str(int(time.time()))
    secret = "whsec_" + base64.b64encode(key).decode()
    headers = {
        "webhook-id": "msg-1",
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,AAAA {sign(key, 'msg-1', stamp, b'{}')}",
    }
    assert space["verified"](headers, b"{}", secret)
    assert not space["verified"](headers, b"{ }", secret)


def test_the_table_of_what_drivers_can_is_what_the_code_says():
    """Put right by pasting what ``serinus drivers --markdown`` prints."""
    page = (ROOT / "docs/data-planes.md").read_text()
    shown = re.search(r"<!-- capabilities: .* -->\n(.*?)\n<!-- end -->", page, re.DOTALL)
    assert shown
    assert shown[1] == markdown(who_can_what())


@pytest.mark.parametrize(
    ("page", "config"),
    [
        ("data-planes.md", EnvoyConfig),
        ("haproxy.md", HaproxyConfig),
        ("nginx.md", NginxConfig),
        ("traefik.md", TraefikConfig),
    ],
)
def test_every_setting_of_a_proxy_is_documented(page, config):
    """And none that does not exist any more."""
    text = (ROOT / "docs" / page).read_text()
    table = text[text.index("| setting |") :].partition("\n\n")[0]
    named = set(re.findall(r"`(\w+)`", "\n".join(row.split("|")[1] for row in table.splitlines())))
    assert named | {"instances"} == {f.name for f in fields(config)}


def test_every_setting_of_a_fleet_is_documented():
    """And none that does not exist any more."""
    page = (ROOT / "docs/fleets.md").read_text()
    table = page[page.index("| setting |") :].partition("\n\n")[0]
    named = set(re.findall(r"`(\w+)`", "\n".join(row.split("|")[1] for row in table.splitlines())))
    assert named == {f.name for f in fields(FleetConfig)}


def test_every_setting_of_plain_nginx_is_documented():
    """The second table of its page has what only the plain one takes."""
    table = (ROOT / "docs/nginx.md").read_text().split("| setting |")[2].partition("\n\n")[0]
    named = set(re.findall(r"`(\w+)`", "\n".join(row.split("|")[1] for row in table.splitlines()[2:])))
    assert named == {f.name for f in fields(ReloadConfig)} - {f.name for f in fields(Common)}


def test_no_path_of_a_machine_and_no_registry_is_in_the_repository():
    """Locks, scripts and docs are for any machine."""
    for path in [
        *ROOT.glob("*.lock"),
        *ROOT.glob("*.md"),
        *ROOT.glob("scripts/*"),
        ROOT / "Makefile",
        ROOT / "pyproject.toml",
    ]:
        text = path.read_text()
        for trace in ("/root/", "/work/", "pypi.org", "find-links", "extra-index"):
            if path.name == "lock.sh" and trace == "find-links":
                continue
            assert trace not in text, (path.name, trace)
