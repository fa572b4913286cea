"""The key ring from the settings, and the environment with what is stored under its keys."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from serinus.control.access.keyring import KeyRing, new_key
from serinus.core.errors import InvalidInput
from serinus.settings import Settings

__all__ = ["add_key", "key_ring", "with_secrets"]

#: In the data folder, unless ``SERINUS_KEY_FILE`` names another.
DEFAULT_FILE = "keys"


def with_secrets(settings: Settings, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment and, for variables that it lacks, what is stored for them.

    All are opened here, so that a missing key is told at the start and not when a channel is needed.

    Raises:
        InvalidInput: A key is missing or unusable, or a stored secret was changed.
        Unavailable: The database does not answer.
    """
    from serinus.drivers.store.sql.sealed import read_sealed

    stored = read_sealed(settings.store_url)
    if not stored:
        return dict(environment)
    ring = key_ring(settings)
    opened = {secret.name: ring.open(secret) for secret in stored}
    return {**environment, **{name: value for name, value in opened.items() if not environment.get(name)}}


def key_ring(settings: Settings) -> KeyRing:
    """Return the keys of ``SERINUS_KEYS`` or of the key file.

    Raises:
        InvalidInput: There are none, both are given, or the file is not ours alone to read.
    """
    if settings.keys is not None and settings.key_file is not None:
        raise InvalidInput(
            "SERINUS_KEYS and SERINUS_KEY_FILE are both set.", field="SERINUS_KEYS", next_step="Keep one."
        )
    if settings.keys is not None:
        return KeyRing(settings.keys.get_secret_value().split())
    return KeyRing(_read(key_file(settings), must=settings.key_file is not None))


def key_file(settings: Settings) -> Path:
    """Return where the key file is, or would be."""
    return (settings.key_file or settings.data_dir / DEFAULT_FILE).expanduser()


def add_key(settings: Settings) -> Path:
    """Put a fresh key at the front of the key file; return where that is.

    Raises:
        InvalidInput: Keys come from ``SERINUS_KEYS``, or the file cannot be read or written.
    """
    if settings.keys is not None:
        raise InvalidInput(
            "The keys come from SERINUS_KEYS, which only you can change.",
            field="SERINUS_KEYS",
            next_step="Put what `serinus keys new --print` prints in front of what is there.",
        )
    path = key_file(settings)
    lines = [new_key(), *_read(path, must=False)]
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # A whole file or none, and never readable by others, not even for a moment.
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".keys-", delete=False) as file:
            file.write("".join(f"{line}\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())
        Path(file.name).replace(path)
    except OSError as error:
        raise _unusable(
            path, f"cannot be written: {error.strerror}", "Check the rights of its folder."
        ) from None
    return path


def _read(path: Path, *, must: bool) -> list[str]:
    try:
        text = path.read_text()
        mode = path.stat().st_mode
    except FileNotFoundError:
        if must:
            raise _unusable(path, "is not there", "`serinus keys new` makes it.") from None
        return []
    except (OSError, ValueError) as error:
        raise _unusable(path, f"cannot be read ({type(error).__name__})", "Check its rights.") from None
    if mode & 0o007:
        raise _unusable(path, "may be read by everybody", f"chmod 600 {path}")
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def _unusable(path: Path, why: str, next_step: str) -> InvalidInput:
    return InvalidInput(f"The key file {path} {why}.", field="SERINUS_KEY_FILE", next_step=next_step)
