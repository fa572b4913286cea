"""How a unit is put in the canary.

``bucket = xxh64("salt:key") mod 10_000``, and a unit is on the canary while its bucket is
below the weight. One bucket is 0.01 %. Envoy and HAProxy compute the very same number by
themselves, so a user is on the same side in process and at every edge;
``spec/bucketing-vectors.json`` holds test vectors for other implementations.

Growing the weight only ever adds buckets, so nobody flips back while it grows. The salt
differs per deployment, so two rollouts do not burn the same users.
"""

from __future__ import annotations

import re

from xxhash import xxh64_intdigest

__all__ = ["BUCKETS", "PRIORITIES", "bucket_of", "is_on_canary", "is_unit_hash", "unit_hash", "unit_key"]

#: Number of buckets, and the weight that means "everybody". One bucket is 0.01 %.
BUCKETS = 10_000

#: The three keys in the order in which the first one present decides (contract 1).
PRIORITIES = ("workflow_id", "session_id", "user_id")

_HASH = re.compile("[0-9a-f]{16}")


def unit_hash(salt: str, key: str) -> int:
    """Return the unsigned 64-bit xxHash of ``"salt:key"`` in UTF-8.

    >>> unit_hash("exp1", "user-1") == xxh64_intdigest("exp1:user-1")
    True
    """
    return xxh64_intdigest(f"{salt}:{key}".encode("utf-8", "surrogatepass"))


def is_unit_hash(text: str) -> bool:
    """Tell whether this is a unit's hash as processes send it: 16 hex digits in lower case.

    >>> is_unit_hash(f"{unit_hash('exp1', 'user-1'):016x}"), is_unit_hash("user-1")
    (True, False)
    """
    return _HASH.fullmatch(text) is not None


def bucket_of(salt: str, key: str) -> int:
    """Return the bucket, 0 to 9,999, of a unit under a salt."""
    return unit_hash(salt, key) % BUCKETS


def is_on_canary(salt: str, key: str, weight_bp: int) -> bool:
    """Tell whether the hash alone puts this unit on the canary.

    Args:
        salt: The deployment's salt.
        key: The unit's key: a workflow, session or user id.
        weight_bp: Canary share in basis points of all buckets, 0 to 10,000.
    """
    return bucket_of(salt, key) < weight_bp


def unit_key(
    workflow_id: str | None = None, session_id: str | None = None, user_id: str | None = None
) -> tuple[str, str] | None:
    """Return ``(key, priority)`` of the first key present, or ``None`` without any.

    An empty string counts as absent.
    """
    if workflow_id:
        return workflow_id, "workflow_id"
    if session_id:
        return session_id, "session_id"
    if user_id:
        return user_id, "user_id"
    return None
