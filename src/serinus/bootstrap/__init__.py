"""The composition root: settings → drivers → control → API and pages. Only here are drivers named."""

from __future__ import annotations

from serinus.bootstrap.build import Running, build, create_app
from serinus.bootstrap.doctor import doctor
from serinus.bootstrap.serve import serve

__all__ = ["Running", "build", "create_app", "doctor", "serve"]
