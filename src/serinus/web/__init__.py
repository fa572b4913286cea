"""The pages."""

from __future__ import annotations

from fastapi import FastAPI

from serinus.control.plane import Plane


def install(app: FastAPI, plane: Plane) -> None:
    """Add the pages to ``app``."""
