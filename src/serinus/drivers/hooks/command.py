"""A command of the operator's; its exit code decides."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Mapping, Sequence

from serinus.core.hooks import Said
from serinus.drivers._lines import first_line
from serinus.ports.hooks import HookCall, HookReply

__all__ = ["EX_TEMPFAIL", "Command"]

#: sysexits.h: try again later.
EX_TEMPFAIL = 75
#: A command that cannot be executed, by the shells' convention.
NOT_RUN = (126, 127)
#: So much of its output is kept.
MAX_BYTES = 64_000
#: What a command gets of our environment: our secrets are none of its business.
PASSED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")


class Command:
    """One program with its fixed arguments, run without a shell."""

    def __init__(self, arguments: Sequence[str], *, seconds: float, environment: Mapping[str, str]) -> None:
        """Keep what to run.

        Args:
            arguments: The program and its arguments, from the server's settings.
            seconds: When they are over, it and what it has started are killed: that is no answer.
            environment: The server's; a few harmless variables are passed on.
        """
        self._arguments = tuple(arguments)
        self._seconds = seconds
        self._environment = {name: environment[name] for name in PASSED if name in environment}

    async def close(self) -> None:
        """Release nothing: each run ends by itself."""

    async def call(self, call: HookCall) -> HookReply:
        """Run it: exit code 0 says yes, 75 asks to be called again, any other says no."""
        try:
            process = await asyncio.create_subprocess_exec(
                *self._arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env={**self._environment, **_variables(call)},
                start_new_session=True,
            )
        except OSError as error:
            return HookReply(said=Said.NOTHING, words=f"cannot be started: {error.strerror}")
        try:
            async with asyncio.timeout(self._seconds):
                output = await _talk(process, json.dumps(call.body).encode())
                code = await process.wait()
        except TimeoutError:
            return HookReply(said=Said.NOTHING, words=f"killed after {self._seconds:g} s")
        finally:
            await _end(process)
        words = first_line(output.decode("utf-8", "replace"))
        if code == 0:
            return HookReply(said=Said.YES, words=words)
        if code == EX_TEMPFAIL:
            return HookReply(said=Said.NOTHING, words=words or "asked to be called again")
        if code in NOT_RUN or code < 0:
            return HookReply(said=Said.NOTHING, words=words or f"ended by {_how(code)}")
        return HookReply(said=Said.NO, words=words or f"exit code {code}")


def _variables(call: HookCall) -> dict[str, str]:
    data = call.body["data"]
    shown = {name: data[name] for name in ("hook", "phase", "deployment_id", "service", "version")}
    shown |= {name: data[name] for name in ("stable_version", "traffic_percentage", "to_percentage")}
    shown |= {name: data[name] for name in ("step", "step_percentage", "reason") if name in data}
    named = {f"SERINUS_{name.upper()}": "" if value is None else str(value) for name, value in shown.items()}
    return {**named, "SERINUS_WEBHOOK_ID": call.id}


async def _talk(process: asyncio.subprocess.Process, message: bytes) -> bytes:
    """Give it the message and take the beginning of what it says; the rest is thrown away."""
    if process.stdin is None or process.stdout is None:
        return b""
    # It need not read the message. When it has ended already, uvloop says so by a RuntimeError.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError, RuntimeError):
        process.stdin.write(message)
        await process.stdin.drain()
    process.stdin.close()
    output = b""
    while part := await process.stdout.read(8192):
        output = (output + part)[:MAX_BYTES]
    return output


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill what is left of it, children included: they share its session."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
