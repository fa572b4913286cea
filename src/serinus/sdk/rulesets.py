"""Rulesets executed in process: the rules arrive with the snapshot, and no call leaves the process.

Routing, stickiness, the breaker and the evidence are the service's own, as everywhere in the SDK. What is
executed here was checked and tested in the control plane's sandbox; in the application's process an engine
bounds what it can (Starlark: CPU time and recursion), but the hard limits of the sandbox are not there.
"""

from __future__ import annotations

import importlib
import json
from time import perf_counter

from serinus.sdk.routing import Choice, Router

TYPE_CHECKING = False  # typing itself costs milliseconds and a megabyte; checkers know this name
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Protocol

    class Followed(Protocol):
        """What a ruleset needs of its client."""

        revision: str
        last_error: str

        def service(self, name: str) -> Router:
            """Return the router of a service."""
            ...

        def rules(self, name: str) -> Mapping[str, Any]:
            """Return the rules in the snapshot by version."""
            ...

        def record(self, service: str, choice: Choice, endpoint: str, status: int, latency_ms: float) -> None:
            """Record one execution."""
            ...


__all__ = ["Execution", "Ruleset"]

#: The endpoint under which executions are measured, here and in the control plane.
ENDPOINT = "execute"
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
_engines: dict[str, Any] = {}


class Execution:
    """An answer: the output, which version gave it, and what went wrong if something did."""

    __slots__ = ("error", "fell_back", "is_canary", "output", "priority", "version")

    def __init__(self, output: Any, choice: Choice, error: str = "", *, fell_back: bool = False) -> None:
        """Keep what came out, and the choice that it came from."""
        self.output = output
        self.version, self.is_canary, self.priority = choice.version, choice.is_canary, choice.priority
        self.error, self.fell_back = error, fell_back

    def __repr__(self) -> str:
        """Show what matters."""
        return f"Execution({self.output!r}, version={self.version!r}, is_canary={self.is_canary})"


class Ruleset:
    """One ruleset in this process. ``execute`` never raises."""

    def __init__(self, client: Followed, name: str) -> None:
        """Follow ``name`` through the client's snapshot."""
        self._client, self.name = client, name
        self._router = client.service(name)
        self._revision: str | None = None
        #: version → (digest, program, or why there is none)
        self._programs: dict[str, tuple[str, Any, str]] = {}
        #: Those of them that the newest snapshot names.
        self._named: dict[str, tuple[str, Any, str]] = {}

    def execute(
        self,
        input: Any,  # noqa: A002 - the contract's word
        *,
        user_id: str = "",
        session_id: str = "",
        workflow_id: str = "",
        default: Any = None,
    ) -> Execution:
        """Run the rules on the version that this unit is on.

        When the canary's rules fail, stable's answer is given and the failure counts against the canary.
        When stable's fail too, or are not here, ``default`` is given and ``error`` says why.
        """
        choice = self._router.expose(user_id, session_id, workflow_id)
        if self._client.revision != self._revision:  # asked after the choice, whose rules must be here
            self._adopt()
        try:
            data = _encode(input).encode()
        except (TypeError, ValueError, RecursionError) as problem:
            return Execution(default, choice, f"the input is no JSON: {problem}")
        output, error = self._run(choice, data)
        if not error:
            return Execution(output, choice)
        if not choice.is_canary:
            return Execution(default, choice, error)
        stable = self._router.plan.stable[choice.priority]
        output, worse = self._run(stable, data, counts=False)
        return Execution(default if worse else output, stable, worse, fell_back=True)

    def _run(self, choice: Choice, data: bytes, *, counts: bool = True) -> tuple[Any, str]:
        _, program, missing = self._programs.get(choice.version, ("", None, "its rules are not here"))
        if program is None:
            return None, missing
        error, output = "", None
        began = perf_counter()
        try:
            output = program.run(data)
        except Exception as problem:  # noqa: BLE001 - whatever an engine raises, the application never sees it
            error = str(problem) or type(problem).__name__
        took = (perf_counter() - began) * 1000
        if counts:
            self._client.record(self.name, choice, ENDPOINT, 500 if error else 200, took)
        return output, error

    def _adopt(self) -> None:
        """Compile what the snapshot has and we do not; forget what the one before had no more.

        The revision comes last: until then other threads must not take what is here for complete.
        """
        revision = self._client.revision
        programs: dict[str, tuple[str, Any, str]] = {}
        for version, rules in self._client.rules(self.name).items():
            known = self._programs.get(version)
            digest = str(rules.get("digest", ""))
            programs[version] = known if known and known[0] == digest else _compiled(rules, digest)
            if programs[version][2]:
                self._client.last_error = f"{self.name} {version}: {programs[version][2]}"
        # Other threads may still be routed by the snapshot before.
        self._programs, self._named = {**self._named, **programs}, programs
        self._revision = revision


def _compiled(rules: Mapping[str, Any], digest: str) -> tuple[str, Any, str]:
    try:
        return digest, _engine(str(rules.get("engine"))).compile(str(rules.get("source"))), ""
    except Exception as error:  # noqa: BLE001 - a program that does not compile is told of, never raised
        return digest, None, str(error) or type(error).__name__


def _engine(name: str) -> Any:
    """Return an engine; they are drivers, found by the catalogue's names.

    Raises:
        LookupError: It is not installed here.
    """
    if name not in _engines:
        catalog = importlib.import_module("serinus.drivers.catalog")
        target = catalog.rule_engines().get(name)
        if target is None:
            raise LookupError(f"the rule engine {name!r} is not installed: pip install 'serinus[rules]'")
        _engines[name] = catalog.load(target)()
    return _engines[name]
