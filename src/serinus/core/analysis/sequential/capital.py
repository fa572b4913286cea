"""Betting against "the canary is not worse": one capital, spread over kinds and starts of harm.

Each alternative (a size of harm) is a bet whose stake is multiplied by its likelihood ratio, window
after window. While the canary is no worse, no bet gains on average, so by Ville's inequality the
whole capital ever reaches 1/alpha with a chance of at most alpha, however often one looks. Part of
it is staked at the start, the rest bit by bit as the rollout goes on, so that a fault that begins
late does not have to make up first for what was lost while all was well.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, inf, log

__all__ = ["Capital"]

#: Beyond this a stake says no more; it keeps numbers finite over any length of a rollout.
TOP, BOTTOM = 300.0, -300.0


@dataclass(slots=True)
class Capital:
    """The stakes of one check on one group of requests.

    ``early[k]`` is the logarithm of what one unit staked at the start has become on alternative
    ``k``; ``late[k]`` what the released parts have become, in units of the whole late part.
    ``early_limit`` and ``late_limit`` are the same for a harm of just the tolerated size: no bet,
    but what a harmful canary must be told apart from.
    """

    early: list[float]
    late: list[float]
    early_limit: float = 0.0
    late_limit: float = 0.0
    #: How much of the late part has been staked, 0 to 1.
    released: float = 0.0

    @classmethod
    def of(cls, size: int) -> Capital:
        """Return untouched stakes on ``size`` alternatives."""
        return cls(early=[0.0] * size, late=[0.0] * size)

    def bet(self, logs: list[float], limit: float, release: float) -> None:
        """Stake ``release`` more of the late part, and settle one window.

        ``logs``: ln likelihood ratio per alternative; ``limit``: the same for the tolerated harm.
        """
        release = min(release, max(0.0, 1.0 - self.released))
        self.released += release
        early, late = self.early, self.late
        for k, gain in enumerate(logs):
            value = early[k] + gain
            early[k] = TOP if value > TOP else max(value, BOTTOM)
            late[k] = min((late[k] + release) * exp(min(gain, TOP)), 1e130)
        self.early_limit = min(max(self.early_limit + limit, BOTTOM), TOP)
        self.late_limit = min((self.late_limit + release) * exp(min(limit, TOP)), 1e130)

    def value(self, weights: tuple[float, ...], late_weights: tuple[float, ...], early_share: float) -> float:
        """Return the capital per unit: 1 at the start; ``weights`` of the alternatives sum to 1."""
        late_share = 1.0 - early_share
        idle = late_share * max(0.0, 1.0 - self.released)
        return idle + sum(
            early_share * w * exp(e) + late_share * v * g
            for w, v, e, g in zip(weights, late_weights, self.early, self.late, strict=True)
        )

    def best(
        self, weights: tuple[float, ...], late_weights: tuple[float, ...], early_share: float
    ) -> tuple[int, bool]:
        """Return the alternative that has gained most, and whether its late part has."""
        winner, top, is_late = 0, -inf, False
        for k, weight in enumerate(weights):
            for value, late in (
                (weight * early_share * exp(self.early[k]), False),
                (late_weights[k] * (1.0 - early_share) * self.late[k], True),
            ):
                if value > top:
                    winner, top, is_late = k, value, late
        return winner, is_late

    def margin(self, best: int, *, late: bool) -> float:
        """Return by how much (nats) alternative ``best`` explains more than a harm of the tolerated size."""
        if late:
            return log(max(self.late[best], 1e-300)) - log(max(self.late_limit, 1e-300))
        return self.early[best] - max(self.early_limit, 0.0)
