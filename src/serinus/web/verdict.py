"""The verdict panel: the judge's view made ready for a template, in the reader's language."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from serinus.control.showing.judge_words import (
    FINDINGS,
    SIGNS,
    budget_text,
    chance_text,
    change_text,
    interval_text,
    value_text,
)
from serinus.control.words.spoken import times
from serinus.core.analysis.sequential.words import duration
from serinus.web.intervals import interval_picture
from serinus.web.words import translator

__all__ = ["panel", "watch_text"]

USED = "{n} % of the error budget used"
HINT = "At 100 % it rolls back. At most {n} % of good canaries ever get there."
TOLERATED = "It surely differs, but no more than is tolerated"
TOO_SMALL = "All of the error budget has gone into a difference that is too small to roll back for."

Translate = Callable[[str], str]


def panel(view: Mapping[str, Any], language: str) -> dict[str, Any] | None:
    """Return the panel of a deployment; ``None`` where no judge speaks."""
    judge, t = view["judge"], translator(language)
    if judge is None or view["status"] == "draft":
        return None
    return {
        "finding": judge["finding"],
        "sign": SIGNS[judge["finding"]],
        "headline": t(judge["headline"]),
        "sentence": _sentence(judge, view),
        "checks": [
            _row(c, view, t, language)
            for c in sorted(judge["checks"], key=lambda c: c["over"])
            if c["estimate"] is not None or c["note"] or c["finding"] in ("harm", "safe")
        ],
        "budget": _budget(judge, t, language),
        "where": t("Where it hurts" if judge["finding"] == "harm" else "Where a difference shows"),
        "slices": [_slice(s, t) for s in judge["slices"]],
        "warnings": judge["warnings"],
    }


def _sentence(judge: Mapping[str, Any], view: Mapping[str, Any]) -> str:
    """Return the judge's sentence, unless what stands above it says it."""
    said, above = (_plain(s) for s in (judge["sentence"], f"{view['sentence']} {judge['headline']}"))
    return "" if said in above else str(judge["sentence"])


def _plain(sentence: str) -> str:
    """Return a sentence as it is compared: one in another is the same clause after a semicolon."""
    return sentence.rstrip(".").replace(". W", "; w")


def _row(c: Mapping[str, Any], view: Mapping[str, Any], t: Translate, language: str) -> dict[str, Any]:
    """Return one check's row: word and sign, both sides, the interval in words and as a picture."""
    size = interval_text(c)
    finding = t(FINDINGS[c["finding"]])
    canary, stable = value_text(c["canary"], c["unit"]), value_text(c["stable"], c["unit"])
    spoken = f"{t(c['label'])}: {size or '–'}; {finding}"
    recorded = f" ({t('recorded')})" if c["check"] == "alone" else ""
    return {
        "label": t(c["label"]),
        "finding": c["finding"],
        "sign": SIGNS[c["finding"]],
        "word": finding,
        "over": c["over"],
        "sides": [(view["version"], canary, "c"), (view["stable_version"], stable + recorded, "s")],
        "size": size.replace(" to ", f" {t('to')} "),
        "picture": interval_picture(c, spoken),
        "marks": _marks(c, t),
        "note": t(c["note"]) if c["note"] else "",
        "needs": _needs(c, t, language),
    }


def _marks(c: Mapping[str, Any], t: Translate) -> list[tuple[str, str]]:
    """Return the legend of a picture: what each mark is, with its number."""
    if c["estimate"] is None:
        return []
    named = (("tolerated", t("tolerated")), ("worth_finding", t("worth finding")))
    return [
        ("find" if key == "worth_finding" else key, f"{word} {change_text(c[key], c)}")
        for key, word in named
        if c[key] is not None
    ]


def _needs(needed: Mapping[str, Any], t: Translate, language: str) -> str:
    """Return how much longer it has to look."""
    requests, seconds = needed["requests_needed"], needed["seconds_needed"]
    if not requests:
        return ""
    said = t("needs {n} more canary requests").format(n=f"{requests:,}")
    return said if seconds is None else f"{said}, {t('about {time}').format(time=_time(seconds, language))}"


def _budget(judge: Mapping[str, Any], t: Translate, language: str) -> dict[str, Any]:
    """Return how much of the error budget is used, and when it will know."""
    used = judge["budget_used"] * 100
    when = ""
    if judge["seconds_needed"]:
        when = t("sure in about {time}").format(time=_time(judge["seconds_needed"], language))
    return {
        "percent": round(min(100.0, used), 2),
        "text": t(TOLERATED) if judge["tolerated"] else t(USED).format(n=budget_text(judge["budget_used"])),
        "when": when,
        "hint": t(TOO_SMALL) if judge["tolerated"] else t(HINT).format(n=f"{judge['budget'] * 100:g}"),
    }


def _slice(s: Mapping[str, Any], t: Translate) -> dict[str, str]:
    unit = "ratio" if s["check"] == "errors" else "ms"
    return {
        "where": s["stratum"],
        "check": t(s["check"]),
        "canary": value_text(s["canary"], unit),
        "stable": value_text(s["stable"], unit),
        "size": change_text(s["ratio"], {"scale": "ratio", "unit": unit}) if s["ratio"] else "–",
        "chance": t(chance_text(s["evidence"])).replace("1 in ", t("1 in ")),
    }


def watch_text(watch: Mapping[str, Any] | None, view: Mapping[str, Any], language: str) -> str:
    """Return the line of a promoted version that is still watched; empty when it is not."""
    if not watch:
        return ""
    t = translator(language)
    return t(
        "Watched for another {time} against what was recorded of {stable}. If it gets worse, "
        "everyone goes back to {stable}."
    ).format(time=_time(watch["seconds_left"] or 0.0, language), stable=view["stable_version"])


def _time(seconds: float, language: str) -> str:
    said = duration(seconds).replace(" ", "\u00a0")  # a number and its unit stay on one line
    return times(said) if language == "ko" else said
