#!/usr/bin/env bash
# Resolves the dependencies anew. Locks carry hashes and name no registry.
set -euo pipefail
cd "$(dirname "$0")/.."
uv="$1/bin/uv"
common=(--universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header -q)
"$uv" pip compile pyproject.toml --extra demo --group build "${common[@]}" -o requirements-demo.lock
"$uv" pip compile pyproject.toml --all-extras --group build --group dev "${common[@]}" -o requirements-dev.lock
"$uv" pip compile pyproject.toml --all-extras --group build --group dev --group bench "${common[@]}" -o requirements-bench.lock
