"""Rollouts whose units do not stick, tick by tick: who is told, how often, and when it is over."""

from __future__ import annotations

from datetime import timedelta

from contests import contest_of
from serinus.core.analysis.evidence import Evidence
from serinus.core.analysis.flips import Sighting
from serinus.core.bucketing import bucket_of
from serinus.core.decide import decide
from serinus.core.decision import IntentKind
from serinus.core.lifecycle import moves
from serinus.core.model import Deployment, Mode, Strategy
from stories import NOON, draft

USERS = range(400)


def served(salt: str, share_bp: int) -> tuple[Sighting, ...]:
    """Return where a process with this salt has its users at a share."""
    return tuple(
        Sighting(
            unit=f"{n:016x}",
            version="v2" if bucket_of(salt, f"user-{n}") < share_bp else "",
            share_bp=share_bp,
        )
        for n in USERS
    )


class Watched:
    """A rollout by hand whose sightings are looked up when the story says so."""

    def __init__(self, d: Deployment | None = None) -> None:
        self.now = NOON
        self.d = d or moves.start(draft(strategy=Strategy(mode=Mode.MANUAL)), NOON, bp=2500).next_state
        self.told: list[str] = []
        self.timeline: list[str] = []

    def tick(self, sightings: tuple[Sighting, ...] | None) -> Watched:
        """Let ten seconds pass and look; ``None``: sightings were not looked up this time."""
        self.now += timedelta(seconds=10)
        evidence = Evidence(sightings=sightings)
        decision = decide(self.d, evidence, self.now, [Evidence()] * (len(self.d.candidates) - 1))
        self.d = decision.next_state
        self.told += [
            w for i in decision.intents if i.kind is IntentKind.TELL for w in i.data.get("warnings", ())
        ]
        self.timeline += [r.message for r in decision.reasons if r.kind == "warning"]
        return self

    @property
    def found(self) -> tuple[int, int]:
        """Units that flipped, of those watched."""
        assert self.d.flips
        return self.d.flips.flipped, self.d.flips.watched


def test_a_share_that_only_grows_moves_units_and_nobody_is_told():
    """From stable to the canary, with processes that still tell of the share before."""
    story = Watched().tick(served("s", 500))
    story.tick((*served("s", 500), *served("s", 2500)))
    story.tick((*served("s", 2500), *served("s", 500), *served("s", 9000)))
    assert story.found == (0, 400)
    assert (story.told, story.timeline) == ([], [])


def test_a_share_that_shrinks_moves_units_back_and_nobody_is_told():
    """Under the hash alone, to nearly nothing."""
    story = Watched().tick(served("s", 2500)).tick((*served("s", 2500), *served("s", 100)))
    assert (story.found, story.told) == ((0, 400), [])


def test_a_process_with_another_salt_is_told_of_once_until_it_is_gone():
    """Said when it begins, kept between two look-ups, and said again only if it comes back."""
    mixed = (*served("s", 2500), *served("other", 2500))
    story = Watched().tick(served("s", 2500)).tick(mixed).tick(None).tick(mixed)
    flipped, watched = story.found
    assert watched == 400
    assert 0.3 < flipped / watched < 0.45  # 2 × 25 % × 75 %
    assert story.told == story.timeline == [story.d.flips.sentence]
    assert story.d.status.value == "canary"  # it warns, and rolls nothing back
    story.tick(served("s", 2500))
    assert story.d.flips.sentence == ""
    assert len(story.told) == 1
    assert len(story.tick(mixed).told) == 2


def test_several_candidates_are_told_of_together_and_once():
    """Not once for each of them."""
    d = moves.start(contest_of("v2", "v3"), NOON).next_state
    one, two = (c.version for c in d.candidates[:2])
    unit = [Sighting(unit=f"{n:016x}", version=v, share_bp=1000) for n in range(9) for v in (one, two)]
    story = Watched(d).tick(tuple(unit)).tick(tuple(unit))
    assert story.found == (9, 9)
    assert story.told == [story.d.flips.sentence]
