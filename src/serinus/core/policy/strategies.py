"""Strategies as users write them, read into the model with what is wrong by its place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Annotated, Any

from serinus.core.bucketing import BUCKETS
from serinus.core.codec import from_json, read, refuse, told
from serinus.core.errors import InvalidInput
from serinus.core.hooks import Hook, Phase, checked, checked_one
from serinus.core.model import CanaryConfig, Mode, Role, Step, Stickiness, Strategy, parse_percentage
from serinus.core.policy.forms import Exactly, Seconds, WrittenForm
from serinus.core.policy.freezes import FreezeWindowInput
from serinus.core.policy.freezing import windows_in
from serinus.core.strategy import (
    DuringFreeze,
    FreezeCalendar,
    FreezeSpan,
    GradualRollback,
    Preview,
    StrategyType,
)

__all__ = ["Gate", "salt_from", "strategy_from"]

_SALT = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_GATE_ROLES = (Role.APPROVER, Role.ADMIN)
#: The only condition under which a gradual rollback goes on.
WHILE = "stable healthy"


class _GateForm(WrittenForm):
    """``true``, ``false``, or ``{role: admin}``: which role passes it, ``None`` without a gate."""

    def read(self, data: Any, where: str, problems: dict[str, str]) -> Any:
        if isinstance(data, bool):
            return Role.APPROVER if data else None
        given = read(_GateInput, data, where, problems)
        if given is not None and given.role not in _GATE_ROLES:
            problems[f"{where}.role"] = f"{given.role.value!r} is not one of approver, admin"
        return given.role if given is not None else None


@dataclass(frozen=True, kw_only=True, slots=True)
class _GateInput:
    role: Role = Role.APPROVER


Gate = Annotated[Role | None, _GateForm()]


@dataclass(frozen=True, kw_only=True, slots=True)
class _CompensateInput:
    """Exactly one of the three ways, as for a hook."""

    url: str = ""
    url_env: str = ""
    command: str = ""
    secret_env: str = ""

    def hook(self, name: str, where: str) -> Hook:
        """Return it as the hook ``name``."""
        return checked_one(
            Hook(
                name=name,
                phase=Phase.COMPENSATE,
                url=self.url,
                url_env=self.url_env,
                command=self.command,
                secret_env=self.secret_env,
            ),
            where,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _StepInput:
    traffic_percentage: float
    hold_seconds: float | None = None
    gate: Gate = None
    manual: bool = False
    min_seconds: Seconds = 0.0
    irreversible: bool = False
    compensate: _CompensateInput | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _MirrorInput:
    percent: float
    seconds: Seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class _MatchInput:
    name: str
    value: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _PreviewInput:
    header: _MatchInput | None = None
    cookie: _MatchInput | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _RollbackInput:
    mode: Annotated[str, Exactly("gradual", "must be gradual; leave `rollback` out for at once")] = "gradual"
    steps: tuple[float, ...] = (75, 50, 25)
    seconds: Seconds = 30.0
    while_: Annotated[str, Exactly(WHILE, f"must be `{WHILE}`")] = told("", WHILE, also="while")


@dataclass(frozen=True, kw_only=True, slots=True)
class _FreezeInput:
    zone: str = "UTC"
    windows: tuple[FreezeWindowInput, ...] = ()
    on_start: DuringFreeze = DuringFreeze.WAIT


@dataclass(frozen=True, kw_only=True, slots=True)
class _StrategyInput:
    type: StrategyType = StrategyType.CANARY
    #: Manual for a canary unless given, auto for blue-green.
    mode: Mode | None = None
    steps: tuple[_StepInput, ...] = ()
    stickiness: Stickiness = Stickiness.PERSISTENT
    auto_promote: bool = False
    #: Prefix of the hashed key; the deployment's id unless given.
    salt: str = ""
    preview: _PreviewInput | None = None
    mirror: _MirrorInput | None = None
    start_at: datetime | None = None
    rollback: _RollbackInput | None = None
    freeze: _FreezeInput | None = None
    #: Blue-green: before the switch, after it, and who says so.
    warm_seconds: Seconds | None = None
    hold_seconds: Seconds | None = None
    keep_warm_seconds: Seconds | None = None
    gate: Gate = None
    hooks: tuple[Hook, ...] = ()
    compensate: _CompensateInput | None = None


def strategy_from(data: Mapping[str, Any] | None, config: CanaryConfig) -> Strategy:
    """Read a strategy; without steps, auto mode walks the steps of ``canary_config``.

    Raises:
        InvalidInput: A field is wrong; percentages must rise from step to step.
    """
    given = from_json(_StrategyInput, data or {}, "strategy")
    hold = config.duration_minutes * 60
    blue_green = given.type is StrategyType.BLUE_GREEN
    mode = given.mode or (Mode.AUTO if blue_green or given.mirror else Mode.MANUAL)
    # A mirror is a step of its own, before those that are written.
    first = 2 if given.mirror else 1
    steps = _switch(given, mode, hold) if blue_green else _steps(given, hold, first)
    if mode is Mode.AUTO and not steps:
        steps = config.steps()
    if given.mirror:
        steps = (_mirror(given.mirror, mode), *steps)
    return Strategy(
        type=given.type,
        mode=Mode.AUTO if blue_green else mode,
        steps=steps,
        stickiness=given.stickiness,
        auto_promote=given.auto_promote,
        preview=_preview(given.preview),
        keep_warm_seconds=given.keep_warm_seconds or 0.0,
        start_at=given.start_at,
        rollback=_rollback(given.rollback),
        freeze=_freeze(given.freeze),
        hooks=checked(given.hooks),
        compensate=given.compensate.hook("deployment", "strategy.compensate") if given.compensate else None,
    )


def _steps(given: _StrategyInput, hold: float, first: int) -> tuple[Step, ...]:
    for name in ("warm_seconds", "hold_seconds", "keep_warm_seconds", "gate"):
        if getattr(given, name) is not None:
            raise InvalidInput(
                f"strategy.{name} belongs to a blue-green strategy.",
                field=f"strategy.{name}",
                next_step="Put times and gates on the steps, or give `type: blue_green`.",
            )
    steps = tuple(
        Step(
            traffic_bp=parse_percentage(s.traffic_percentage, f"strategy.steps[{at}].traffic_percentage"),
            hold_seconds=max(
                s.min_seconds, _not_negative(hold if s.hold_seconds is None else s.hold_seconds, at)
            ),
            gate=s.gate is not None,
            gate_role=s.gate or Role.APPROVER,
            manual=s.manual,
            min_seconds=s.min_seconds,
            irreversible=s.irreversible,
            compensate=s.compensate.hook(f"step-{at + first}", f"strategy.steps[{at}].compensate")
            if s.compensate
            else None,
        )
        for at, s in enumerate(given.steps)
    )
    for at, (one, two) in enumerate(pairwise(steps)):
        if two.traffic_bp <= one.traffic_bp:
            raise InvalidInput(
                "Each step must have more traffic than the one before.",
                field=f"strategy.steps[{at + 1}].traffic_percentage",
                next_step="Order them like 1, 5, 25, 100.",
            )
    return steps


def _switch(given: _StrategyInput, mode: Mode, hold: float) -> tuple[Step, ...]:
    """Return blue-green's two steps: nobody while it is warmed and looked at, then everybody."""
    if given.steps:
        raise InvalidInput(
            "A blue-green strategy switches at once: it has no steps.",
            field="strategy.steps",
            next_step="Leave `steps` out; `warm_seconds`, `gate` and `hold_seconds` say how it goes.",
        )
    warm = Step(
        traffic_bp=0,
        hold_seconds=given.warm_seconds or 0.0,
        gate=given.gate is not None,
        gate_role=given.gate or Role.APPROVER,
        manual=mode is Mode.MANUAL,
        min_seconds=given.warm_seconds or 0.0,
    )
    return warm, Step(
        traffic_bp=BUCKETS, hold_seconds=hold if given.hold_seconds is None else given.hold_seconds
    )


def _mirror(given: _MirrorInput, mode: Mode) -> Step:
    if mode is Mode.MANUAL:
        raise InvalidInput(
            "A mirror is the first step of a walk, and `mode: manual` walks none.",
            field="strategy.mirror",
            next_step="Give `mode: auto`; single steps may be `manual: true`.",
        )
    share = parse_percentage(given.percent, "strategy.mirror.percent")
    if share == 0:
        raise InvalidInput(
            "A mirror of 0 % copies nothing.",
            field="strategy.mirror.percent",
            next_step="Give more than 0, or leave `mirror` out.",
        )
    return Step(traffic_bp=0, hold_seconds=given.seconds, mirror_bp=share)


def _preview(given: _PreviewInput | None) -> Preview | None:
    if given is None:
        return None
    if (given.header is None) == (given.cookie is None):
        raise InvalidInput(
            "A preview is by a header or by a cookie.",
            field="strategy.preview",
            next_step="Give one of `header` and `cookie`, each with `name` and `value`.",
        )
    match = given.header or given.cookie
    assert match is not None
    return Preview(name=match.name, value=match.value, cookie=given.cookie is not None)


def _rollback(given: _RollbackInput | None) -> GradualRollback | None:
    if given is None:
        return None
    rungs = tuple(parse_percentage(s, f"strategy.rollback.steps[{at}]") for at, s in enumerate(given.steps))
    if (
        not rungs
        or any(two >= one for one, two in pairwise(rungs))
        or not 0 < rungs[-1] <= rungs[0] < BUCKETS
    ):
        raise InvalidInput(
            "The way back goes down from step to step.",
            field="strategy.rollback.steps",
            next_step="Give the canary's falling shares between 100 and 0, like 75, 50, 25.",
        )
    return GradualRollback(rungs=rungs, seconds=given.seconds)


def _freeze(given: _FreezeInput | None) -> FreezeCalendar | None:
    if given is None:
        return None
    spans = tuple(FreezeSpan(name=w.name, begins=w.from_, ends=w.until, days=w.days) for w in given.windows)
    calendar = FreezeCalendar(zone=given.zone, windows=spans, on_start=given.on_start)
    problems: dict[str, str] = {}
    windows_in(calendar, "strategy.freeze", problems)
    refuse(problems)
    return calendar


def _not_negative(seconds: float, at: int) -> float:
    if seconds < 0:
        raise InvalidInput(
            f"hold_seconds is {seconds:g}.",
            field=f"strategy.steps[{at}].hold_seconds",
            next_step="Give 0 or more seconds.",
        )
    return seconds


def salt_from(data: Mapping[str, Any] | None, fallback: str) -> str:
    """Return the strategy's salt, or ``fallback``.

    Raises:
        InvalidInput: It has other characters than letters, digits, ``_``, ``.`` and ``-``.
    """
    salt = from_json(_StrategyInput, data or {}, "strategy").salt or fallback
    if not _SALT.fullmatch(salt):
        raise InvalidInput(
            f"The salt {salt[:80]!r} has characters that proxies cannot carry.",
            field="strategy.salt",
            next_step="Use up to 64 letters, digits, `_`, `.` and `-`.",
        )
    return salt
