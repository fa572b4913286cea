"""The two threads of an attached client: one follows the snapshot, one sends batches.

Whatever fails here is remembered in ``client.last_error`` and tried again; nothing is ever raised
into the application.
"""

from __future__ import annotations

import atexit
import contextlib
import http.client
import json
import os
import random
import tempfile
import threading
import uuid
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from serinus.sdk.kept import KeptUnits, plain

__all__ = ["Followed", "Transport", "apart"]

#: The server sends a heartbeat every 10 s; a stream that is silent for longer is dead.
STREAM_SECONDS = 30.0
CALL_SECONDS = 5.0
#: Batches kept while the control plane is away; the oldest go first.
MAX_BACKLOG = 120
BACKOFF_SECONDS = (0.5, 1.0, 2.0, 5.0)
SDK = "python/0.1"


def apart(batch: Mapping[str, Any] | None) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Part a batch into measurements and units: units that cannot be stored keep no measurement waiting."""
    rest = {**(batch or {}), "units": []}
    units = {"units": batch["units"]} if batch and batch["units"] else None
    return (rest if any(rest.values()) else None), units


class Followed(Protocol):
    """What a transport needs of the client that it serves."""

    url: str
    revision: str
    dropped: int
    last_error: str

    @property
    def services(self) -> Mapping[str, Any]:
        """What is followed now, by service."""
        ...

    def follow(self, snapshot: Mapping[str, Any]) -> None:
        """Follow a new snapshot."""
        ...

    def take_batch(self, *, last: bool = False) -> dict[str, Any] | None:
        """Return what there is to send."""
        ...

    def take_units(self) -> list[dict[str, Any]]:
        """Return more units than the batch had room for."""
        ...

    def take_back(self, batch: Mapping[str, Any]) -> None:
        """Take what must not be lost out of a batch that is given up."""
        ...


class Transport:
    """Follows and sends for one client until it is closed."""

    def __init__(
        self, client: Followed, token: str, cache_path: str | None, flush_seconds: float, poll_seconds: float
    ) -> None:
        """Prepare; :meth:`start` begins."""
        self._client, self._token = client, token
        self._cache = Path(cache_path) if cache_path else None
        self._flush_seconds, self._poll_seconds = flush_seconds, poll_seconds
        self._source = uuid.uuid4().hex
        self._seq = 0
        self._backlog: deque[dict[str, Any]] = deque()
        self._units: deque[dict[str, Any]] = deque()
        self._sending = threading.Lock()
        self._closed, self._hurry = threading.Event(), threading.Event()
        self._etag = ""
        self._kept = KeptUnits()
        self.connected = False
        self._pid = os.getpid()

    def start(self) -> None:
        """Load the last known snapshot, then begin to follow and to send."""
        self._load()
        for work in (self._follow, self._send_on):
            threading.Thread(target=work, name=f"serinus-{work.__name__}", daemon=True).start()
        atexit.register(self.close)

    def hurry(self) -> None:
        """Send at once."""
        self._hurry.set()

    def close(self) -> None:
        """Send the rest, and end."""
        if self._closed.is_set() or os.getpid() != self._pid:
            return
        self._closed.set()
        self._hurry.set()
        self.flush(last=True)
        atexit.unregister(self.close)

    # -- following ------------------------------------------------------------------------------

    def _follow(self) -> None:
        tries = 0
        while not self._closed.is_set():
            try:
                if not self._streamed():
                    self._poll()
                tries = 0
            except Exception as error:  # noqa: BLE001 - the thread's edge: a bad answer must not end the following
                self.connected = False
                self._client.last_error = f"{type(error).__name__} while following the snapshot"
                tries += 1
            pause = BACKOFF_SECONDS[min(tries, len(BACKOFF_SECONDS)) - 1] if tries else self._poll_seconds
            self._closed.wait(pause * random.uniform(0.5, 1.0))

    def _streamed(self) -> bool:
        """Follow the push stream until it ends; ``False`` when there is none."""
        with self._connection(STREAM_SECONDS) as connection:
            connection.request("GET", f"{self._path}/api/v1/sdk/stream", headers=self._headers())
            answer = connection.getresponse()
            if answer.status != 200:
                self._client.last_error = f"the push stream answered {answer.status}"
                return False
            self.connected = True
            data = b""
            while not self._closed.is_set():
                line = answer.readline()
                if not line:
                    break
                if line.startswith(b"data:"):
                    data = line[5:]
                elif not line.strip() and data:
                    self._took(data)
                    data = b""
        self.connected = False
        return False  # look once, so that nothing is missed until the stream is up again

    def _poll(self) -> None:
        with self._connection(CALL_SECONDS) as connection:
            headers = self._headers()
            if self._etag:
                headers["If-None-Match"] = self._etag
            connection.request("GET", f"{self._path}/api/v1/sdk/snapshot", headers=headers)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status == 200:
                self._took(body)
                self._etag = answer.headers.get("ETag", "")
            elif answer.status != 304:
                raise ConnectionError(f"the snapshot answered {answer.status}")

    def _took(self, body: bytes) -> None:
        snapshot = json.loads(body)
        if not isinstance(snapshot, Mapping):
            raise TypeError("the snapshot is no object")
        problem = self._fetch(snapshot)
        # Without its units a smaller share would move them: such a service stays as it was, others go on.
        whole = self._kept.complete(snapshot, self._client.services)
        self._client.follow(whole)
        if problem:
            raise problem
        if self._cache:
            self._keep(json.dumps(plain(whole)).encode())

    def _fetch(self, snapshot: Mapping[str, Any]) -> Exception | None:
        """Fetch the slices of units that stay on a canary; return what went wrong."""
        missing = self._kept.missing(snapshot)
        if not missing:
            return None
        try:
            with self._connection(CALL_SECONDS) as connection:
                for book, index in missing:
                    path = f"{self._path}/api/v1/sdk/assignments/{book}/{index}"
                    connection.request("GET", path, headers=self._headers())
                    answer = connection.getresponse()
                    body = answer.read()
                    if answer.status != 200:
                        return ConnectionError(f"the units of {book} answered {answer.status}")
                    self._kept.put(book, index, body)
        except (OSError, http.client.HTTPException, ValueError) as error:
            return error
        return None

    def _keep(self, body: bytes) -> None:
        assert self._cache is not None
        try:
            with tempfile.NamedTemporaryFile(dir=self._cache.parent, delete=False) as file:
                file.write(body)
            Path(file.name).replace(self._cache)
        except OSError as error:
            self._client.last_error = f"the snapshot cannot be kept ({error.strerror})"

    def _load(self) -> None:
        if self._cache is None or not self._cache.exists():
            return
        try:
            snapshot = json.loads(self._cache.read_bytes())
            if isinstance(snapshot, Mapping):
                self._client.follow(snapshot)
        except (OSError, ValueError):
            self._client.last_error = "the kept snapshot cannot be read; it is ignored"

    # -- sending --------------------------------------------------------------------------------

    def _send_on(self) -> None:
        while not self._closed.is_set():
            self._hurry.wait(self._flush_seconds)
            self._hurry.clear()
            self.flush()

    def flush(self, *, last: bool = False) -> None:
        """Number what there is and send it, oldest first, until one does not go through; units come last."""
        with self._sending:
            try:
                measured, units = apart(self._client.take_batch(last=last))
                self._put(self._backlog, measured)
                self._put(self._units, units)
                while len(self._units) < MAX_BACKLOG // 2 and (more := self._client.take_units()):
                    self._put(self._units, {"units": more})
                while len(self._backlog) > MAX_BACKLOG:
                    self._backlog.popleft()
                    self._client.dropped += 1
                while len(self._units) > MAX_BACKLOG:
                    self._client.take_back(self._units.popleft())
                for queue in (self._backlog, self._units):
                    while queue and self._sent(queue[0]):
                        queue.popleft()
                    if queue:
                        break
            except Exception as error:  # noqa: BLE001 - the thread's edge: measuring must not end with one bad batch
                self._client.last_error = f"{type(error).__name__} while sending measurements"

    def _put(self, queue: deque[dict[str, Any]], batch: Mapping[str, Any] | None) -> None:
        if batch:
            self._seq += 1
            who = {"source": self._source, "seq": self._seq, "sdk": SDK}
            queue.append({**who, "snapshot_revision": self._client.revision, **batch})

    def _sent(self, batch: Mapping[str, Any]) -> bool:
        """Send one batch; ``True`` when it needs no second try."""
        try:
            with self._connection(CALL_SECONDS) as connection:
                headers = {**self._headers(), "Content-Type": "application/json"}
                body = json.dumps(batch)
                connection.request("POST", f"{self._path}/api/v1/sdk/telemetry", body=body, headers=headers)
                status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            self._client.last_error = f"{type(error).__name__} while sending measurements"
            return False
        if status < 300:
            return True
        self._client.last_error = f"telemetry answered {status}"
        if status in (408, 429) or status >= 500:
            return False
        self._client.dropped += 1  # it would be refused again
        return True

    # -- connections ----------------------------------------------------------------------------

    @property
    def _path(self) -> str:
        return urlsplit(self._client.url).path

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}", "Accept-Encoding": "identity"}

    @contextlib.contextmanager
    def _connection(self, timeout: float) -> Iterator[http.client.HTTPConnection]:
        parts = urlsplit(self._client.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=timeout)
        try:
            yield connection
        finally:
            connection.close()
