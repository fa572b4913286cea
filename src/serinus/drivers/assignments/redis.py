"""Assignments in Redis, for fleets whose database should not take millions of rows.

Per book: a hash per slice (unit → who and when), a sorted set by time, and the slices' versions. A
script changes all three at once. Nothing here takes part in the database's transactions: additions are
idempotent and come before the commit that acknowledges them, and what an ended deployment leaves is swept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError

from serinus.core.errors import InvalidInput, Unavailable
from serinus.ports.assignments import Assignment, Slice, slice_of
from serinus.ports.traffic import Finding

__all__ = ["RedisAssignments"]

#: Units that one script takes: it holds up everybody else on that server for a few milliseconds.
UNITS_PER_SCRIPT = 2_000
#: What an emptied deployment leaves: its slices' versions, in case it still runs.
VERSIONS_SECONDS = 30 * 24 * 3600
#: How long a call waits for the server.
SECONDS = 2.0
HELD = "serinus:assignments"
_T = TypeVar("_T")

_ADD = """
local new, touched = 0, {}
for i = 1, #ARGV, 4 do
  if redis.call('HSETNX', KEYS[1] .. ':' .. ARGV[i], ARGV[i + 1], ARGV[i + 2]) == 1 then
    redis.call('ZADD', KEYS[1] .. ':at', ARGV[i + 3], ARGV[i + 1])
    new = new + 1
    touched[ARGV[i]] = true
  end
end
for slice in pairs(touched) do redis.call('HINCRBY', KEYS[1] .. ':versions', slice, 1) end
if new > 0 then
  redis.call('PERSIST', KEYS[1] .. ':versions')
  redis.call('SADD', KEYS[2], KEYS[1])
end
return new
"""
_FORGET = """
local gone, touched = 0, {}
for i = 2, #ARGV, 2 do
  gone = gone + redis.call('HDEL', KEYS[1] .. ':' .. ARGV[i], ARGV[i + 1])
  redis.call('ZREM', KEYS[1] .. ':at', ARGV[i + 1])
  touched[ARGV[i]] = true
end
for slice in pairs(touched) do redis.call('HINCRBY', KEYS[1] .. ':versions', slice, 1) end
if redis.call('EXISTS', KEYS[1] .. ':at') == 0 then
  redis.call('EXPIRE', KEYS[1] .. ':versions', ARGV[1])
  redis.call('SREM', KEYS[2], KEYS[1])
end
return gone
"""


class RedisAssignments:
    """Assignments on a Redis server, by URL: ``redis://…`` or ``rediss://…``."""

    def __init__(self, url: str) -> None:
        """Open lazily; nothing is connected yet.

        Raises:
            InvalidInput: The URL names no Redis.
        """
        try:
            self._redis: Redis = Redis.from_url(
                url,
                decode_responses=True,
                encoding_errors="surrogatepass",
                socket_timeout=SECONDS,
                socket_connect_timeout=SECONDS,
            )
        except ValueError as error:
            raise InvalidInput(
                "SERINUS_ASSIGNMENTS_URL is no URL of a Redis.",
                field="SERINUS_ASSIGNMENTS_URL",
                next_step="Use redis://:password@host:6379/0, or rediss:// for TLS.",
            ) from error
        self._add = self._redis.register_script(_ADD)
        self._forget = self._redis.register_script(_FORGET)

    async def add(self, items: Sequence[Assignment]) -> int:
        """Store new ones, leave known ones; return how many were new."""
        by_key: dict[str, list[Assignment]] = defaultdict(list)
        for item in items:
            by_key[_key(item.tenant_id, item.book)].append(item)
        new = 0
        with _explained():
            for key, mine in by_key.items():
                for some in _chunks(mine):
                    rows = [part for i in some for part in _row(i)]
                    new += int(await self._add(keys=[key, HELD], args=rows))
        return new

    async def slices(self, tenant_id: str, book: str) -> Mapping[int, Slice]:
        """Return the slices that have or had units."""
        key = _key(tenant_id, book)
        with _explained():
            found = await self._redis.hgetall(f"{key}:versions")
            versions = sorted((int(n), int(version)) for n, version in found.items())
            pipe = self._redis.pipeline(transaction=False)
            for n, _ in versions:
                pipe.hlen(f"{key}:{n}")
            counts = await pipe.execute()
        both = zip(versions, counts, strict=True)
        return {n: Slice(units=units, version=version) for (n, version), units in both}

    async def units(self, tenant_id: str, book: str, index: int) -> tuple[int, Sequence[str]]:
        """Return a slice's version and hashes, both of the same moment."""
        key = _key(tenant_id, book)
        with _explained():
            pipe = self._redis.pipeline(transaction=True)
            pipe.hget(f"{key}:versions", str(index))
            pipe.hkeys(f"{key}:{index}")
            version, hashes = await pipe.execute()
        return int(version or 0), hashes

    async def page(
        self, tenant_id: str, book: str, *, limit: int, offset: int = 0, unit_hash: str = ""
    ) -> Sequence[Assignment]:
        """Return some, oldest first; or the one with this hash."""
        key = _key(tenant_id, book)
        with _explained():
            hashes = [unit_hash] if unit_hash else await self._oldest(key, offset, offset + limit - 1)
            pipe = self._redis.pipeline(transaction=False)
            for one in hashes:
                pipe.hget(f"{key}:{slice_of(one)}", one)
            values = await pipe.execute()
        found = zip(hashes, values, strict=True)
        return [_read(tenant_id, book, one, value) for one, value in found if value is not None]

    async def forget(self, tenant_id: str, book: str, unit_hash: str = "", *, most: int = 0) -> int:
        """Forget one, or at most ``most``, or all; return how many."""
        key = _key(tenant_id, book)
        with _explained():
            hashes = [unit_hash] if unit_hash else await self._oldest(key, 0, most - 1)
            gone = 0
            for some in _chunks(hashes):
                pairs = [part for one in some for part in (slice_of(one), one)]
                gone += int(await self._forget(keys=[key, HELD], args=[VERSIONS_SECONDS, *pairs]))
            return gone

    async def _oldest(self, key: str, first: int, last: int) -> list[str]:
        return [str(one) for one in await self._redis.zrange(f"{key}:at", first, last)]

    async def held(self) -> Sequence[tuple[str, str]]:
        """Return ``(tenant, book)`` of everything that is kept; what is empty leaves the list."""
        with _explained():
            keys = await self._redis.smembers(HELD)
        return sorted(_of(str(key)) for key in keys)

    async def check(self) -> Sequence[Finding]:
        """Look the server over: it must keep what it was given, over a restart and when memory is short."""
        name = "assignments (redis)"
        try:
            with _explained():
                about: dict[str, Any] = await self._redis.info()
        except Unavailable as error:
            return [Finding(name=name, ok=False, detail=error.detail, remedy=error.next_step)]
        if not about.get("aof_enabled"):
            detail, remedy = "a restart forgets assignments", "Set `appendonly yes` in redis.conf."
        elif about.get("maxmemory") and about.get("maxmemory_policy") != "noeviction":
            detail, remedy = "short of memory it drops assignments", "Set `maxmemory-policy noeviction`."
        else:
            detail, remedy = f"Redis {about.get('redis_version', '')} answers and keeps them", ""
        return [Finding(name=name, ok=not remedy, detail=detail, remedy=remedy)]

    async def close(self) -> None:
        """Release connections."""
        await self._redis.aclose()


def _key(tenant_id: str, book: str) -> str:
    return f"{HELD}:{tenant_id}/{book}"


def _of(key: str) -> tuple[str, str]:
    tenant_id, _, book = key.removeprefix(f"{HELD}:").partition("/")
    return tenant_id, book


def _chunks(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    for at in range(0, len(items), UNITS_PER_SCRIPT):
        yield items[at : at + UNITS_PER_SCRIPT]


def _row(i: Assignment) -> tuple[str, ...]:
    at = i.assigned_at
    value = f"{i.priority}|{at.isoformat()}|{i.key}"
    return str(slice_of(i.unit_hash)), i.unit_hash, value, repr(at.timestamp())


def _read(tenant_id: str, book: str, unit_hash: str, value: str) -> Assignment:
    priority, at, key = value.split("|", 2)
    return Assignment(
        tenant_id=tenant_id,
        book=book,
        unit_hash=unit_hash,
        priority=priority,
        key=key,
        assigned_at=datetime.fromisoformat(at),
    )


@contextmanager
def _explained() -> Iterator[None]:
    """Turn the client's errors into ours; none of them quotes the URL.

    Raises:
        Unavailable: The server is away, refuses us, or cannot write.
    """
    try:
        yield
    except (RedisError, OSError) as error:
        raise Unavailable(
            f"The Redis that keeps assignments does not do its work ({type(error).__name__}).",
            next_step="Check that it runs and what SERINUS_ASSIGNMENTS_URL says; it is tried again.",
        ) from error
