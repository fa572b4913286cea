"""``serinus ruleset …``: make, list, show, test, execute and compare versions of business rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from serinus.cli.common import JsonFlag, api, handled, out, print_json
from serinus.core.ruletext import Line, rule_changes

__all__ = ["rulesets"]

CHANGE_SIGNS = {"gone": "-", "new": "+", "same": " ", "left_out": " "}

rulesets = typer.Typer(no_args_is_help=True, help="Versioned business rules that Serinus executes.")

Ruleset = Annotated[str, typer.Argument(help="The ruleset, by name or id.")]
VersionOption = Annotated[str, typer.Option("--version", help="Which version; the newest by default.")]
Input = Annotated[str, typer.Option("--input", help="JSON, or @FILE with it.")]


def _json(text: str, option: str) -> Any:
    """Return JSON that was typed, or that ``@FILE`` holds."""
    try:
        return json.loads(Path(text[1:]).read_text() if text.startswith("@") else text)
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"{text[:60]!r} is no JSON: {error}", param_hint=option) from None


def _rules(path: Path) -> tuple[str, Any]:
    """Return engine and rules of a file: ``.json`` is a decision model, everything else a script."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{path}: {error}", param_hint="FILE") from None
    return ("zen", _json(text, "FILE")) if path.suffix == ".json" else ("starlark", text)


@rulesets.command("create")
def create(
    name: Ruleset,
    version: Annotated[str, typer.Argument(help="The new version's name.")],
    file: Annotated[Path, typer.Argument(help="The rules: .json for zen, .star for starlark.")],
    changelog: Annotated[str, typer.Option("--changelog", help="What changed.")] = "",
    cases: Annotated[
        str,
        typer.Option("--cases", help="Test cases, JSON or @FILE; by default those of the version before."),
    ] = "",
    redact: Annotated[
        list[str] | None, typer.Option("--redact", help="A path in inputs that is never logged.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Store a version; the first one makes the ruleset and is its stable version."""
    with handled():
        engine, content = _rules(file)
        body: dict[str, Any] = {
            "version": version,
            "engine": engine,
            "content": content,
            "changelog": changelog,
        }
        if cases:
            body["test_cases"] = _json(cases, "--cases")
        client = api()
        known = {r["name"]: r["redact"] for r in client.get("/rulesets")["rulesets"]}
        if name in known:
            if missing := [path for path in redact or () if path not in known[name]]:
                client.patch(f"/rulesets/{name}", {"redact": [*known[name], *missing]})
            made = client.post(f"/rulesets/{name}/versions", body)
        else:
            made = client.post("/rulesets", {**body, "name": name, "redact": redact or []})
        if as_json:
            print_json(made)
            return
        out().print(f"[green]✔[/] {name} {version} is stored as {made['digest'][:19]}…", markup=True)
        if name in known:
            out().print(
                f"  next  serinus ruleset test {name}, then "
                f"serinus rollout run --service {name} --version {version}"
            )


@rulesets.command("list")
def list_rulesets(as_json: JsonFlag = False) -> None:
    """List rulesets."""
    with handled():
        found = api().get("/rulesets")
        if as_json:
            print_json(found)
            return
        for r in found["rulesets"]:
            out().print(f"{r['name']:<24} {r['stable_version'] or '–':<16} {r['ruleset_id']}")
        if not found["rulesets"]:
            out().print("No ruleset yet. Make one: serinus ruleset create NAME V1 FILE")


@rulesets.command("show")
def show(name: Ruleset, version: VersionOption = "", as_json: JsonFlag = False) -> None:
    """Show a ruleset's versions, or one version with its rules."""
    with handled():
        if version:
            found = api().get(f"/rulesets/{name}/versions/{version}")
            if as_json:
                print_json(found)
                return
            out().print(f"{name} {version} ({found['engine']}, {found['digest'][:19]}…) by {found['author']}")
            out().print(found["changelog"] or "no changelog", markup=False)
            out().print(_text(found), markup=False)
            return
        found = {**api().get(f"/rulesets/{name}"), **api().get(f"/rulesets/{name}/versions")}
        if as_json:
            print_json(found)
            return
        for v in found["versions"]:
            mark = "stable" if v["is_stable"] else ""
            line = f"{v['version']:<16} {mark:<7} {v['engine']:<9} {v['cases']:>3} cases  {v['author']}"
            out().print(f"{line}  {v['changelog']}".rstrip(), markup=False)


@rulesets.command("test")
def run_test(
    name: Ruleset,
    given: Input = "",
    expected: Annotated[str, typer.Option("--expect", help="JSON, or @FILE with it.")] = "",
    version: VersionOption = "",
    as_json: JsonFlag = False,
) -> None:
    """Run a version on an input and compare; without --input, run its stored cases. 1 if one fails."""
    with handled():
        body: dict[str, Any] = {"version": version} if version else {}
        if given:
            body["input"] = _json(given, "--input")
        if expected:
            body["expected_output"] = _json(expected, "--expect")
        found = api().post(f"/rulesets/{name}/test", body)
        if as_json:
            print_json(found)
        else:
            _show_test(found)
        if found["match"] is False or found.get("error"):
            raise typer.Exit(1)


def _show_test(found: dict[str, Any]) -> None:
    cases = found.get("cases")
    if cases is None:
        cases = [{"name": f"{found['version']} in {found['latency_ms']} ms", **found}]
        out().print_json(json.dumps(found["output"]))
    for case in cases:
        bad = case["match"] is False or case["error"]
        out().print("[red]✘[/]" if bad else "[green]✔[/]", end=" ", markup=True)
        out().print(case["name"], markup=False)
        for line in [case["error"]] if case["error"] else [d["line"] for d in case["diff"]]:
            out().print(f"    {line}", markup=False)
    if not cases:
        out().print(f"{found['version']} has no test cases.")


@rulesets.command("execute")
def execute(
    name: Ruleset,
    given: Input,
    user: Annotated[str, typer.Option("--user", help="The user's id.")] = "",
    session: Annotated[str, typer.Option("--session", help="The session's id.")] = "",
    workflow: Annotated[str, typer.Option("--workflow", help="The workflow's id.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Run the rules as an application would: routed, measured, logged."""
    with handled():
        units = {"user_id": user, "session_id": session, "workflow_id": workflow}
        body = {"input": _json(given, "--input"), **{k: v for k, v in units.items() if v}}
        done = api().post(f"/rulesets/{name}/execute", body)
        if as_json:
            print_json(done)
            return
        out().print_json(json.dumps(done["output"]))
        side = "canary" if done["is_canary"] else "stable"
        out().print(f"{done['version']} ({side}), {done['latency_ms']} ms, {done['execution_id']}")


@rulesets.command("executions")
def executions(
    name: Ruleset,
    failed: Annotated[bool, typer.Option("--failed", help="Only those that failed.")] = False,
    canary: Annotated[bool, typer.Option("--canary", help="Only the version under test.")] = False,
    differs: Annotated[bool, typer.Option("--differs", help="Only shadows with another output.")] = False,
    deployment: Annotated[str, typer.Option("--deployment", help="Only of this deployment.")] = "",
    most: Annotated[int, typer.Option("--most", min=1, max=200, help="So many, the newest first.")] = 20,
    as_json: JsonFlag = False,
) -> None:
    """Show logged executions: input (redacted), output or error, version, time taken."""
    with handled():
        asked = {"failed": failed, "canary": canary, "differs": differs}
        query = {name: "true" for name, wanted in asked.items() if wanted}
        query |= {"page_size": str(most), "deployment_id": deployment}
        found = api().get(f"/rulesets/{name}/executions?{urlencode(query)}")
        if as_json:
            print_json(found)
            return
        for e in found["executions"]:
            _show_execution(e)
        out().print(
            f"{len(found['executions'])} of {found['total']}" if found["total"] else "None is logged."
        )


def _show_execution(e: dict[str, Any]) -> None:
    side = "shadow" if e["kind"] == "shadow" else "canary" if e["is_canary"] else "stable"
    out().print("[green]✔[/]" if e["ok"] else "[red]✘[/]", end=" ", markup=True)
    out().print(
        f"{e['at'][:19]}  {e['version']} ({side})  {e['latency_ms']} ms  {e['execution_id']}", markup=False
    )
    came = json.dumps(e["output"], ensure_ascii=False) if e["ok"] else f"{e['error_kind']}: {e['error']}"
    out().print(f"    {json.dumps(e['input'], ensure_ascii=False)}", markup=False)
    out().print(f"    → {came}", markup=False)
    for line in e["differences"]:
        out().print(f"    ≠ {line}", markup=False)


@rulesets.command("diff")
def diff(
    name: Ruleset,
    before: Annotated[str, typer.Argument(help="One version.")],
    after: Annotated[str, typer.Argument(help="The other.")],
    as_json: JsonFlag = False,
) -> None:
    """Compare the rules of two versions. 1 if they differ."""
    with handled():
        both = [api().get(f"/rulesets/{name}/versions/{v}") for v in (before, after)]
        lines, _ = rule_changes(*((v["engine"], v["content"]) for v in both))
        changed = [f"{CHANGE_SIGNS[line.kind]} {_said(line)}".rstrip() for line in lines]
        if as_json:
            print_json({"same": both[0]["digest"] == both[1]["digest"], "lines": changed})
        else:
            out().print("\n".join(changed) if changed else "The rules are the same.", markup=False)
        if both[0]["digest"] != both[1]["digest"]:
            raise typer.Exit(1)


def _said(line: Line) -> str:
    return f"… {line.text} lines are the same" if line.kind == "left_out" else line.text


def _text(version: dict[str, Any]) -> str:
    content = version["content"]
    return content if isinstance(content, str) else json.dumps(content, indent=2, ensure_ascii=False)
