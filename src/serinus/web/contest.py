"""The panel of an A/B/n test: each candidate's verdict and numbers, and how they stand to one another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serinus.web.verdict import panel
from serinus.web.words import translator

__all__ = ["contest_panel"]

SIGNS = {"dropped": "✘", "promoted": "●", "under test": "◐"}
#: The colours of the verdict's own marks.
KINDS = {"dropped": "harm", "promoted": "safe"}


def contest_panel(view: Mapping[str, Any], language: str) -> dict[str, Any] | None:
    """Return the panel; ``None`` where one canary is all there is."""
    if not view.get("candidates"):
        return None
    t = translator(language)
    rows = []
    for c in view["candidates"]:
        verdict = panel({**view, **c, "status": view["status"]}, language)
        kind = verdict["finding"] if verdict and c["state"] == "under test" else KINDS.get(c["state"], "")
        rows.append(
            {
                "version": c["version"],
                "state": t(c["state"]),
                "sign": SIGNS.get(c["state"], "○"),
                "kind": kind,
                "share": c["traffic_percentage"],
                "part": c["share"],
                "begun": view["status"] not in ("draft", "scheduled"),
                "reason": c["drop_reason"],
                "headline": verdict["headline"] if verdict and c["state"] == "under test" else "",
                "checks": verdict["checks"] if verdict else [],
                "budget": verdict["budget"] if verdict and c["state"] == "under test" else None,
                "messages": [v["message"] for v in c["checks"]] if not verdict else [],
            }
        )
    running = view["status"] == "canary"
    sentence = view["standing"]["sentence"]
    return {
        "rows": rows,
        "sentence": f"{sentence}." if running and sentence not in view["sentence"] else "",
        # Who may be promoted or dropped by itself, the best one first.
        "choices": sorted(
            (c["version"] for c in view["candidates"] if c["state"] == "under test"),
            key=lambda version: version != view["standing"]["best"],
        ),
        "best": view["standing"]["best"],
        "running": running and not view["winner"],
    }
