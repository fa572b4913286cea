"""The guard's file: what is looked at before a rollout, with defaults for all of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from serinus.core.codec import at, read_file, told
from serinus.core.freeze import Span, Weekly
from serinus.core.policy.forms import Choice, Duration, EnvName, Exactly, Number, OrOff, Percentage, Text
from serinus.core.policy.freezes import FreezeInput, windows_of
from serinus.core.policy.schema import schema_of

__all__ = [
    "CHECKS",
    "Artifacts",
    "Guard",
    "GuardFile",
    "Migrations",
    "Redis",
    "Release",
    "Runbook",
    "Secrets",
    "Stable",
    "guard_from",
    "guard_schema",
]

#: Contract 3's five, in its order.
CHECKS = ("tag", "migrations", "secrets", "artifacts", "runbook")
_MORE = ("health", "performance", "error budget", "freeze")
_Url = Annotated[str, Text(r"https?://[^\s@]+", "expected http://host:port, without a password")]


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """The release tag, and the model checkpoints that belong to it."""

    checkpoints: tuple[str, ...] = told(
        "Patterns of model checkpoints, such as models/*.pt; each must match a file of the manifest.", ()
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Redis:
    """A Redis whose schema has a version, kept under a key."""

    url_env: EnvName = told("The environment variable that holds its redis:// address.", required=True)
    key: str = told("The key that holds the version.", "schema_version")
    expect: str = told("What it must be.", required=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Migrations:
    """Database and Redis schema."""

    folder: str = told("Alembic's versions; left out: migrations/versions or alembic/versions.", "")
    url_env: EnvName | None = told(
        "The environment variable that holds the database's address: it must be at the newest revision."
    )
    redis: Redis | None = told("Its Redis.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Secrets:
    """Secrets: every key of the example has a value, and no placeholder is left."""

    env: str = told("The file with the values; the environment counts too.", ".env")
    example: str = told("The file with the keys.", ".env.example")
    optional: tuple[str, ...] = told("Keys that may be empty.", ())


@dataclass(frozen=True, kw_only=True, slots=True)
class Artifacts:
    """The files that are released, by their SHA-256."""

    manifest: str = told("The manifest that `serinus release create` writes.", "SHA256SUMS")


@dataclass(frozen=True, kw_only=True, slots=True)
class Runbook:
    """What whoever is on call needs."""

    file: str = told("The runbook; left out: RUNBOOK.md, docs/RUNBOOK.md or docs/runbook.md.", "")
    sections: tuple[str, ...] = told(
        "Its sections, each with something in it.", ("Deploy", "Rollback", "Monitoring", "Contacts")
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Stable:
    """The stable version's health, and its performance against thresholds (contract 5's SLOs)."""

    base_url: _Url | None = told("Where it answers; it is asked a few times.")
    path: Annotated[str, Text(r"/\S*", "expected a path that begins with /")] = told("Which path.", "/")
    requests: Annotated[int, Number(low=1, whole=True)] = told("How often it is asked.", 20)
    availability: Annotated[float, Percentage()] = told("Share that must be answered without error.", 0.995)
    p95: Annotated[float, Duration(above_zero=True)] = told("95 % take no longer than this.", 0.8)
    errors: Annotated[float, Percentage()] = told("Share of errors that is allowed.", 0.005)


@dataclass(frozen=True, kw_only=True, slots=True)
class GuardFile:
    """What is looked at before a rollout; whatever is left out has its default, `off` leaves it out."""

    version: Annotated[int, Exactly(1, "expected 1")] | None = told("Of this format: 1.")
    service: str = told("The service at the control plane.", "")
    tag: Annotated[Any, OrOff(Release)] = told("The release tag and its model checkpoints.", Release())
    migrations: Annotated[Any, OrOff(Migrations)] = told("Database and Redis schema.", Migrations())
    secrets: Annotated[Any, OrOff(Secrets)] = told("Secrets are complete.", Secrets())
    artifacts: Annotated[Any, OrOff(Artifacts)] = told("Artifacts are those of the manifest.", Artifacts())
    runbook: Annotated[Any, OrOff(Runbook)] = told("The runbook is there.", Runbook())
    stable: Annotated[Any, OrOff(Stable)] = told("Stable's health and performance.", Stable())
    slos: str = told(
        "A policy file whose `slos` are measured by its Prometheus; left out: what the control plane has "
        "recorded; or off.",
        "",
    )
    freeze: FreezeInput = told("When nothing is rolled out.", FreezeInput())
    required: tuple[Annotated[str, Choice("check", CHECKS + _MORE)], ...] = told(
        "Checks that may not be left out even without --strict.", ()
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Guard:
    """A guard's file, read."""

    file: GuardFile
    freezes: tuple[Span | Weekly, ...] = ()


def guard_schema() -> dict[str, Any]:
    """Return the JSON Schema of guard files, for editors."""
    return schema_of(GuardFile, "Serinus guard")


def guard_from(data: Any) -> Guard:
    """Read a guard file's data.

    Raises:
        InvalidInput: Anything is wrong; ``extra["errors"]`` has all of it by place.
    """
    freezes: list[Span | Weekly] = []

    def check(file: GuardFile, problems: dict[str, str]) -> None:
        if not any(p.startswith("freeze") for p in problems):
            freezes.extend(windows_of(file.freeze, at("", "freeze"), problems))

    file = read_file(GuardFile, data, check)
    return Guard(file=file, freezes=tuple(freezes))
