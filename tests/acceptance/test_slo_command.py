"""``serinus slo show``: budgets from a real Prometheus, and from what the control plane has recorded."""

from __future__ import annotations

import json

POLICY = """\
version: 1
name: shop
sources:
  prom: {{type: prometheus, url: "{url}"}}
requests:
  total: http_requests_total
  errors: http_requests_total{{status=~"5.."}}
  latency: http_request_duration_seconds_bucket
slos:
  - {{name: availability, objective: 99.5 %}}
  - {{name: p95 latency, objective: 95 %, under: 800ms}}
"""
TOTAL, FAILED = 'http_requests_total{status="200"}', 'http_requests_total{status="503"}'
FAST, ALL = (f'http_request_duration_seconds_bucket{{le="{le}"}}' for le in ("0.8", "+Inf"))


async def test_prometheus_is_asked_for_every_objective(tools, prometheus, tmp_path):
    """A spent budget exits with 1, and refuses the guard; one with enough left passes."""
    (tmp_path / "p.yaml").write_text(POLICY.format(url=prometheus.url))
    lines = prometheus.exporter.lines
    lines |= {TOTAL: 0, ALL: 0, FAST: 0}
    await prometheus.scraped()
    lines |= {TOTAL: 10_000, ALL: 10_000, FAST: 9_900}
    await prometheus.scraped()
    said = await tools.run("slo", "show", "--policy", "p.yaml", cwd=tmp_path)
    told = said.splitlines()
    assert told[0] == "shop  Prometheus prom"
    assert told[1].startswith("✔ availability: objective 99.5 % over 30d; 100 % of 1")
    assert told[1].endswith("requests, 100 % of the error budget is left")
    assert told[2].startswith("  burns  1h 0 × (at most 14.4)   6h 0 × (at most 6)")
    assert told[3].startswith("✔ p95 latency: objective 95 % within 800ms over 30d; 99 % of")
    assert told[3].endswith("80 % of the error budget is left")
    lines |= {FAILED: 0}
    await prometheus.scraped()
    lines |= {FAILED: 1_000}
    await prometheus.scraped()
    said = await tools.run("slo", "show", "--policy", "p.yaml", cwd=tmp_path, code=1)
    assert "✘ availability: objective 99.5 % over 30d; " in said
    assert "the error budget is spent" in said
    (tmp_path / "g.yaml").write_text('{"version": 1, "slos": "p.yaml", "tag": "off"}')
    said = await tools.run("guard", "check", "g.yaml", cwd=tmp_path, code=1)
    assert "└─ ✘ error budget availability: objective 99.5 % over 30d; " in said
    assert "Guard REFUSED by error budget" in said


def test_a_prometheus_that_does_not_answer_is_no_budget(tools, tmp_path):
    """Exit code 1 with its words; a file without objectives is told."""
    (tmp_path / "p.yaml").write_text(POLICY.format(url="http://127.0.0.1:1"))
    assert "sum(increase(http_requests_total[" in tools(
        "slo", "show", "--policy", "p.yaml", cwd=tmp_path, code=1
    )
    (tmp_path / "g.yaml").write_text('{"version": 1, "slos": "p.yaml"}')
    assert "Guard REFUSED by error budget" in tools("guard", "check", "g.yaml", cwd=tmp_path, code=1)
    (tmp_path / "q.yaml").write_text("version: 1\n")
    assert "q.yaml has no `slos`." in tools("slo", "show", "--policy", "q.yaml", cwd=tmp_path, code=2)


async def test_the_control_plane_has_what_it_recorded_during_rollouts(world):
    """Both sides' requests are the service's users; how much was measured is said."""
    await world.service()
    deployment = await world.canary()
    await world.serve(deployment, "stable", 900, errors=1, ms=50.0)
    await world.serve(deployment, "canary", 100, errors=1, ms=2000.0)
    async with world.client() as c:
        view = (await c.get("/services/checkout/slos")).json()
        tight = (await c.get("/services/checkout/slos", params={"errors": 0.001})).json()
        health = (await c.get("/services/checkout/health")).json()
        missing = await c.get("/services/nope/slos")
    assert view["measured_seconds"] == 10
    by_name = {s["name"]: s for s in view["slos"]}
    assert (by_name["errors"]["total"], by_name["errors"]["bad"], by_name["errors"]["spent"]) == (
        1000,
        2,
        0.4,
    )
    assert (by_name["p95 latency"]["bad"], by_name["p95 latency"]["exhausted"]) == (100, True)
    assert {s["name"]: s["exhausted"] for s in tight["slos"]}["errors"]
    assert health["rollout"]["deployment_id"] == deployment
    assert health["stable_metrics"]["total_requests"] == 900
    assert missing.status_code == 404
    assert json.dumps(view)
