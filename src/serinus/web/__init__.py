"""The dashboard: server-rendered pages that work without scripts and update by push with one."""

from __future__ import annotations

from serinus.web.app import install

__all__ = ["install"]
