"""Secrets of the server that are kept in its database, each standing for an environment variable."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from serinus.control.access.keyring import KeyRing
from serinus.core.errors import InvalidInput, NotFound
from serinus.ports.clock import Clock
from serinus.ports.store import Store
from serinus.ports.vault import SealedSecret

__all__ = ["Vault", "check_name"]

MAX_BYTES = 64 * 1024
_NAME = re.compile(r"[A-Z][A-Z0-9_]{1,99}")
#: Settings are read before the database is open; of ours only these kinds are asked for later.
_LATER = ("SERINUS_SOURCE_", "SERINUS_HOOK_")
_EARLY = (
    "DATABASE_URL",
    "SERINUS_SOURCE_HOSTS",
    "SERINUS_HOOK_HOSTS",
    "SERINUS_HOOK_COMMANDS",
    "SERINUS_HOOK_SECONDS",
)


class Vault:
    """Sets, lists and forgets them, and seals them anew. Values go in and never come out here."""

    def __init__(self, store: Store, clock: Clock) -> None:
        """Work on a store whose schema is there."""
        self._store = store
        self._clock = clock

    async def set(self, ring: KeyRing, name: str, value: str) -> SealedSecret:
        """Seal and store a secret in place of the one of that name.

        Raises:
            InvalidInput: The name is no variable that could be asked for, or the value is no secret.
        """
        check_name(name)
        if not value or "\0" in value or len(value.encode()) > MAX_BYTES:
            raise InvalidInput(
                "That value is empty, too long, or holds a NUL.",
                field=name,
                next_step=f"Give 1 to {MAX_BYTES} bytes on standard input.",
            )
        made = ring.seal(name, value, self._clock.now())
        async with self._store.begin() as tx:
            await tx.secrets.put(made)
        return made

    async def all(self) -> Sequence[SealedSecret]:
        """Return every secret as it is stored, by name."""
        async with self._store.begin(write=False) as tx:
            return await tx.secrets.all()

    async def unset(self, name: str) -> None:
        """Forget a secret.

        Raises:
            NotFound: There is none of this name.
        """
        async with self._store.begin() as tx:
            if not await tx.secrets.drop(name):
                raise NotFound(
                    f"There is no secret {name[:100]!r}.", next_step="`serinus secret list` shows them."
                )

    async def rotate(self, ring: KeyRing) -> int:
        """Seal every secret with the newest key, all or none; return how many were with another one.

        Raises:
            InvalidInput: One of them cannot be opened with the keys of the ring; nothing was changed.
        """
        async with self._store.begin() as tx:
            found = await tx.secrets.all()
            opened = [(secret, ring.open(secret)) for secret in found]
            old = [(secret, value) for secret, value in opened if secret.key_id != ring.ids[0]]
            for secret, value in old:
                sealed = ring.seal(secret.name, value, self._clock.now())
                await tx.secrets.put(replace(sealed, set_at=secret.set_at))
        return len(old)


def check_name(name: str) -> None:
    """Refuse a name that nothing would ask for.

    Raises:
        InvalidInput: It is no variable's name, or one that is read before the database is open.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"{name[:100]!r} is no name of a variable.",
            field="NAME",
            next_step="Use capitals, digits and underscores, such as SLACK_WEBHOOK_URL.",
        )
    if name in _EARLY or (name.startswith("SERINUS_") and not name.startswith(_LATER)):
        raise InvalidInput(
            f"{name} is a setting of the server, which is read before its database is open.",
            field="NAME",
            next_step="Set it in the environment. Stored are variables of channels, SERINUS_SOURCE_… "
            "and SERINUS_HOOK_….",
        )
