"""What a notification says of the judge: the few numbers that an on-call person acts on."""

from __future__ import annotations

from serinus.control.showing.judge_words import interval_text, needs_text, slice_text, value_text
from serinus.control.showing.judgement import judge_view, watch_view
from serinus.control.words.phrases import say
from serinus.core.analysis.sequential.plan import Finding
from serinus.core.analysis.sequential.words import duration
from serinus.core.model import Deployment

__all__ = ["harm_facts", "sentence_facts", "watch_words"]

Facts = tuple[tuple[str, str], ...]
#: A message names so many slices; the page has all.
MOST_SLICES = 3


def harm_facts(d: Deployment, language: str = "en") -> Facts:
    """Return which metric, both sides' numbers, how much worse, and where; empty without a harm."""
    judge = judge_view(d)
    if judge is None or judge["finding"] != Finding.HARM:
        return ()
    bad = [c for c in judge["checks"] if c["finding"] == Finding.HARM]
    facts = [("Metric", ", ".join(c["label"] for c in bad))]
    for c in bad:
        name = f" ({c['label']})" if len(bad) > 1 else ""
        canary, stable = value_text(c["canary"], c["unit"]), value_text(c["stable"], c["unit"])
        facts.append((f"Both sides{name}", f"{d.version} {canary}, {d.stable_version} {stable}"))
        if said := interval_text(c):
            percent = f"{judge['confidence'] * 100:g}"
            sure = "" if c["low"] is None else say(language, "facts.sure", percent=percent)
            facts.append((f"Canary to stable{name}", f"{said}{sure}"))
    if judge["slices"]:
        worst = "\n".join(f"• {slice_text(s)}" for s in judge["slices"][:MOST_SLICES])
        facts.append(("Worst in", worst))
    return tuple(facts)


def sentence_facts(d: Deployment) -> Facts:
    """Return what the judge says so far, and how long until it knows."""
    judge = judge_view(d)
    if judge is None:
        return ()
    left = needs_text(judge)
    return (("Judge", judge["sentence"]), *((("Time to decision", left),) if left else ()))


def watch_words(d: Deployment) -> str:
    """Return how long a promoted version is still watched; empty when it is not."""
    watch = watch_view(d)
    if watch is None:
        return ""
    return (
        f"It is watched for another {duration(watch['seconds'])} against {watch['compared_with']}, "
        "and rolled back if it is worse."
    )
