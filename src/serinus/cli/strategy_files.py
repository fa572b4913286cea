"""Strategy files for commands: YAML or JSON, checked before anything is sent, each problem by its line."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import typer

from serinus.cli.common import err, failed

__all__ = ["contest_of", "moment_of", "no_share_beside_steps", "strategy_of"]


def strategy_of(path: Path) -> dict[str, Any]:
    """Return the strategy that a file has, as the API takes it."""
    from serinus.cli.policy_files import Wrong, read_as
    from serinus.core.codec import to_json
    from serinus.core.errors import InvalidInput
    from serinus.core.model import CanaryConfig
    from serinus.core.policy.strategies import strategy_from

    def checked(data: Any) -> dict[str, Any]:
        try:
            strategy_from(data, CanaryConfig())
        except InvalidInput as error:
            errors = error.extra.get("errors", {error.field: error.detail})
            local = {place.removeprefix("strategy").lstrip("."): words for place, words in errors.items()}
            raise InvalidInput(error.detail, extra={"errors": local}) from None
        return dict(to_json(data))

    try:
        return read_as(path, checked)
    except Wrong as wrong:
        err().print(str(wrong), markup=False, soft_wrap=True)
        raise typer.Exit(2) from None


def no_share_beside_steps(path: Path, moves: dict[str, Any], percentage: float | None) -> None:
    """Refuse a share to start with where the steps of a strategy file say it.

    Raises:
        typer.Exit: The file walks by itself.
    """
    from serinus.core.model import CanaryConfig, Mode
    from serinus.core.policy.strategies import strategy_from

    if percentage is not None and strategy_from(moves, CanaryConfig()).mode is Mode.AUTO:
        raise failed(
            f"{path}: its steps say the shares, and --percentage {percentage:g} would be dropped.",
            "Leave it out, or write it into the file's first step.",
        )


def moment_of(text: str) -> str:
    """Return a time as the API takes it; without an offset it is this machine's."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r}: write a time like 2026-01-31T06:00.") from None
    return moment.astimezone().isoformat()


def contest_of(candidates: list[str], addresses: list[str], percentage: float | None) -> dict[str, Any]:
    """Return the strategy of candidates that were named as options: it walks, or is moved by hand.

    Args:
        candidates: Their versions, the canary first.
        addresses: ``VERSION=host:port``, for services behind a proxy.
        percentage: The share to start with; then people move it.

    Raises:
        typer.Exit: An address does not say whose it is.
    """
    given: dict[str, list[str]] = {v: [] for v in candidates}
    for text in addresses:
        whose, sign, address = text.partition("=")
        if not sign or whose not in given:
            raise failed(
                f"--address {text}: it does not say which candidate answers there.",
                f"Write VERSION=host:port, like {candidates[0]}=10.0.0.7:8000.",
            )
        given[whose].append(address)
    listed = [{"version": v, **({"addresses": a} if a else {})} for v, a in given.items()]
    return {"type": "ab", "candidates": listed, **({} if percentage is None else {"mode": "manual"})}
