"""Opening the store for commands that work on the database itself, beside a control plane or without one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from serinus.bootstrap.build import open_store
from serinus.bootstrap.clock import SystemClock
from serinus.bootstrap.secrets import add_key, key_ring
from serinus.control.access.audit import Verified, verify
from serinus.control.access.keyring import new_key
from serinus.control.access.vault import Vault, check_name
from serinus.core.errors import InvalidInput, SerinusError
from serinus.ports.store import AuditHead, Store
from serinus.settings import Settings

__all__ = [
    "AuditHead",
    "SerinusError",
    "Verified",
    "add_key",
    "check_name",
    "key_ring",
    "new_key",
    "opened",
    "vault",
    "verify",
]


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Store]:
    """Open the store; its schema must be this version's.

    Raises:
        Unavailable: The database does not answer.
        InvalidInput: Its schema is an older or a newer one.
    """
    store = open_store(settings)
    try:
        schema = (await store.check())[0]
        if not schema.ok:
            raise InvalidInput(
                f"This database cannot be worked on: {schema.detail}.",
                field="DATABASE_URL",
                next_step=schema.remedy,
            )
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def vault(settings: Settings) -> AsyncIterator[Vault]:
    """Open the secrets of the store."""
    async with opened(settings) as store:
        yield Vault(store, SystemClock())
