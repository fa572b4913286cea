"""The in-process driver: the SDK inside the application carries the split, by its snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serinus.core.errors import InvalidInput
from serinus.drivers.catalog import ensure_carried_by
from serinus.ports.traffic import Capability, Carried, Counters, DesiredSplit, Finding

__all__ = ["InProcessDriver"]


class InProcessDriver:
    """Nothing to configure: SDKs pull what they carry, and send their own measurements."""

    capabilities = frozenset(
        {
            Capability.STICKY,
            Capability.PERSISTENT,
            Capability.TARGET_FILTER,
            Capability.VERSIONS,
            Capability.NO_RELOAD,
        }
    )

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> InProcessDriver:
        """Build from a service's settings.

        Raises:
            InvalidInput: There are any: this driver takes none.
        """
        if config:
            raise InvalidInput(
                f"The in-process driver takes no settings, but got {', '.join(sorted(config))}.",
                field="driver_config",
                next_step="Leave `driver_config` empty, or name the proxy's driver.",
            )
        return cls()

    async def apply(self, desired: DesiredSplit) -> Carried:
        """Nothing to push: the snapshot is the split."""
        ensure_carried_by("in-process", desired)
        return await self.read(desired)

    async def read(self, desired: DesiredSplit) -> Carried:  # noqa: ARG002
        """No instance of ours stands between: nothing can disagree with the snapshot."""
        return Carried()

    async def statistics(self, desired: DesiredSplit) -> tuple[Counters, ...]:  # noqa: ARG002
        """SDKs send their windows themselves."""
        return ()

    async def check(self) -> tuple[Finding, ...]:
        """There is nothing that could be down."""
        return ()

    async def close(self) -> None:
        """Nothing is open."""
