"""``serinus ruleset …``: from a file to an answer, with a diff where one is needed."""

from __future__ import annotations

import asyncio
import json

from rulebook import BROKEN, CASES, GENEROUS, PRICING, table


async def test_from_two_files_to_a_canary_that_answers(tools):
    """Create, list, show, test, compare, roll out, execute."""
    for name, text in (("v1.star", PRICING), ("v2.star", GENEROUS), ("cases.json", json.dumps(CASES))):
        (tools.folder / name).write_text(text)
    said = await tools.run("ruleset", "create", "prices", "v1", "v1.star", "--cases", "@cases.json")
    assert said.startswith("✔ prices v1 is stored as sha256:")
    await tools.run("ruleset", "create", "prices", "v2", "v2.star", "--changelog", "20 % from 100 on")
    assert "prices" in await tools.run("ruleset", "list")
    shown = (await tools.run("ruleset", "show", "prices")).splitlines()
    assert [line.split()[0] for line in shown] == ["v2", "v1"]
    assert "20 % from 100 on" in shown[0]
    assert "stable" in shown[1]

    failing = await tools.run("ruleset", "test", "prices", code=1)
    assert "✘ a big order" in failing
    assert "$.discount: expected 0.1, got 0.2" in failing
    given = ("--input", '{"amount": 200}', "--expect", '{"discount": 0.2}')
    assert "✔ v2 in " in await tools.run("ruleset", "test", "prices", *given)

    changed = await tools.run("ruleset", "diff", "prices", "v1", "v2", code=1)
    assert '-     return {"discount": 0.1 if input["amount"] > 100 else 0}' in changed
    assert await tools.run("ruleset", "diff", "prices", "v1", "v1") == "The rules are the same.\n"

    refused = await tools.run("rollout", "start", "prices", "v2", "--percentage", "100", code=4)
    assert "1 of 1 test cases of prices v2 fail" in refused
    (tools.folder / "cases.json").write_text("[]")
    await tools.run("ruleset", "create", "prices", "v3", "v2.star", "--cases", "@cases.json")
    await tools.run("rollout", "start", "prices", "v3", "--percentage", "100")
    answer = await tools.data("ruleset", "execute", "prices", "--input", '{"amount": 200}', "--user", "ada")
    assert (answer["output"], answer["version"], answer["is_canary"]) == ({"discount": 0.2}, "v3", True)


async def test_what_failed_is_read_in_a_terminal(tools):
    """Health names the command; it shows input, error and version of each."""
    for name, text in (("v1.star", PRICING), ("v2.star", BROKEN)):
        (tools.folder / name).write_text(text)
    await tools.run("ruleset", "create", "fees", "v1", "v1.star")
    await tools.run("ruleset", "create", "fees", "v2", "v2.star")
    started = await tools.data("rollout", "start", "fees", "v2", "--percentage", "100")
    for n in range(6):
        given = ("--input", '{"amount": 200, "email": "ada@example.com"}', "--user", f"user-{n}")
        await tools.run("ruleset", "execute", "fees", *given)
    failed = ("--failed", "--canary", "--deployment", started["deployment_id"])
    for _ in range(100):
        listed = await tools.run("ruleset", "executions", "fees", *failed)
        if "5 of 5" in listed:
            break
        await asyncio.sleep(0.1)
    assert listed.count("v2 (canary)") == 5
    assert "→ error: fail: no price for ada@example.com (line 2)" in listed
    watched = await tools.run("rollout", "status", started["deployment_id"])
    assert f"serinus ruleset executions fees {' '.join(failed)}" in watched.replace("\n", " ")


async def test_paths_to_redact_are_added_with_a_later_version_too(tools):
    """Whoever names one may rely on it; those that were named before stay."""
    (tools.folder / "v1.star").write_text(PRICING)
    (tools.folder / "v2.star").write_text(GENEROUS)
    await tools.run("ruleset", "create", "secretive", "v1", "v1.star", "--redact", "card")
    await tools.run("ruleset", "create", "secretive", "v2", "v2.star", "--redact", "customer.email")
    shown = await tools.data("ruleset", "show", "secretive")
    assert shown["redact"] == ["card", "customer.email"]


async def test_a_decision_table_comes_from_a_json_file(tools):
    """And what is wrong with one is told by its row."""
    (tools.folder / "table.json").write_text(json.dumps(table()))
    await tools.run("ruleset", "create", "tabled", "v1", "table.json")
    said = await tools.run("ruleset", "execute", "tabled", "--input", '{"amount": 200}')
    assert "v1 (stable)" in said
    (tools.folder / "bad.json").write_text(json.dumps(table(rows=[("> > 1", "0")])))
    refused = await tools.run("ruleset", "create", "tabled", "v2", "bad.json", code=4)
    assert "row 1: '> > 1' does not parse" in refused
    typo = await tools.run("ruleset", "execute", "tabled", "--input", "{amount", code=2)
    assert "is no JSON" in typo
