"""The walk's terminal output, stage by stage, at the width of a small terminal and without colour."""

from __future__ import annotations

import io

from rich.console import Console

from answers import ALONE, HARM, NOT_YET, SAFE
from serinus.cli.client import Unreachable
from serinus.cli.walk import Walk
from serinus.control.showing import views
from serinus.core.model import Status, Waiting
from serinus.core.policy.presets import SEQUENTIAL
from stories import NOON, draft


def looked(answer, kind: str, data: dict, message: str = "", **changes) -> tuple[dict, list[dict]]:
    """Return one look: a deployment's view, and the event that came with it."""
    state = {"status": Status.CANARY, "started_at": NOON, "traffic_bp": 100, "sentence": "…", **changes}
    view = views.deployment_view(draft(policy=SEQUENTIAL, answer=answer, **state))
    return view, [{"event_id": 1, "kind": kind, "message": message, "data": data, "actor": "monitor"}]


class Told:
    """An API that answers look after look."""

    def __init__(self, *looks) -> None:
        self.looks = list(looks)
        #: What happened between the events and the state of a look; asked for where that may be the last.
        self.meanwhile: list[dict] = []
        self.again = False

    def get(self, path: str, **_):
        """Return the events first, then the deployment, as the walk asks for them."""
        if path.endswith("events"):
            again, self.again = self.again, False
            return {"events": self.meanwhile if again else self.looks[0][1]}
        view = self.looks.pop(0)[0]
        self.again = bool(view["waiting"]) or view["status"] != "canary"
        return view


def walked(*looks) -> tuple[int, str, Walk]:
    """Return the exit code, what was printed, and the walk."""
    page = io.StringIO()
    out = Console(file=page, width=80, highlight=False, no_color=True)
    walk = Walk(api=Told(*looks), out=out, err=out, deployment_id="dep_1", poll=0.001)
    code, _ = walk.follow()
    lines = [line.rstrip() for line in page.getvalue().split("\n")]
    return code, "\n".join(lines), walk


STARTED = looked(NOT_YET, "started", {"traffic_bp": 100})


def test_a_stage_ends_with_what_the_judge_had_said_by_then():
    """The tree is that of the stage, not of the next one; a harm shows where it hurts."""
    passed = looked(SAFE, "step_passed", {"to_bp": 500, "verdicts": []})
    gone = looked(HARM, "rolled_back", {"verdicts": []}, "Rolled back.", status=Status.ROLLED_BACK)
    code, page, walk = walked(STARTED, passed, gone)
    assert code == 1
    assert (
        page
        == """
Stage 1 of 4
  traffic     v1 99 % ──────────────────── v2 1 %
  observing   0 of 60 s: errors: 0.31 % at the canary against 0.3 % at stable;
1,840 more canary requests, about 6 min to exclude 2 ×.
  judge  … No harm seen so far; too early to call it safe
    ├─ … errors    1 × (0.38 to 2.8 ×)        too early
    │    v2 0.31 %, v1 0.3 %
    │    needs 1,840 more canary requests, about 6 min
    ├─ ✔ latency   −1.0 % (−4.0 to +2.0 %)    safe
    │    v2 49.5 ms, v1 50.0 ms
    └─ ━─────────────────── 3 % of the error budget used; sure in about 6 min
  validation  PASSED no harm found; it goes on looking
  next        5 % on v2, observed for 60 s

Stage 2 of 4
  traffic     v1 95 % ───────────────────━ v2 5 %
  judge  ✘ Harm: the canary is worse than tolerated
    ├─ ✘ errors    20 × (9 to 44 ×)           harm
    │    v2 8 %, v1 0.4 %
    ├─ ✔ latency   −1.0 % (−4.0 to +2.0 %)    safe
    │    v2 49.5 ms, v1 50.0 ms
    └─ ━━━━━━━━━━━━━━━━━━━━ 100 % of the error budget used
    where it hurts
       ✘ /pay region=eu: errors 31 % against 0.4 %, 77 × (by chance: 1 in 4,100)
       ✘ /cart: errors 2 % against 0.4 %, 5 × (by chance: 1 in 12)
       ✘ /slow: latency, +40 % (by chance: below 1 in a million)
  validation  FAILED

↩ Rolled back.
"""
    )
    assert [s["judge"]["finding"] for s in walk.stages] == ["not_yet", "harm"]


def test_the_last_stage_is_told_though_it_ended_in_the_middle_of_a_look():
    """Its event came between the events and the state of that look, and no later one tells it."""
    view, late = looked(SAFE, "step_passed", {"verdicts": []}, waiting=Waiting.PROMOTION)
    page = io.StringIO()
    api = Told(STARTED, (view, []))
    api.meanwhile = late
    out = Console(file=page, width=80, highlight=False, no_color=True)
    walk = Walk(api=api, out=out, err=out, deployment_id="dep_1", poll=0.001)
    assert walk.follow()[0] == 0
    assert "validation  PASSED" in page.getvalue()
    assert [stage["outcome"] for stage in walk.stages] == ["passed"]


def test_a_limit_is_shown_beside_the_judge():
    """Checks that hold a limit keep their tree; the judge's are not listed twice."""
    verdict = {
        "check": "schema failures",
        "outcome": "pass",
        "message": "schema failures: 0",
        "required": True,
    }
    own = {"check": "errors", "outcome": "pass", "message": "errors: twice?", "required": True}
    passed = looked(SAFE, "step_passed", {"verdicts": [own, verdict]}, waiting=Waiting.PROMOTION)
    code, page, _ = walked(looked(SAFE, "started", {"traffic_bp": 100}), passed)
    assert code == 0
    assert "  metrics\n  └─ ✔ schema failures: 0\n  validation  PASSED\n" in page
    assert "twice?" not in page


def test_after_promotion_the_walk_is_over():
    """The watch goes on without it."""
    watched = {"status": Status.ACTIVE, "phase": "watching", "ended_at": NOON}
    code, _, _ = walked(looked(ALONE, "promoted", {}, **watched))
    assert code == 0


def test_a_promotion_by_force_is_no_passed_rollout():
    """Exit code 0 is for stages that all passed; somebody was faster here."""
    forced = looked(NOT_YET, "promoted", {"forced": True}, status=Status.ACTIVE, ended_at=NOON)
    forced[1][0]["actor"] = "somebody"
    code, _, walk = walked(STARTED, forced)
    assert code == 7
    assert [s["outcome"] for s in walk.stages] == ["observing"]


def test_a_walk_that_asks_nobody_gives_up_in_time():
    """At a gate at once, and otherwise when its time is over; even when nobody answers any more."""
    waits = looked(SAFE, "started", {"traffic_bp": 100}, waiting=Waiting.APPROVAL)
    out = Console(file=io.StringIO(), width=80)
    common = {"out": out, "err": out, "deployment_id": "dep_1", "poll": 0.001, "silent": True}
    code, _ = Walk(api=Told(waits), **common).follow()
    assert code == 6

    class Gone(Told):
        def get(self, path: str, **_):
            """Answer once, and then no more."""
            if not self.looks:
                raise Unreachable("gone.")
            return super().get(path)

    code, view = Walk(api=Gone(STARTED), max_seconds=0.05, **common).follow()
    assert (code, view["deployment_id"]) == (6, "dep_1")
