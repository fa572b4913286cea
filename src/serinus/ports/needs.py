"""What a split asks of its driver, and the one refusal of what a driver cannot do.

Asked by every driver's ``apply``, and by commands before anything is written down.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping

from serinus.core.bucketing import BUCKETS
from serinus.core.errors import InvalidInput
from serinus.ports.traffic import Capability, DesiredSplit, TrafficError

__all__ = ["CannotCarry", "ensure_able", "needs"]

#: Names of headers and cookies (RFC 9110, 5.6.2), and what can be a header's value.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}")
_VALUE = re.compile(r"[^\x00-\x1f\x7f]{1,1000}")

#: What a driver that lacks the capability cannot do, and the field that asks for it.
_ASKED_BY = {
    Capability.TARGET_FILTER: ("pin named users or workflows", "canary_target_filter"),
    Capability.MATCH: ("pin requests by a header or a cookie", "matches"),
    Capability.VERSIONS: ("carry more than two versions", "others"),
    Capability.MIRROR: ("mirror requests", "mirror"),
}


class CannotCarry(InvalidInput, TrafficError):
    """The service's driver cannot carry this split; nothing was moved."""

    kind = "cannot-carry"

    def __str__(self) -> str:
        """Return the whole of it, for places that show one line."""
        return f"{self.detail.rstrip('.')}; {self.next_step[:1].lower()}{self.next_step[1:]}"


def needs(desired: DesiredSplit) -> frozenset[Capability]:
    """Return the capabilities without which a driver cannot carry this split."""
    asked = {
        Capability.TARGET_FILTER: desired.user_ids or desired.workflow_ids,
        Capability.MATCH: desired.matches,
        Capability.VERSIONS: desired.others,
        Capability.MIRROR: desired.mirror is not None,
    }
    return frozenset(capability for capability, wanted in asked.items() if wanted)


def ensure_able(
    driver: str,
    capabilities: Collection[Capability],
    desired: DesiredSplit,
    known: Callable[[], Mapping[str, Collection[Capability]]] = dict,
) -> None:
    """Refuse a split that a driver cannot carry, or that nothing could carry.

    Args:
        driver: The driver's name in the catalogue.
        capabilities: What it can do.
        desired: What it is asked to do.
        known: Returns what every driver can do, to name those that could; asked only then.

    Raises:
        CannotCarry: The driver lacks a capability, the shares add up to more than everybody, or a
            version has two of them.
    """
    missing = [c for c in _ASKED_BY if c in needs(desired) - set(capabilities)]
    if missing:
        cannot = " and ".join(f"cannot {_ASKED_BY[c][0]}" for c in missing)
        fields = " and ".join(f"`{_ASKED_BY[c][1]}`" for c in missing)
        able = sorted(n for n, theirs in known().items() if n != driver and set(missing) <= set(theirs))
        instead = f"Use {_either(able)}, or leave" if able else "Leave"
        raise CannotCarry(
            f"{driver} {cannot}.", field=_ASKED_BY[missing[0]][1], next_step=f"{instead} {fields} out."
        )
    _ensure_sound(desired)


def _either(names: list[str]) -> str:
    """Return names as a choice.

    >>> _either(["envoy", "haproxy", "traefik"])
    'envoy, haproxy or traefik'
    """
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _ensure_sound(desired: DesiredSplit) -> None:
    widths = [desired.canary_bp, *(w for share in desired.others for w in (share.bp, share.gap_bp))]
    total = sum(widths)
    if total > BUCKETS or min(widths) < 0:
        raise CannotCarry(
            f"The shares of {desired.service} add up to {total / 100:g} %.",
            field="others",
            next_step="Make each at least 0 and all together at most 100 %.",
        )
    listed = (desired.stable, desired.canary, *(share.upstream for share in desired.others))
    versions = [upstream.version for upstream in listed if upstream]
    twice = sorted({version for version in versions if versions.count(version) > 1})
    if twice:
        raise CannotCarry(
            f"{desired.service} {twice[0]} has more than one share.",
            field="others",
            next_step="Name each version once, and stable in none of the shares.",
        )
    if desired.others and desired.canary is None:
        raise CannotCarry(
            f"{desired.service} has further candidates, but no canary.",
            field="others",
            next_step="Make the first candidate the canary.",
        )
    for match in desired.matches:
        if not _TOKEN.fullmatch(match.name) or not _VALUE.fullmatch(match.value):
            raise CannotCarry(
                f"No request can have {match.name[:80]!r} with the value {match.value[:80]!r}.",
                field="matches",
                next_step="Give a header's or a cookie's name and its whole value, without line breaks.",
            )
    if not 0 <= desired.mirror_bp <= BUCKETS:
        raise CannotCarry(
            f"A mirror of {desired.mirror_bp / 100:g} % is not possible.",
            field="mirror_bp",
            next_step="Give 0 to 10,000 basis points.",
        )
