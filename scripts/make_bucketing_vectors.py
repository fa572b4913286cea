"""Writes ``spec/bucketing-vectors.json``: what every implementation of the bucketing must answer."""

from __future__ import annotations

import json
from pathlib import Path

from serinus.core.bucketing import BUCKETS, bucket_of, unit_hash

SALTS = ("dep_3f9a61b2c04d", "exp-1", "a")
KEYS = (
    *(f"user-{n}" for n in range(40)),
    "ada@example.com",
    "1b4e28ba-2fa1-11d2-883f-0016d3cca427",
    "a b",
    "a,b",
    "a:b",
    "ü",
    "日本語",
    "😀",
    "x" * 200,
    "0",
)


def main() -> None:
    """Write the file."""
    vectors = [
        {"salt": s, "key": k, "hash": f"{unit_hash(s, k):016x}", "bucket": bucket_of(s, k)}
        for s in SALTS
        for k in KEYS
    ]
    content = {
        "what": "bucket = xxh64(utf8(salt + ':' + key), seed 0) mod buckets; canary while bucket < weight",
        "buckets": BUCKETS,
        "vectors": vectors,
    }
    path = Path(__file__).parents[1] / "spec" / "bucketing-vectors.json"
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
