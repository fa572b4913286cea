"""What git knows of a folder. Only :meth:`Repository.tag` changes anything."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from serinus.core.errors import Conflict, InvalidInput

__all__ = ["RELEASE", "Repository", "release_number"]

#: Contract 3's release tags.
RELEASE = re.compile(r"v(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)")


def release_number(tag: str) -> tuple[int, ...]:
    """Return a release tag's numbers, for ordering.

    >>> release_number("v1.10.2") > release_number("v1.9.0")
    True
    """
    found = RELEASE.fullmatch(tag)
    return tuple(map(int, found.groups())) if found else ()


class Repository:
    """A working tree."""

    def __init__(self, root: Path) -> None:
        """Keep where it is.

        Raises:
            InvalidInput: There is no git, or no repository.
        """
        if shutil.which("git") is None:
            raise InvalidInput("git is not installed.", next_step="Install it: apt-get install git.")
        self.root = root
        top = self._run("rev-parse", "--show-toplevel", check=False)
        if not top:
            raise InvalidInput(f"{root} is in no git repository.", next_step="Run it inside the repository.")
        self.root = Path(top)

    def _run(self, *words: str, check: bool = True, strip: bool = True) -> str:
        done = subprocess.run(
            ["git", "-C", str(self.root), *words], capture_output=True, text=True, check=False
        )
        if done.returncode and check:
            said = done.stderr.strip().splitlines()
            raise Conflict(f"git {words[0]} failed: {said[-1] if said else done.returncode}")
        if done.returncode:
            return ""
        return done.stdout.strip() if strip else done.stdout

    def head(self) -> str:
        """Return the commit that is checked out; nothing before the first one."""
        return self._run("rev-parse", "--verify", "HEAD", check=False)

    def changed(self, *but: str) -> list[str]:
        """Return the files that are not committed, without the untracked ones named in ``but``."""
        lines = self._run("status", "--porcelain", "--untracked-files=all", strip=False).splitlines()
        return [line[3:] for line in lines if not (line[:2] == "??" and line[3:] in but)]

    def tags(self) -> list[str]:
        """Return the release tags, oldest release first."""
        found = [t for t in self._run("tag", "--list").split() if RELEASE.fullmatch(t)]
        return sorted(found, key=release_number)

    def tags_here(self) -> list[str]:
        """Return the release tags of the commit that is checked out."""
        found = self._run("tag", "--points-at", "HEAD", check=False).split()
        return sorted((t for t in found if RELEASE.fullmatch(t)), key=release_number)

    def commit_of(self, name: str) -> str:
        """Return the commit of a tag, or nothing."""
        return self._run("rev-parse", "--verify", "--quiet", f"refs/tags/{name}^{{commit}}", check=False)

    def message_of(self, tag: str) -> str:
        """Return an annotated tag's message."""
        return self._run("for-each-ref", "--format=%(contents)", f"refs/tags/{tag}")

    def subjects(self, since: str) -> list[tuple[str, str]]:
        """Return commits after a tag (all without one) as (short hash, subject), newest first."""
        span = [f"{since}..HEAD"] if since else ["HEAD"]
        lines = self._run("log", "--no-merges", "--format=%h%x09%s", *span).splitlines()
        return [(sign, subject) for sign, _, subject in (line.partition("\t") for line in lines)]

    def tracks(self, path: str) -> bool:
        """Tell whether a file is in the repository."""
        return bool(self._run("ls-files", "--", path))

    def tag(self, name: str, message: str) -> None:
        """Make an annotated tag of the commit that is checked out.

        Raises:
            Conflict: git refuses.
        """
        self._run("tag", "--annotate", name, "--message", message, "--cleanup=verbatim")
