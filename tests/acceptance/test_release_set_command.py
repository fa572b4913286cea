"""Release sets and freezes on the command line, with a real server."""

from __future__ import annotations

import json
import time

SHOP = """\
name: {name}
members:
  - {{service: {name}-pricing, version: v2}}
  - {{service: {name}-ledger, version: v2}}
  - {{service: {name}-checkout, version: v2, order: 2}}
strategy: {{steps: [{{traffic_percentage: 100, hold_seconds: 0}}]}}
analysis: {{checks: [], only: true}}
canary_config: {{duration_minutes: 0}}
"""
WAVES = """\
name: {name} by region
service: {name}
version: v2
on_harm: all
waves:
  - {{regions: [eu], gate: true}}
  - {{regions: [us]}}
strategy: {{steps: [{{traffic_percentage: 100, hold_seconds: 0}}]}}
analysis: {{checks: [], only: true}}
canary_config: {{duration_minutes: 0}}
"""


def seen(tools, named: str, words: str) -> str:
    """Return a set's status once it has these words."""
    for _ in range(200):
        said = tools("release-set", "status", named)
        if words in said:
            return said
        time.sleep(0.05)
    raise AssertionError(said)


def furnish(tools, name: str, services: tuple[str, ...], text: str) -> None:
    """Make services on v1, and a file."""
    for service in services:
        tools("service", "create", service, "--stable", "v1")
    (tools.folder / f"{name}.yaml").write_text(text.format(name=name))


def test_a_release_set_from_its_file_to_its_end_and_back(tools):
    """Started, promoted stage after stage, and rolled back as a whole afterwards."""
    services = tuple(f"shop-{n}" for n in ("pricing", "ledger", "checkout"))
    furnish(tools, "shop", services, SHOP)
    said = tools("release-set", "start", "shop.yaml")
    assert "◐ running shop" in said
    assert "○ Stage 2" in said
    said = seen(tools, "shop", "● done shop")
    assert "Everything is promoted: shop-pricing v2, shop-ledger v2, shop-checkout v2." in said
    assert "● done shop" in tools("release-set", "list")
    tools("release-set", "rollback", "shop", "--reason", "invoices are wrong")
    said = seen(tools, "shop", "↩ rolled back shop")
    assert "Rolling back, in this order: shop-checkout, shop-ledger, shop-pricing." in said
    services = json.loads(tools("service", "list", "--json"))["services"]
    assert {s["stable_version"] for s in services if s["name"].startswith("shop-")} == {"v1"}
    refused = tools("release-set", "rollback", "shop", "--reason", "again", code=4)
    assert "There is nothing to roll back." in refused


def test_waves_wait_at_their_gate(tools):
    """Wave 1 is promoted by itself; wave 2 begins when somebody has said so."""
    furnish(tools, "pay", ("pay@eu", "pay@us"), WAVES)
    tools("release-set", "start", "pay.yaml")
    said = seen(tools, "pay by region", "Wave 2 of 2 (us) waits for an approval.")
    assert "✔" not in said.split("Wave 1")[0]
    said = tools("release-set", "approve", "pay by region", "--reason", "support is quiet")
    assert "Approved after Wave 1 of 2 (eu) by first admin: support is quiet" in said
    assert "pay@us v2  active" in seen(tools, "pay by region", "● done")


def test_a_wrong_file_is_told_by_its_line_and_a_wrong_service_by_its_name(tools):
    """Nothing is started either way."""
    (tools.folder / "wrong.yaml").write_text("name: x\nmembers:\n  - {service: a, versoin: v2}\n")
    said = tools("release-set", "start", "wrong.yaml", code=2)
    assert "wrong.yaml:3:" in said
    assert "did you mean 'version'?" in said
    (tools.folder / "unknown.yaml").write_text("name: x\nmembers:\n  - {service: nobody, version: v2}\n")
    said = tools("release-set", "start", "unknown.yaml", code=4)
    assert "nobody v2: There is no service 'nobody'." in said
    assert "serinus service create nobody" in said
    assert "There is no release set 'x'." in tools("release-set", "status", "x", code=4)


def test_a_freeze_of_the_tenant_is_set_seen_and_removed(tools):
    """It holds a start by hand; the list says which is on."""
    tools("service", "create", "icy", "--stable", "v1")
    when = ("--from", "2001-01-01 00:00", "--until", "2099-01-01 00:00")
    said = tools("freeze", "set", "quiet years", *when, "--service", "icy", "--reason", "nobody is there")
    assert "❄ on quiet years: 2001-01-01 00:00 until 2099-01-01 00:00 (UTC), icy" in said
    assert "quiet years: frozen until 2099-01-01" in tools("rollout", "start", "icy", "v2")
    assert "nobody is there (first admin) until 2099-01-01 00:00 UTC" in tools("freeze", "list")
    assert "is removed" in tools("freeze", "remove", "quiet years")
    assert "There is no freeze 'quiet years'." in tools("freeze", "remove", "quiet years", code=4)
    refused = tools("freeze", "set", "x", "--from", "soon", "--until", "later", "--reason", "y", code=4)
    assert "expected 16:00, fri 16:00, or 2026-12-20 00:00" in refused
