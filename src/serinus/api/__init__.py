"""The HTTP API: contract 1 under ``/api/v1``, problem details, OpenAPI 3.1."""

from __future__ import annotations

from serinus.api.app import create_app

__all__ = ["create_app"]
