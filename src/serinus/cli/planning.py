"""The options that commands which roll out share, and what they mean: stages, and the policy."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer

from serinus.cli.common import err
from serinus.core.model import CompensationStrategy as Undoing
from serinus.core.policy.presets import PRESETS

__all__ = [
    "STAGES",
    "AddressOption",
    "CompensationOption",
    "PolicyOption",
    "PollOption",
    "ShareOption",
    "StickinessOption",
    "VersionOption",
    "analysis_of",
    "hooks_of",
    "plan_of",
]

VersionOption = Annotated[str, typer.Option("--version", help="Which version.", envvar="SERINUS_VERSION")]
AddressOption = Annotated[
    list[str] | None, typer.Option("--address", help="host:port of the new version; may be repeated.")
]
ShareOption = Annotated[float, typer.Option("--percentage", min=0.01, max=100, help="The canary's share.")]
PolicyOption = Annotated[
    str,
    typer.Option(
        "--policy",
        help="Policy file (YAML or JSON), or a preset: " + ", ".join(sorted(PRESETS)) + ".",
        envvar="SERINUS_POLICY",
    ),
]
CompensationOption = Annotated[
    Undoing,
    typer.Option("--compensation", help="What a rollback does beside moving traffic."),
]
StickinessOption = Annotated[
    str, typer.Option("--stickiness", help="persistent or hash; by default the file's, else persistent.")
]
PollOption = Annotated[float, typer.Option("--poll", min=0.1, help="Seconds between two looks.")]

#: Contract 3's stages.
STAGES = "1,5,25,100"


def _stages(text: str) -> list[float]:
    try:
        listed = [float(part) for part in text.split(",")]
    except ValueError:
        listed = []
    rising = all(a < b for a, b in pairwise(listed))
    if not listed or not rising or not all(0 < s <= 100 for s in listed):
        raise typer.BadParameter(f"{text!r}: write rising percentages like 1,5,25,100.")
    return listed


def plan_of(
    stages: str | None, observation: float, final: float, policy: str, stickiness: str, salt: str
) -> dict[str, Any]:
    """Return strategy and analysis: stages that were asked for win over the policy file's steps."""
    analysis, steps = analysis_of(policy)
    if stages is not None or not steps:
        listed = _stages(STAGES if stages is None else stages)
        steps = [
            {"traffic_percentage": s, "hold_seconds": final if s == 100 else observation} for s in listed
        ]
    strategy = {"mode": "auto", "steps": steps, "stickiness": stickiness}
    if salt:
        strategy["salt"] = salt
    return {"strategy": strategy, "analysis": analysis}


def analysis_of(policy: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return what ``--policy`` names, and the steps that it brings."""
    from serinus.cli.policy_files import Wrong, to_send

    try:
        return to_send(policy)
    except Wrong as wrong:
        err().print(str(wrong), markup=False, soft_wrap=True)
        raise typer.Exit(2) from None


def hooks_of(path: Path) -> list[Any]:
    """Return the list under ``hooks`` in a file; what is in it the control plane checks."""
    from serinus.cli.yaml_file import Unreadable, read_yaml

    try:
        data = read_yaml(path).data
    except Unreadable as problem:
        err().print(f"{path}: {problem}", markup=False, soft_wrap=True)
        raise typer.Exit(2) from None
    listed = data.get("hooks") if isinstance(data, dict) else None
    if not isinstance(listed, list):
        err().print(f"{path}: expected a list under `hooks`", markup=False, soft_wrap=True)
        raise typer.Exit(2)
    return listed
