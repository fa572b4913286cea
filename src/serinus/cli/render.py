"""What commands print: pure functions from the API's views to marked-up lines of text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.markup import escape

from serinus.cli.compensated import compensation_lines
from serinus.cli.contest import candidate_lines, is_contested
from serinus.cli.judged import judge_lines, watch_line

__all__ = [
    "check_line",
    "deployment_row",
    "event_line",
    "fixed_checks",
    "name_of",
    "numbers",
    "problem_lines",
    "status_lines",
    "step_words",
    "traffic_line",
    "tree",
]

#: Each outcome has a sign, a colour and a word; only a pass has a tick.
SIGNS = {
    "pass": ("✔", "green"),
    "fail": ("✘", "red"),
    "inconclusive": ("·", "yellow"),
    "error": ("!", "yellow"),
}
STATES = {
    "draft": ("○", "dim"),
    "scheduled": ("◷", "cyan"),
    "canary": ("◐", "yellow"),
    "active": ("●", "green"),
    "rolled_back": ("↩", "red"),
    "deprecated": ("◌", "dim"),
}


def name_of(view: dict[str, Any]) -> str:
    """Return what is under test: the version, or every candidate that is not out."""
    return str(view.get("tested") or view["version"])


def problem_lines(problem: dict[str, Any]) -> list[str]:
    """Return a refusal: what, where, what to do next."""
    lines = [f"[red]✘[/] {escape(str(problem.get('detail', 'It was refused.')))}"]
    errors = problem.get("errors") or []
    if len(errors) > 1:
        lines += [f"  [dim]{escape(e['field'])}[/] {escape(e['message'])}" for e in errors]
    elif problem.get("field"):
        lines.append(f"  [dim]field[/] {escape(str(problem['field']))}")
    if problem.get("next_step"):
        lines.append(f"  [dim]next[/]  {escape(str(problem['next_step']))}")
    return lines


def traffic_line(view: dict[str, Any], percentage: float | None = None) -> str:
    """Return who gets how much: ``v1 95 % ─ v2 5 %``."""
    canary = _share(view) if percentage is None else percentage
    filled = round(canary / 5)
    bar = f"[green]{'─' * (20 - filled)}[/][yellow]{'━' * filled}[/]"
    stable, version = escape(view["stable_version"]), escape(name_of(view))
    return f"{stable} [bold]{100 - canary:g} %[/] {bar} {version} [bold]{canary:g} %[/]"


def _share(view: dict[str, Any]) -> float:
    """Return what is under test, in percent: of several candidates those that are not out."""
    return float(view.get("tested_percentage", view["traffic_percentage"]))


def check_line(check: dict[str, Any]) -> str:
    """Return one check: sign and its sentence with the numbers."""
    sign, colour = SIGNS[check["outcome"]]
    text = escape(check["message"])
    if check["outcome"] == "inconclusive" and not check.get("required", True):
        return f"[dim]– {text}[/]"
    return f"[{colour}]{sign}[/] {text}"


def tree(checks: Iterable[dict[str, Any]], indent: str = "  ") -> list[str]:
    """Return the checks as branches of a tree."""
    listed = list(checks)
    if not listed:
        return [f"{indent}└─ [dim]no checks[/]"]
    last = len(listed) - 1
    return [f"{indent}{'└' if n == last else '├'}─ {check_line(c)}" for n, c in enumerate(listed)]


def fixed_checks(view: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the checks that hold a limit; the judge speaks for its own."""
    judged = {c["check"] for c in (view.get("judge") or {}).get("checks", ())}
    return [c for c in view["checks"] if c["check"] not in judged]


def event_line(event: dict[str, Any]) -> str:
    """Return one line of the timeline."""
    at = str(event["at"])[11:19]
    return f"[dim]{at}[/] {escape(event['message'])} [dim]({escape(event['actor'])})[/]"


def deployment_row(view: dict[str, Any]) -> tuple[str, ...]:
    """Return a deployment as a row: state, id, service, version, share, sentence."""
    sign, colour = STATES[view["status"]]
    return (
        f"[{colour}]{sign} {view['status'].replace('_', ' ')}[/]",
        view["deployment_id"],
        escape(view["service"]),
        escape(name_of(view)),
        f"{view['traffic_percentage']:g} %",
        escape(view["sentence"]),
    )


def numbers(metrics: dict[str, Any], view: dict[str, Any]) -> list[str]:
    """Return both versions' numbers side by side, and with several candidates each one's."""
    several = metrics.get("candidates") or {}
    tested = several or {f"canary {view['version']}": metrics.get("v2_metrics")}
    named = [f"stable {view['stable_version']}", *tested]
    arms = [metrics.get("v1_metrics"), *tested.values()]
    rows = ["  " + " " * 22 + "".join(f"{name:>18}" for name in named)]
    for name, key, unit in (
        ("requests", "total_requests", ""),
        ("errors", "error_count", ""),
        ("error rate", "error_rate", "%"),
        ("average latency", "avg_latency_ms", "ms"),
        ("p95 latency", "p95_latency_ms", "ms"),
        ("p99 latency", "p99_latency_ms", "ms"),
    ):
        rows.append(f"  {name:<22}" + "".join(f"{_cell(arm, key, unit):>18}" for arm in arms))
    return [escape(row) for row in rows]


def _cell(arm: dict[str, Any] | None, key: str, unit: str) -> str:
    if arm is None or arm[key] is None:
        return "–"
    if unit == "%":
        return f"{arm[key] * 100:.2f} %"
    return f"{arm[key]:,.1f} ms" if unit == "ms" else f"{arm[key]:,}"


def status_lines(page: dict[str, Any], events: int = 6) -> list[str]:
    """Return the whole truth about a deployment: the same content as its page."""
    view = page["deployment"]
    sign, colour = STATES[view["status"]]
    head = f"[bold]{escape(view['service'])} {escape(name_of(view))}[/]  [dim]{view['deployment_id']}[/]"
    lines = [head, f"[{colour}]{sign} {view['status'].replace('_', ' ')}[/]  {escape(view['sentence'])}", ""]
    if view["status"] == "canary":
        lines += [traffic_line(view), f"[dim]{_split_words(view)}[/]"]
        if view["step"]["of"]:
            lines.append(_steps(view))
        lines += [*_preview(view), ""]
    if view.get("warm_until"):
        until = str(view["warm_until"])[:19].replace("T", " ")
        lines += [f"{escape(view['stable_version'])} is kept warm until {until} UTC", ""]
    if view.get("watch"):
        lines += [watch_line(view["watch"]), ""]
    lines += [*numbers(page["metrics"], view), ""]
    if several := view.get("candidates"):
        lines += [*candidate_lines(view), ""]
    if view.get("judge") and view["status"] != "draft" and not (several and not view["winner"]):
        lines += [*judge_lines(view["judge"], view), ""]
    if (fixed := fixed_checks(view)) and not is_contested(view):
        lines += ["checks", *tree(fixed), ""]
    lines.append(f"breaker {view['circuit_breaker_state']}   health {page['health']['health_status']}")
    lines += [f"[yellow]! {escape(w)}[/]" for w in page["health"]["warnings"]]
    if failing := page["health"].get("failing_executions"):
        lines.append(f"  [dim]next[/]  {escape(failing['command'])}")
    if view.get("compensation"):
        lines += ["", *compensation_lines(view["compensation"])]
    if page["events"]:
        lines += ["", *(event_line(e) for e in page["events"][:events])]
    return lines


def _split_words(view: dict[str, Any]) -> str:
    observed, proxy = view.get("observed_traffic_percentage"), view.get("proxy") or {}
    seen = "nothing observed yet" if observed is None else f"observed {observed:g} %"
    if not proxy.get("instances"):
        return f"wanted {_share(view):g} %, carried in process, {seen}"
    carried = proxy.get("carried_bp")
    followed = "every proxy follows" if proxy["acknowledged"] else "NOT every proxy follows"
    share = "?" if carried is None else f"{carried / 100:g} %"
    if is_contested(view):
        share = "as wanted" if proxy["acknowledged"] else "?"  # a proxy reads one candidate's share back
    return f"wanted {_share(view):g} %, carried {share} ({followed}), {seen}"


def _preview(view: dict[str, Any]) -> list[str]:
    found = view["strategy"].get("preview") or {}
    return [f"[dim]preview: {kind} {escape(m['name'])}: {escape(m['value'])}[/]" for kind, m in found.items()]


def step_words(step: dict[str, Any]) -> str:
    """Return a step in few words: ``5 %``, ``mirror 20 %``, ``50 % (gate: admin)``."""
    share = f"{step['traffic_percentage']:g} %"
    if step.get("mirror_percentage"):
        share = f"mirror {step['mirror_percentage']:g} %"
    gate = step["gate"]
    extra = [f"gate: {gate['role']}" if isinstance(gate, dict) else "gate"] if gate else []
    extra += ["by hand"] if step.get("manual") else []
    extra += ["irreversible"] if step.get("irreversible") else []
    return f"{share} ({', '.join(extra)})" if extra else share


def _steps(view: dict[str, Any]) -> str:
    now = view["step"]["number"]
    parts = []
    for number, step in enumerate(view["strategy"]["steps"], 1):
        share = step_words(step)
        if number < now:
            parts.append(f"[green]✔ {share}[/]")
        elif number == now:
            parts.append(f"[yellow]▶ {share}[/]")
        else:
            parts.append(f"[dim]{share}[/]")
    return " → ".join(parts)
