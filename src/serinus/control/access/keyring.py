"""Keys that seal secrets: the newest seals, every one of them opens."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime

from cryptography.fernet import Fernet, InvalidToken

from serinus.core.errors import InvalidInput
from serinus.ports.vault import SealedSecret

__all__ = ["KeyRing", "new_key"]


def new_key() -> str:
    """Return a fresh key: 32 random bytes in URL-safe base64."""
    return Fernet.generate_key().decode()


class KeyRing:
    """Keys, newest first. No key is in a message; they are told apart by their fingerprints."""

    def __init__(self, keys: Sequence[str]) -> None:
        """Take the keys.

        Raises:
            InvalidInput: There is none, or one of them is no key.
        """
        self._boxes: dict[str, Fernet] = {}
        for at, key in enumerate(keys, 1):
            try:
                self._boxes[hashlib.sha256(key.encode()).hexdigest()[:8]] = Fernet(key.encode())
            except ValueError as error:
                raise InvalidInput(
                    f"Key {at} of the ring is no key.",
                    field="SERINUS_KEYS",
                    next_step="`serinus keys new --print` makes one.",
                ) from error
        if not self._boxes:
            raise InvalidInput(
                "There is no key to seal secrets with.",
                field="SERINUS_KEYS",
                next_step="`serinus keys new` makes one.",
            )

    @property
    def ids(self) -> tuple[str, ...]:
        """The keys' fingerprints, newest first."""
        return tuple(self._boxes)

    def seal(self, name: str, value: str, now: datetime) -> SealedSecret:
        """Seal a secret with the newest key. The name is sealed with it: nobody can swap two rows."""
        key_id = self.ids[0]
        sealed = self._boxes[key_id].encrypt(f"{name}\n{value}".encode()).decode()
        return SealedSecret(name=name, sealed=sealed, key_id=key_id, set_at=now)

    def open(self, secret: SealedSecret) -> str:
        """Return what was sealed.

        Raises:
            InvalidInput: Its key is not in the ring, or the row is not what was stored.
        """
        box = self._boxes.get(secret.key_id)
        if box is None:
            raise InvalidInput(
                f"The secret {secret.name} is sealed with the key {secret.key_id}, which is not in the ring.",
                field="SERINUS_KEYS",
                next_step=f"Put that key back, or set the secret anew: `serinus secret set {secret.name}`.",
            )
        try:
            name, _, value = box.decrypt(secret.sealed.encode()).decode().partition("\n")
        except InvalidToken:
            name, value = "", ""
        if name != secret.name:
            raise InvalidInput(
                f"The stored secret {secret.name} was changed by somebody without the key.",
                field=secret.name,
                next_step=f"Find out by whom; then set it anew: `serinus secret set {secret.name}`.",
            )
        return value
