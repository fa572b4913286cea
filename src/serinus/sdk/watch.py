"""Which units are watched for whether they stick: the same ones in every process, and few.

A unit is watched while a hash of its key, seeded by the deployment and by nothing that a process could
have wrong, lies below a limit. The limit halves when there are too many, so processes with different
limits still agree on the units below the lower one. No key is kept, only this hash.
"""

from __future__ import annotations

from xxhash import xxh64_intdigest

TYPE_CHECKING = False  # typing itself costs milliseconds and a megabyte; checkers know this name
if TYPE_CHECKING:
    from typing import Protocol

    class Split(Protocol):
        """What is needed of a plan."""

        prefix: str

        def slot(self, bucket: int) -> tuple[int, int]:
            """Return where a bucket lies in its slot, and how many of that are the canary's."""
            ...

    class Given(Protocol):
        """What is needed of a choice."""

        @property
        def version(self) -> str:
            """The version that serves."""
            ...

        @property
        def is_canary(self) -> bool:
            """Whether it is under test."""
            ...

    #: (hash of the unit's key, version or empty for stable, share in basis points)
    Seen = tuple[int, str, int]

__all__ = ["Watch"]

BUCKETS = 10_000
#: Units that are watched at a time, of one deployment.
MAX_WATCHED = 512
#: Facts about them: each may have been on a few versions, at a few shares.
MAX_KNOWN = 4 * MAX_WATCHED
#: Above every hash: all units are watched.
EVERYBODY = 1 << 64


class Watch:
    """The sample of one deployment's units."""

    __slots__ = ("_fresh", "_known", "_renewed", "limit", "seed", "seen")

    def __init__(self, deployment: str) -> None:
        """Watch everybody, until there are too many."""
        #: Hashes are ``xxh64_intdigest(key.encode(), seed)``.
        self.seed = xxh64_intdigest(deployment.encode())
        self.limit = EVERYBODY
        #: unit → what it was last given, for telling by identity that there is nothing new.
        self.seen: dict[int, object] = {}
        self._known: set[Seen] = set()
        self._fresh: list[Seen] = []
        self._renewed = 0.0

    def look(self, plan: Split, choice: Given, unit: int, key: str) -> None:
        """Take in where a watched unit is, if it is the hash that has put it there.

        Of what has put it elsewhere (it stays, a person, a filter, an open breaker) this process knows the
        reason, and a choice of the plan before is that plan's.
        """
        at, share = plan.slot(xxh64_intdigest((plan.prefix + key).encode()) % BUCKETS)
        if 0 < share < BUCKETS and choice.is_canary == (at < share):
            self.add(unit, choice, choice.version if choice.is_canary else "", share)
        else:
            self._pass_over(unit, choice)

    def add(self, unit: int, given: object, version: str, share_bp: int) -> None:
        """Take in where a watched unit is; ``given`` is what it was given, by identity."""
        self._pass_over(unit, given)
        seen = (unit, version, share_bp)
        if unit < self.limit and seen not in self._known and len(self._known) < MAX_KNOWN:
            self._known.add(seen)
            self._fresh.append(seen)

    def _pass_over(self, unit: int, given: object) -> None:
        """Remember that there is nothing to say of a unit as long as it is given the same."""
        self.seen[unit] = given
        while len(self.seen) > MAX_WATCHED:
            self.limit >>= 1
            # Other threads go on adding: a copy is taken in one piece, and what is lost is seen again.
            self.seen = {u: given for u, given in self.seen.copy().items() if u < self.limit}
            self._known = {s for s in self._known.copy() if s[0] < self.limit}

    def take(self, now: float, every: float) -> list[Seen]:
        """Take what is new. ``every`` seconds all is new again, and fewer units are no longer held back."""
        fresh, self._fresh = self._fresh, []
        if now - self._renewed >= every:
            self._renewed = now
            if len(self.seen) < MAX_WATCHED // 4:
                self.limit = min(EVERYBODY, self.limit * 2)
            self.forget()
        return fresh

    def forget(self) -> None:
        """Take everything for new again."""
        self.seen, self._known = {}, set()
