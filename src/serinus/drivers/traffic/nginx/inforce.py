"""Asking a plain NGINX which configuration is in force, and its front door who answers."""

from __future__ import annotations

import re

import httpx

from serinus.drivers._address import split_address
from serinus.drivers.traffic.nginx.config import Instance, ReloadConfig

__all__ = ["InForce", "Unreachable"]

#: An admin address on the same host answers in milliseconds.
TIMEOUT_SECONDS = 2.0
#: "Any address" is no address to ask.
_ASKED_AT = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_DIGEST = re.compile(r'location = /config \{ return 200 "([\w-]+)"; \}')


class Unreachable(Exception):
    """This NGINX does not answer."""


class InForce:
    """One NGINX's two addresses. Every question has a connection of its own: kept ones meet old workers."""

    def __init__(self, instance: Instance, config: ReloadConfig) -> None:
        """Connect on first use."""
        self._instance, self._config = instance, config
        by_socket = instance.admin.startswith("unix:")
        transport = httpx.AsyncHTTPTransport(
            uds=instance.admin.removeprefix("unix:") if by_socket else None,
            trust_env=False,
            limits=httpx.Limits(max_keepalive_connections=0),
        )
        base = "http://localhost" if by_socket else instance.admin
        self._admin = httpx.AsyncClient(base_url=base, timeout=TIMEOUT_SECONDS, transport=transport)
        host, port = split_address(config.listen, "driver_config.listen")
        host = _ASKED_AT.get(host, host)
        self._front = httpx.AsyncClient(
            base_url=f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}",
            timeout=config.timeout_seconds,
            transport=httpx.AsyncHTTPTransport(
                trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
            ),
        )

    async def close(self) -> None:
        """Release connections."""
        await self._admin.aclose()
        await self._front.aclose()

    async def digest(self) -> str:
        """Return the digest of the configuration in force.

        Raises:
            Unreachable: It does not answer.
        """
        try:
            answer = await self._admin.get("/config")
        except (httpx.HTTPError, OSError) as error:
            raise Unreachable(f"does not answer at {self._instance.admin}") from error
        if not re.fullmatch(r"[0-9a-f]{16}(-[0-9a-f]{8})?", answer.text):
            raise Unreachable(f"does not answer at {self._instance.admin}: somebody else does")
        return answer.text

    async def carries(self, text: str) -> bool:
        """Tell whether this configuration is in force.

        Raises:
            Unreachable: It does not answer.
        """
        found = _DIGEST.search(text)
        return found is not None and await self.digest() == found[1]

    async def verify(self, allowed: set[str]) -> str:
        """Send real requests; return what was wrong, or nothing."""
        for _ in range(self._config.verify_requests):
            try:
                answer = await self._front.get(self._config.verify_path, headers={"x-serinus-verify": "1"})
            except (httpx.HTTPError, OSError) as error:
                return f"a request to {self._config.listen} failed ({type(error).__name__})"
            version = answer.headers.get("x-serinus-version", "")
            if answer.status_code >= 500:
                return (
                    f"{self._config.verify_path} was answered {answer.status_code} by {version or 'nobody'}"
                )
            if version not in allowed:
                return f"{self._config.verify_path} was answered by {version or 'an unnamed version'}"
        return ""
