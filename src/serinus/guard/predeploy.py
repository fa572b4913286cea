"""Contract 3's five checks before a deployment: tag, migrations, secrets, artifacts, runbook."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from serinus.core.errors import InvalidInput, SerinusError
from serinus.core.policy.units import number_of
from serinus.guard.dotenv import problems_of, read_env
from serinus.guard.file import Artifacts, GuardFile, Migrations, Release, Runbook, Secrets
from serinus.guard.findings import Finding, failed, passed, skipped
from serinus.guard.git import RELEASE, Repository
from serinus.guard.manifest import CHANGELOG, MANIFEST, differences, read_manifest
from serinus.guard.migrations import database_revision, find_folder, head_of, redis_version

__all__ = ["before_deployment"]

GROUP = "before deployment"
_RUNBOOKS = ("RUNBOOK.md", "docs/RUNBOOK.md", "docs/runbook.md")


def before_deployment(
    file: GuardFile, root: Path, version: str, environment: Mapping[str, str]
) -> list[Finding]:
    """Look at all five; what the file has switched off is not looked at.

    Args:
        file: What is looked at.
        root: The folder of the release.
        version: The release that is about to be deployed; empty: the tag that is checked out.
        environment: For secrets and addresses.
    """
    found = []
    if file.tag:
        found.append(_guarded("tag", lambda: _tag(file.tag, file.artifacts, root, version)))
    if file.migrations:
        found.append(_guarded("migrations", lambda: _migrations(file.migrations, root, environment)))
    if file.secrets:
        found.append(_guarded("secrets", lambda: _secrets(file.secrets, root, environment)))
    if file.artifacts:
        found.append(_guarded("artifacts", lambda: _artifacts(file.artifacts, root)))
    if file.runbook:
        found.append(_guarded("runbook", lambda: _runbook(file.runbook, root)))
    return found


def _guarded(name: str, check: Callable[[], Finding]) -> Finding:
    """A check that cannot look is a failure, told in words."""
    try:
        return check()
    except SerinusError as error:
        return failed(GROUP, name, error.detail, error.next_step)
    except (OSError, UnicodeDecodeError) as error:
        return failed(GROUP, name, f"it cannot be read ({type(error).__name__})")


def _tag(wanted: Release, artifacts: Artifacts, root: Path, version: str) -> Finding:
    try:
        repository = Repository(root)
    except InvalidInput as error:
        return skipped(GROUP, "tag", error.detail, error.next_step)
    if version and not RELEASE.fullmatch(version):
        return skipped(GROUP, "tag", f"{version} is no release tag vX.Y.Z", "Name releases like v1.2.0.")
    here = repository.tags_here()
    if version and repository.commit_of(version) and version not in here:
        return failed(GROUP, "tag", f"{version} is another commit", f"git checkout {version}")
    if version and version not in here:
        return skipped(GROUP, "tag", f"there is no tag {version}", f"serinus release create {version}")
    if not here:
        make = "serinus release create vX.Y.Z"
        return skipped(GROUP, "tag", "this commit has no release tag vX.Y.Z", make)
    said = f"{version or here[-1]} is this commit"
    names = (artifacts.manifest if artifacts else MANIFEST, CHANGELOG)
    if changed := repository.changed(*names):
        why = f"{said}, but {changed[0]} has changed since"
        return failed(GROUP, "tag", why, "Commit or discard it.")
    if not wanted.checkpoints:
        return passed(GROUP, "tag", said)
    return _checkpoints(wanted, artifacts, root, said)


def _checkpoints(wanted: Release, artifacts: Artifacts, root: Path, said: str) -> Finding:
    """Model checkpoints belong to a release when its manifest has them."""
    path = root / (artifacts.manifest if artifacts else MANIFEST)
    listed = read_manifest(path.read_text("utf-8")) if path.is_file() else {}
    count = 0
    for pattern in wanted.checkpoints:
        matched = [p.relative_to(root).as_posix() for p in root.glob(pattern) if p.is_file()]
        if not matched:
            return failed(GROUP, "tag", f"{said}, but there is no model checkpoint {pattern}")
        missing = [name for name in matched if name not in listed]
        if missing:
            why = f"{said}, but the manifest does not have the checkpoint {missing[0]}"
            return failed(GROUP, "tag", why, "Make the release with --artifact for it.")
        count += len(matched)
    return passed(GROUP, "tag", f"{said}, with {number_of(count, 'model checkpoint')}")


def _migrations(wanted: Migrations, root: Path, environment: Mapping[str, str]) -> Finding:
    folder = find_folder(root, wanted)
    if folder is None and wanted.folder:
        return failed(GROUP, "migrations", f"there is no folder {wanted.folder}")
    if folder is None and wanted.redis is None:
        return skipped(GROUP, "migrations", "no migrations here", "Name their folder, or write off.")
    said = []
    if folder is not None:
        head = head_of(folder)
        said.append(f"{head} is the newest")
        if wanted.url_env:
            if not environment.get(wanted.url_env):
                return failed(GROUP, "migrations", f"{wanted.url_env} is not set")
            at = database_revision(environment[wanted.url_env])
            if at != head:
                where = f"the database is at {at}" if at else "the database has no revision"
                return failed(GROUP, "migrations", f"{where}, the newest is {head}", "alembic upgrade head")
            said.append("the database is at it")
    if wanted.redis is not None:
        version = redis_version(wanted.redis, environment)
        if version != wanted.redis.expect:
            got = f"is {version}" if version else "is missing"
            why = f"the Redis schema ({wanted.redis.key}) {got}, expected {wanted.redis.expect}"
            return failed(GROUP, "migrations", why)
        said.append(f"the Redis schema is {version}")
    return passed(GROUP, "migrations", ", ".join(said))


def _secrets(wanted: Secrets, root: Path, environment: Mapping[str, str]) -> Finding:
    example_path, path = root / wanted.example, root / wanted.env
    if not example_path.is_file():
        return skipped(GROUP, "secrets", f"no {wanted.example}", "Write one with every key, or write off.")
    example = read_env(example_path.read_text("utf-8"))
    values = {name: environment[name] for name in example if name in environment}
    if path.is_file():
        values = {**read_env(path.read_text("utf-8")), **values}
        if _tracked(root, wanted.env):
            why = f"{wanted.env} is in the repository: its secrets are known"
            return failed(GROUP, "secrets", why, f"git rm --cached {wanted.env}, and change them all.")
    # What the example itself has as a value is no secret: only keys are taken from it.
    problems = problems_of(dict.fromkeys(example, ""), values, wanted.optional)
    if problems:
        return failed(GROUP, "secrets", f"{wanted.env}: {'; '.join(problems)}", f"Complete {wanted.env}.")
    return passed(GROUP, "secrets", f"{len(example)} of {len(example)} keys have values, no placeholder left")


def _tracked(root: Path, name: str) -> bool:
    try:
        return Repository(root).tracks(str((root / name).resolve()))
    except SerinusError:
        return False  # no repository: nothing can be in it


def _artifacts(wanted: Artifacts, root: Path) -> Finding:
    path = root / wanted.manifest
    if not path.is_file():
        make = "serinus release create vX.Y.Z --artifact FILE"
        return skipped(GROUP, "artifacts", f"no manifest {wanted.manifest}", make)
    manifest = read_manifest(path.read_text("utf-8"))
    if not manifest:
        return failed(GROUP, "artifacts", f"{wanted.manifest} names no file")
    wrong = differences(root, manifest)
    if wrong:
        more = f" (and {len(wrong) - 3} more)" if len(wrong) > 3 else ""
        return failed(GROUP, "artifacts", "; ".join(wrong[:3]) + more, "Build them again, or make a release.")
    return passed(
        GROUP,
        "artifacts",
        f"{len(manifest)} of {len(manifest)} files are those of {wanted.manifest} (SHA-256)",
    )


def _runbook(wanted: Runbook, root: Path) -> Finding:
    names = (wanted.file,) if wanted.file else _RUNBOOKS
    path = next((root / name for name in names if (root / name).is_file()), None)
    if path is None and wanted.file:
        return failed(GROUP, "runbook", f"there is no {wanted.file}")
    if path is None:
        return skipped(GROUP, "runbook", "no runbook", f"Write one: {_RUNBOOKS[0]}")
    sections = _sections(path.read_text("utf-8"))
    lacks = [name for name in wanted.sections if not any(name.lower() in title for title in sections)]
    empty = [n for n in wanted.sections if n not in lacks and not _says(n, sections)]
    said = ([f"has no section {', '.join(lacks)}"] if lacks else []) + (
        [f"says nothing under {', '.join(empty)}"] if empty else []
    )
    name = path.relative_to(root).as_posix()
    if said:
        return failed(GROUP, "runbook", f"{name} {' and '.join(said)}", f"Write it into {name}.")
    return passed(GROUP, "runbook", f"{name}: {', '.join(wanted.sections)}")


def _sections(text: str) -> dict[str, str]:
    """Return the headings of a Markdown text in lower case, with what stands below each of them."""
    made: dict[str, str] = {}
    levels: list[tuple[int, str]] = []
    fenced = False
    for line in text.splitlines():
        fenced ^= line.lstrip().startswith("```")
        found = None if fenced else re.fullmatch(r"(#{1,6})\s+(.+?)\s*#*\s*", line)
        if found:
            level = len(found[1])
            levels = [(n, title) for n, title in levels if n < level] + [(level, found[2].lower())]
            made.setdefault(found[2].lower(), "")
        else:
            for _, title in levels:
                made[title] += line.strip()
    return made


def _says(name: str, sections: Mapping[str, str]) -> bool:
    return any(body for title, body in sections.items() if name.lower() in title)
