"""Making a release: the tag, the manifest of its artifacts, the changelog; and looking at one again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from serinus.core.errors import Conflict, InvalidInput
from serinus.core.policy.units import number_of
from serinus.guard.git import RELEASE, Repository, release_number
from serinus.guard.manifest import CHANGELOG, MANIFEST, differences, read_manifest, select, write_manifest

__all__ = ["CHANGELOG", "MANIFEST", "Draft", "changes", "draft", "make", "verify"]

_KIND = re.compile(r"(\w+)(?:\([^)]*\))?(!)?:\s+(.+)")
_HEADINGS = {"feat": "Added", "fix": "Fixed", "perf": "Faster", "docs": "Documentation"}
#: Everything else stands under this.
_REST = "Changed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """A release that could be made."""

    tag: str
    #: The release before, or nothing.
    since: str
    commit: str
    files: tuple[str, ...] = ()
    manifest: str = ""
    changelog: str = ""
    commits: int = 0
    extra: dict[str, str] = field(default_factory=dict)


def draft(repository: Repository, tag: str, patterns: Sequence[str], day: date) -> Draft:
    """Return what a release would be, after everything that refuses it was looked at.

    Args:
        repository: Where.
        tag: Its tag, vX.Y.Z.
        patterns: Its artifacts, as patterns from the repository's top.
        day: The date in the changelog.

    Raises:
        InvalidInput: The tag has another shape, or a pattern matches nothing.
        Conflict: The tag exists, files have changed, or the release is not above the one before.
    """
    if not RELEASE.fullmatch(tag):
        raise InvalidInput(f"{tag[:80]!r} is no release tag.", field="tag", next_step="Write it like v1.2.0.")
    if repository.commit_of(tag):
        raise Conflict(f"The tag {tag} exists already.", next_step=f"serinus release verify {tag}")
    if not repository.head():
        raise Conflict("There is no commit yet.", next_step="Commit first.")
    changed = repository.changed(MANIFEST, CHANGELOG)
    if changed:
        shown = ", ".join(changed[:3]) + (" …" if len(changed) > 3 else "")
        raise Conflict(
            f"{number_of(len(changed), 'file')} not committed: {shown}",
            next_step="Commit or discard them first.",
        )
    before = repository.tags()
    if before and release_number(tag) <= release_number(before[-1]):
        raise Conflict(f"{tag} is not above the last release {before[-1]}.", next_step="Choose a higher one.")
    since = before[-1] if before else ""
    subjects = repository.subjects(since)
    if not subjects:
        raise Conflict(f"Nothing has been committed since {since}.", next_step="There is nothing to release.")
    files = tuple(f for f in select(repository.root, patterns) if f not in (MANIFEST, CHANGELOG))
    return Draft(
        tag=tag,
        since=since,
        commit=repository.head(),
        files=files,
        manifest=write_manifest(repository.root, files),
        changelog=changes(tag, since, subjects, day),
        commits=len(subjects),
    )


def changes(tag: str, since: str, subjects: Sequence[tuple[str, str]], day: date) -> str:
    """Return a changelog of commits, newest first, under a heading for each kind.

    >>> print(changes("v1.1.0", "v1.0.0", [("ab12", "fix(api): round up"), ("cd34", "Add a page")],
    ...               date(2026, 1, 31)))
    ## v1.1.0 (2026-01-31), since v1.0.0
    <BLANKLINE>
    ### Fixed
    - round up (ab12)
    <BLANKLINE>
    ### Changed
    - Add a page (cd34)
    <BLANKLINE>
    """
    groups: dict[str, list[str]] = {}
    for sign, subject in subjects:
        found = _KIND.fullmatch(subject)
        known = found is not None and (found[1].lower() in _HEADINGS or found[1].lower() in _OTHER_KINDS)
        heading, text = _REST, subject
        if found is not None and known:
            heading, text = _HEADINGS.get(found[1].lower(), _REST), found[3]
            heading = "Breaking" if found[2] else heading
        groups.setdefault(heading, []).append(f"- {text} ({sign})")
    order = ["Breaking", *_HEADINGS.values(), _REST]
    head = f"## {tag} ({day.isoformat()})" + (f", since {since}" if since else "")
    parts = [f"### {name}\n" + "\n".join(groups[name]) + "\n" for name in order if name in groups]
    return f"{head}\n\n" + "\n".join(parts)


_OTHER_KINDS = ("build", "chore", "ci", "refactor", "revert", "style", "test")


def make(repository: Repository, made: Draft) -> list[Path]:
    """Write manifest and changelog and make the tag, whose message holds both; return what was written.

    Raises:
        Conflict: git refuses the tag; nothing is written then.
    """
    parts = [f"Release {made.tag}", made.changelog]
    if made.manifest:
        parts.append(f"{_MARK}\n{made.manifest}")
    repository.tag(made.tag, "\n\n".join(parts))
    written = []
    for name, text in ((MANIFEST, made.manifest), (CHANGELOG, made.changelog)):
        if text:
            path = repository.root / name
            path.write_text(text, "utf-8")
            written.append(path)
    return written


_MARK = "SHA-256 of the artifacts:"


def verify(repository: Repository, tag: str) -> tuple[str, list[str]]:
    """Hold the artifacts here against the manifest in a release's tag.

    Returns what the release is, in words, and what is wrong.

    Raises:
        InvalidInput: There is no such release.
    """
    commit = repository.commit_of(tag)
    if not commit:
        known = ", ".join(repository.tags()[-5:]) or "none"
        raise InvalidInput(
            f"There is no release {tag[:80]!r}.", field="tag", next_step=f"The last ones: {known}."
        )
    problems = []
    if commit != repository.head():
        problems.append(f"{tag} is {commit[:12]}, checked out is {repository.head()[:12]}")
    _, mark, listed = repository.message_of(tag).partition(f"{_MARK}\n")
    manifest = read_manifest(listed.strip()) if mark else {}
    problems += differences(repository.root, manifest)
    path = repository.root / MANIFEST
    if mark and path.is_file() and read_manifest(path.read_text("utf-8")) != manifest:
        problems.append(f"{MANIFEST} is not the manifest of the tag")
    return f"{tag} is commit {commit[:12]} with {number_of(len(manifest), 'artifact')}", problems
