"""PromQL: selectors taken apart, and the questions that contract 3 gives for its checks."""

from __future__ import annotations

import re
from dataclasses import replace

from serinus.core.analysis.checks import Check, Measure, Policy
from serinus.core.analysis.queries import Query
from serinus.core.policy.units import span

__all__ = ["CONTRACT", "asked_of", "duration", "is_label", "is_selector", "matching", "quoted"]

#: Braces inside texts do not count.
_INSIDE = r"""(?:[^{}"'`]|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)*"""
_SELECTOR = re.compile(rf"\s*([a-zA-Z_:][\w:]*)?\s*(?:\{{({_INSIDE})\}})?\s*", re.DOTALL | re.ASCII)


def _p95(mode: str) -> Query:
    matchers = f'version="canary",mode="{mode}"'
    inner = f"sum by (le) (rate(http_request_duration_seconds_bucket{{{matchers}}}[5m]))"
    # The contract's limits are milliseconds, its histogram counts seconds.
    return Query(source="", canary=f"1000 * histogram_quantile(0.95, {inner})")


#: Contract 3's PromQL by preset and check. Two places differ from its text, because as written they
#: never answer: a comparison of two sides whose labels differ matches nothing, so the sides are asked
#: apart; and a rate of errors that have never happened has no series, so none counts as zero.
CONTRACT = {
    "orchestrator": {
        **{f"p95 latency ({mode})": _p95(mode) for mode in ("fast", "balanced", "creative")},
        "error rate": Query(
            source="",
            canary='(sum(rate(http_requests_total{status=~"5..",version="canary"}[5m])) or vector(0))'
            ' / sum(rate(http_requests_total{version="canary"}[5m]))',
        ),
        "schema failures": Query(
            source="", canary='increase(llm_brief_schema_failures_total{version="canary"}[5m])'
        ),
        "training loss": Query(
            source="",
            canary='rl_training_loss{version="canary"}',
            stable='rl_training_loss{version="production"}',
        ),
    }
}


def asked_of(policy: Policy, preset: str, source: str) -> Policy:
    """Return the preset's policy with the contract's PromQL instead of the built-in measuring."""
    known = CONTRACT.get(preset, {})

    def ask(check: Check) -> Check:
        if check.name not in known:
            return check
        asked = replace(known[check.name], source=source)
        fresh = Check(name=check.name, measure=Measure.SAMPLE)
        return replace(
            check,
            measure=Measure.SAMPLE,
            metric=check.name,
            query=asked,
            selector=fresh.selector,
            min_requests=fresh.min_requests,
        )

    return replace(policy, checks=tuple(ask(check) for check in policy.checks))


def is_selector(text: str) -> bool:
    """Tell whether this is one metric with its matchers, without a range or a function.

    >>> is_selector('up{job="a"}'), is_selector("rate(up[5m])"), is_selector("up[5m]")
    (True, False, False)
    """
    found = _SELECTOR.fullmatch(text)
    return bool(found and (found[1] or (found[2] or "").strip()))


def is_label(text: str) -> bool:
    """Tell whether this can be a label's name."""
    return bool(re.fullmatch(r"[a-zA-Z_]\w*", text, re.ASCII))


def duration(seconds: float) -> str:
    """Return a time as PromQL has it: whole numbers of units.

    >>> duration(5400), duration(1.5)
    ('1h30m', '1500ms')
    """
    return span(seconds) if seconds % 1 == 0 else f"{max(1, round(seconds * 1000))}ms"


def matching(selector: str, *matchers: str) -> str:
    """Return a selector with more matchers.

    >>> matching('up{job="a"}', 'version="b"')
    'up{job="a",version="b"}'
    """
    found = _SELECTOR.fullmatch(selector)
    assert found is not None
    inside = [part for part in ((found[2] or "").strip().rstrip(","), *matchers) if part]
    return (found[1] or "") + (f"{{{','.join(inside)}}}" if inside else "")


def quoted(text: str) -> str:
    """Return ``text`` as a PromQL string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
