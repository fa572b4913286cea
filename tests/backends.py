"""Versions that answer their name, or misbehave as told; and a client that asks them quickly."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence

from needs import free_port

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_VERSION = re.compile(r"\r\nx-serinus-version: *([^\r]*)", re.IGNORECASE)


class Backend:
    """A version that answers its name, or misbehaves as told.

    ``mode``: ``ok``, ``500``, ``hang`` (no answer, ever), ``close`` (no answer), ``die`` (in
    mid-answer), ``fray`` (the same without a length) or ``stream`` (a beginning that goes on never).
    """

    def __init__(self, version: str) -> None:
        self.version = version
        self.port = free_port()
        self.mode = "ok"
        self.requests: list[tuple[str, str]] = []
        #: The head of every request, as it came.
        self.heads: list[str] = []
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()

    async def start(self) -> None:
        """Listen."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self, self._connections), "127.0.0.1", self.port, backlog=512
        )

    async def stop(self) -> None:
        """Refuse connections from now on, and drop the open ones."""
        if self._server:
            self._server.close()
            for connection in list(self._connections):
                connection.transport.abort()
            await self._server.wait_closed()
            while self._connections:  # dropped means closed by now, not soon
                await asyncio.sleep(0)
            self._server = None

    def answer(self, head: str) -> tuple[bytes, bool]:
        """Note a request; return what is answered, and whether the connection ends with it."""
        method, path, _ = head.split("\r\n", 1)[0].split(" ", 2)
        self.requests.append((method, path))
        self.heads.append(head)
        if self.mode in ("hang", "close"):
            return b"", self.mode == "close"
        body = self.version.encode()
        if self.mode in ("fray", "stream"):
            begun = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(body), body)
            return begun, self.mode == "fray"
        whole = len(body) * 1000 if self.mode == "die" else len(body)
        status = b"500 Broken" if self.mode == "500" else b"200 OK"
        return (
            b"HTTP/1.1 %b\r\ncontent-length: %d\r\n\r\n%b" % (status, whole, body),
            self.mode == "die",
        )


class _Connection(asyncio.Protocol):
    """One connection to a backend: requests in their order, however they are cut."""

    transport: asyncio.Transport

    def __init__(self, backend: Backend, among: set[_Connection]) -> None:
        self._backend, self._among, self._got = backend, among, b""

    def connection_made(self, transport) -> None:
        self.transport = transport
        self._among.add(self)

    def connection_lost(self, exc) -> None:
        self._among.discard(self)

    def data_received(self, data: bytes) -> None:
        self._got += data
        while (end := self._got.find(b"\r\n\r\n") + 4) > 3:
            head = self._got[:end]
            if _CHUNKED.search(head):
                end = self._got.find(b"0\r\n\r\n", end) + 5
                if end < 5:
                    return
            elif length := _LENGTH.search(head):
                end += int(length[1])
            if len(self._got) < end:
                return
            self._got = self._got[end:]
            answer, over = self._backend.answer(head.decode("latin-1"))
            self.transport.write(answer)
            if over:
                self.transport.close()
                return


class _Asker(asyncio.Protocol):
    """One keep-alive connection that sends requests ahead of their answers."""

    def __init__(self, pending: list[tuple[int, bytes]], answers: list[tuple[str, str]]) -> None:
        self._pending, self._answers, self._got, self._at = pending, answers, b"", 0
        self.over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport) -> None:
        self._transport = transport
        transport.write(b"".join(request for _, request in self._pending))

    def connection_lost(self, exc) -> None:
        """Leave what was not answered for the next connection: a proxy may end one at any answer."""
        del self._pending[: self._at]
        if not self.over.done():
            self.over.set_result(None)

    def data_received(self, data: bytes) -> None:
        got, start = self._got + data, 0
        while (end := got.find(b"\r\n\r\n", start)) >= 0:
            head = got[start:end].decode("latin-1")
            length = _LENGTH.search(got, start, end)
            assert length, head
            whole = end + 4 + int(length[1])
            if len(got) < whole:
                break
            version = _VERSION.search(head)
            answer = (got[end + 4 : whole].decode("latin-1"), version[1] if version else "")
            self._answers[self._pending[self._at][0]] = answer
            self._at, start = self._at + 1, whole
        self._got = got[start:]
        if self._at == len(self._pending):
            self._transport.close()


async def ask(
    port: int,
    keys: Sequence[str],
    header: str = "x-user-id",
    *,
    more: Mapping[str, str] | None = None,
    connections: int = 4,
) -> list[str]:
    """Return which version answered each key, over a few keep-alive connections.

    Every answer has to name its version in ``x-serinus-version``, too.
    """
    extra = "".join(f"{name}: {value}\r\n" for name, value in (more or {}).items())
    asked = [f"GET / HTTP/1.1\r\nhost: t\r\n{header}: {key}\r\n{extra}\r\n".encode() for key in keys]
    answers = [("", "")] * len(keys)

    async def connection(mine: range) -> None:
        pending = [(at, asked[at]) for at in mine]
        while pending:
            left = len(pending)
            _, asker = await asyncio.get_running_loop().create_connection(
                lambda: _Asker(pending, answers), "127.0.0.1", port
            )
            await asker.over
            assert len(pending) < left, "the edge ended a connection without any answer"

    await asyncio.gather(*(connection(range(n, len(keys), connections)) for n in range(connections)))
    assert [a for a in answers if a[0] != a[1]] == []
    return [body for body, _ in answers]
