"""Manifests: files by their SHA-256, in the form that ``sha256sum --check`` takes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from serinus.core.errors import InvalidInput

__all__ = ["CHANGELOG", "MANIFEST", "differences", "digest", "read_manifest", "select", "write_manifest"]

#: What `serinus release create` writes beside the artifacts; they are not part of the commit.
MANIFEST, CHANGELOG = "SHA256SUMS", "RELEASE-CHANGES.md"
_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


def digest(path: Path) -> str:
    """Return a file's SHA-256 in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def select(root: Path, patterns: Iterable[str]) -> list[str]:
    """Return the files that patterns match, as paths from ``root``, sorted.

    Raises:
        InvalidInput: A pattern matches no file, or leads out of the folder.
    """
    found: set[str] = set()
    for pattern in patterns:
        if Path(pattern).is_absolute() or ".." in Path(pattern).parts:
            raise InvalidInput(
                f"{pattern!r} leads out of the folder.", field="artifacts", next_step="Name files inside it."
            )
        matched = [p for p in root.glob(pattern) if p.is_file()]
        if not matched:
            raise InvalidInput(
                f"No file matches {pattern!r}.",
                field="artifacts",
                next_step="Build it first, or leave it out.",
            )
        found |= {p.relative_to(root).as_posix() for p in matched}
    return sorted(found)


def write_manifest(root: Path, files: Iterable[str]) -> str:
    """Return a manifest of files."""
    return "".join(f"{digest(root / name)}  {name}\n" for name in files)


def read_manifest(text: str) -> dict[str, str]:
    """Return a manifest's files with their digests.

    Raises:
        InvalidInput: A line is no line of a manifest.
    """
    made: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        found = _LINE.fullmatch(line)
        if found is None:
            raise InvalidInput(f"Line {number} of the manifest is no digest with a file's name.")
        made[found[2]] = found[1]
    return made


def differences(root: Path, manifest: dict[str, str]) -> list[str]:
    """Return in words which files are missing or are not those of the manifest."""
    said = []
    for name, expected in manifest.items():
        path = root / name
        if not path.is_file():
            said.append(f"{name} is missing")
        elif digest(path) != expected:
            said.append(f"{name} is another file")
    return said
