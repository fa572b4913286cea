"""The audit log's hash chain: each entry's hash covers the entry and the hash before it.

Whoever changes, removes or inserts an entry changes every hash after it. Only entries removed from the
end leave no trace inside the chain: that is what the stored head, and copies of it elsewhere, are for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

__all__ = ["GENESIS", "link"]

#: What comes before a tenant's first entry.
GENESIS = "0" * 64
#: Names the way entries are written down for hashing; another way gets another name.
_FORM = b"serinus-audit-1\n"


def link(before: str, seq: int, at: datetime, fields: Mapping[str, Any]) -> str:
    """Return the hex SHA-256 of an entry and of the hash before it.

    Args:
        before: The hash of the entry before, :data:`GENESIS` for the first.
        seq: The entry's number within its tenant, from 1.
        at: When; hashed in UTC with microseconds.
        fields: Everything else that the entry says, as JSON.
    """
    said = {**fields, "seq": seq, "at": at.astimezone(UTC).isoformat(timespec="microseconds")}
    written = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(_FORM + before.encode() + b"\n" + written.encode()).hexdigest()
