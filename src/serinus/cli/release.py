"""``serinus release create vX.Y.Z`` and ``serinus release verify``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from serinus.cli.common import JsonFlag, err, failed, out, print_json
from serinus.cli.steps import Steps
from serinus.core.errors import SerinusError
from serinus.core.policy.units import number_of

__all__ = ["release"]

release = typer.Typer(no_args_is_help=True, help="Make a release: tag, manifest of hashes, changelog.")


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except SerinusError as error:
        raise failed(error.detail, error.next_step, code=1) from None


@release.command()
def create(
    tag: Annotated[str, typer.Argument(metavar="vX.Y.Z", help="The release's tag.")],
    artifact: Annotated[
        list[str] | None,
        typer.Option("--artifact", help="Files of the release, such as 'dist/*.whl'; may be repeated."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show it; write and tag nothing.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Tag this commit, with a SHA-256 manifest of its artifacts and a changelog of its commits.

    It refuses files that are not committed, a tag that exists, and one that is not above the last.
    """
    from serinus.guard import release as making
    from serinus.guard.git import Repository

    with _told():
        repository = Repository(Path())
        made = making.draft(repository, tag, artifact or (), datetime.now(UTC).date())
        written = [] if dry_run else making.make(repository, made)
    if as_json:
        print_json({**asdict(made), "dry_run": dry_run, "written": [str(p) for p in written]})
        return
    out().print(made.changelog, markup=False, end="")
    if made.manifest:
        out().print(f"\n{making.MANIFEST}\n{made.manifest}", markup=False, end="")
    steps = Steps(console=err())
    if dry_run:
        steps.say("dry run", "note", f"nothing was written, {tag} was not made")
        return
    since = made.since or "the beginning"
    steps.passed("tag", f"{tag} on {made.commit[:12]}, {number_of(made.commits, 'commit')} since {since}")
    for path in written:
        steps.passed("written", path.name)
    err().print(f"  [dim]next[/]  git push origin {tag} · serinus guard check --strict")


@release.command()
def verify(
    tag: Annotated[
        str, typer.Argument(metavar="[vX.Y.Z]", help="The release; by default the one checked out.")
    ] = "",
    as_json: JsonFlag = False,
) -> None:
    """Hold the artifacts here against the manifest in the release's tag; exit code 1 when they differ."""
    from serinus.guard import release as making
    from serinus.guard.git import Repository

    with _told():
        repository = Repository(Path())
        here = tag or next(reversed(repository.tags_here()), "")
        if not here:
            raise failed("This commit has no release tag.", "Name one: serinus release verify vX.Y.Z", code=1)
        what, problems = making.verify(repository, here)
    if as_json:
        print_json({"tag": here, "release": what, "problems": problems, "ok": not problems})
    else:
        out().print(f"[green]✔[/] {what}" if not problems else f"[red]✘[/] {what}")
        for problem in problems:
            out().print(f"  {problem}", markup=False)
    raise typer.Exit(1 if problems else 0)
