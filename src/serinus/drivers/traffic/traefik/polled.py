"""Answering a Traefik that polls (``providers.http``).

Traefik asks for everything at once, again and again, and does not say what it has. That it comes again after
it was given a configuration is all that its polls tell; whether it took it, its own API knows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from serinus.drivers.traffic.traefik.config import TraefikConfig
from serinus.drivers.traffic.traefik.dynamic import document, dynamic
from serinus.ports.polling import Ask, Told
from serinus.ports.traffic import DesiredSplit

__all__ = ["answer"]


def answer(config: TraefikConfig, ask: Ask, desired: DesiredSplit, memory: Mapping[str, Any]) -> Told:
    """Answer one question of one Traefik (see ``Polled.answer``)."""
    body = document(dynamic(config, desired))
    version = hashlib.sha256(body.encode()).hexdigest()[:16]
    given = None if ask.after_silence else memory.get("given")
    share = desired.canary_bp if desired.canary else 0
    return Told(
        body=body,
        memory={"given": version, "carried_bp": share},
        ok=given == version,
        carried_bp=memory.get("carried_bp") if given else None,
        started=given is None,
    )
