"""The agent's calls to the control plane: ask, listen, report."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx

__all__ = ["Link", "LinkError"]

#: One question. Short: while it hangs nothing is read back or put right.
CALL_SECONDS = 3.0
#: The server sends a heartbeat every 10 s; a stream that is silent for longer is dead.
STREAM_SECONDS = 25.0


class LinkError(Exception):
    """The control plane did not answer, or refused; the message says which, without any secret."""

    def __init__(self, message: str, *, refused: bool = False) -> None:
        """``refused``: it answered, and asking again will not change that."""
        super().__init__(message)
        self.refused = refused


class Link:
    """One service's and one instance's calls."""

    def __init__(self, url: str, token: str, service: str, instance: str) -> None:
        """Prepare; nothing is contacted yet."""
        base = f"{url.rstrip('/')}/api/v1/services/{quote(service, safe='')}"
        self._instance = quote(instance, safe="")
        # No proxies of the environment: the split must not depend on them.
        self._client = httpx.AsyncClient(
            base_url=base,
            headers={"Authorization": f"Bearer {token}"},
            timeout=CALL_SECONDS,
            trust_env=False,
        )

    async def ask(self, revision: str = "") -> dict[str, Any] | None:
        """Return what is wanted, or ``None`` when it is still ``revision``.

        Raises:
            LinkError: There was no usable answer.
        """
        headers = {"If-None-Match": f'"{revision}"'} if revision else {}
        answer = await self._call("GET", "/split", headers=headers)
        return None if answer.status_code == 304 else _object(answer.content)

    async def report(self, report: dict[str, Any]) -> str:
        """Send a report; return the revision that is wanted now.

        Raises:
            LinkError: It did not arrive, or was refused.
        """
        answer = await self._call("PUT", f"/instances/{self._instance}", json=report)
        return str(_object(answer.content).get("revision", ""))

    async def listen(self) -> AsyncIterator[dict[str, Any] | None]:
        """Yield what is wanted, at once and whenever it changes, and ``None`` for every heartbeat.

        Raises:
            LinkError: The stream is over.
        """
        timeout = httpx.Timeout(CALL_SECONDS, read=STREAM_SECONDS)
        try:
            async with self._client.stream("GET", "/split/stream", timeout=timeout) as answer:
                if answer.status_code != 200:
                    await answer.aread()
                    raise _refusal(answer)
                async for line in answer.aiter_lines():
                    if line.startswith("data:"):
                        yield _object(line[5:])
                    elif line.startswith(":"):
                        yield None
        except httpx.HTTPError as error:
            raise LinkError(f"no push from the control plane ({type(error).__name__})") from error

    async def close(self) -> None:
        """Release connections."""
        await self._client.aclose()

    async def _call(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            answer = await self._client.request(method, path, **options)
        except httpx.HTTPError as error:
            raise LinkError(f"the control plane does not answer ({type(error).__name__})") from error
        if answer.status_code >= 400:
            raise _refusal(answer)
        return answer


def _refusal(answer: httpx.Response) -> LinkError:
    """Return the control plane's own words."""
    try:
        problem = answer.json()
        words = f"{problem['detail']} {problem.get('next_step') or ''}".strip()
    except (ValueError, KeyError, TypeError):
        words = "no Serinus answers there, or something between changes its answers"
    later = answer.status_code in (408, 429) or answer.status_code >= 500
    return LinkError(f"the control plane answered {answer.status_code}: {words}", refused=not later)


def _object(content: bytes | str) -> dict[str, Any]:
    try:
        data = json.loads(content)
    except ValueError as error:
        raise LinkError("the control plane's answer is no JSON") from error
    if not isinstance(data, dict):
        raise LinkError("the control plane's answer is no object")
    return data
