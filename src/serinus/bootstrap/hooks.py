"""Hooks from what a deployment says: commands by their names in the settings, secrets by their variables.

Whoever may make a deployment names its hooks, and must not get at the server with them: a command is
one that the operator has listed, a variable has our prefix, a private host is one that is allowed.
"""

from __future__ import annotations

from collections.abc import Mapping

from serinus.core.errors import InvalidInput
from serinus.core.hooks import Hook, Said
from serinus.drivers.catalog import HOOKS, load
from serinus.ports.hooks import HookCall, HookDriver, HookReply
from serinus.settings import Settings

__all__ = ["HOSTS", "PREFIX", "Hooks"]

#: Environment variables that a hook may name begin with this.
PREFIX = "SERINUS_HOOK_"
#: Names the private hosts and networks that a webhook may call, with commas between.
HOSTS = "SERINUS_HOOK_HOSTS"
#: The server's own settings, which share the prefix.
_OURS = (HOSTS, "SERINUS_HOOK_COMMANDS", "SERINUS_HOOK_SECONDS")


class Hooks:
    """Makes what calls a hook, once, and calls it."""

    def __init__(self, settings: Settings, environment: Mapping[str, str]) -> None:
        """Keep the operator's commands, and where secrets are."""
        self._settings = settings
        self._environment = environment
        self._made: dict[tuple[str, ...], HookDriver] = {}

    def check(self, hook: Hook) -> None:
        """Refuse a hook that could never be called."""
        self._of(hook)

    async def call(self, call: HookCall) -> HookReply:
        """Call it; a hook whose settings are gone has no answer."""
        try:
            return await self._of(call.hook).call(call)
        except InvalidInput as error:
            return HookReply(said=Said.NOTHING, words=error.detail)

    async def close(self) -> None:
        """Release connections."""
        for made in self._made.values():
            await made.close()
        self._made.clear()

    def _of(self, hook: Hook) -> HookDriver:
        key = (hook.command, hook.url, hook.url_env, hook.secret_env)
        if key not in self._made:
            self._made[key] = self._command(hook) if hook.command else self._webhook(hook)
        return self._made[key]

    def _command(self, hook: Hook) -> HookDriver:
        allowed = self._settings.hook_commands
        if hook.command not in allowed:
            raise InvalidInput(
                f"The server allows no command {hook.command[:40]!r}.",
                field="command",
                next_step="Ask its operator to add it to SERINUS_HOOK_COMMANDS"
                + (f"; there are: {', '.join(sorted(allowed))}." if allowed else "."),
            )
        made: HookDriver = load(HOOKS["command"])(
            allowed[hook.command], seconds=self._settings.hook_seconds, environment=self._environment
        )
        return made

    def _webhook(self, hook: Hook) -> HookDriver:
        made: HookDriver = load(HOOKS["webhook"])(
            self._variable(hook.url_env, "url_env") if hook.url_env else hook.url,
            self._variable(hook.secret_env, "secret_env"),
            allow_hosts=[h.strip() for h in self._environment.get(HOSTS, "").split(",") if h.strip()],
        )
        return made

    def _variable(self, name: str, field: str) -> str:
        if not name.startswith(PREFIX) or name in _OURS:
            raise InvalidInput(
                f"A hook names the variable {name[:60]}.",
                field=field,
                next_step=f"Only variables of the server that begin with {PREFIX} may be named.",
            )
        if not self._environment.get(name):
            raise InvalidInput(
                f"The variable {name} is not set at the server.",
                field=field,
                next_step="Ask its operator to set it.",
            )
        return self._environment[name]
