"""What an operator starts Traefik with: one that watches a file, or one that polls us."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from serinus.drivers._start import PollAt, StartWith, choose
from serinus.drivers.traffic.traefik.config import (
    STATIC_FILE,
    Instance,
    TraefikConfig,
    bootstrap,
    plugin_files,
    start_command,
)

__all__ = ["polling_bootstrap", "start_with"]


def start_with(data: Mapping[str, Any], name: str | None, poll: PollAt | None) -> StartWith:
    """Return what one instance is started with.

    Raises:
        InvalidInput: The settings are wrong, or have no such instance.
    """
    config = TraefikConfig.read(data, polled=poll is not None)
    if poll is None:
        instance = choose(config.instances, name)
        return StartWith(
            file=STATIC_FILE,
            text=_text(bootstrap(config, instance)),
            notes=(
                f"Traefik's static configuration for {instance.name}; JSON, which is YAML too.",
                f"Serinus (or `serinus agent`) writes it into {instance.config_dir} by itself, with our",
                "plugin and the split. Put it there only to merge it with your own.",
                f"Start: {start_command(instance)}",
            ),
            others=plugin_files(),
        )
    instance = choose(config.instances, name, Instance(name=name or "edge-1", admin="http://127.0.0.1:8081"))
    return StartWith(
        file=STATIC_FILE,
        text=_text(polling_bootstrap(config, instance, poll)),
        notes=(
            f"Traefik's static configuration for {instance.name} of {poll.service}, which asks {poll.url}",
            f"for its split; JSON, which is YAML too. Save it as {STATIC_FILE} in a folder of its own that",
            "only Traefik may read: the token stands in it. Make one with",
            "  serinus token create edges --role agent",
            "Our plugin has to lie in that folder, too: --into FOLDER writes all of it.",
            f"Start, in that folder: traefik --configFile={STATIC_FILE}   (Traefik 3.6 or newer)",
            f"Then `serinus fleet list` shows {instance.name}.",
        ),
        others=plugin_files(),
        secret=(STATIC_FILE,),
    )


def polling_bootstrap(config: TraefikConfig, instance: Instance, poll: PollAt) -> dict[str, Any]:
    """Return the static configuration of a Traefik that polls."""
    service, name = quote(poll.service, safe=""), quote(instance.name, safe="")
    asked = {
        "endpoint": f"{poll.url}/api/v1/services/{service}/instances/{name}/traefik",
        "pollInterval": f"{config.poll_seconds:g}s",
        "headers": {"Authorization": f"Bearer {poll.token}"},
    }
    return bootstrap(config, instance, {"http": asked})


def _text(made: dict[str, Any]) -> str:
    return json.dumps(made, indent=2) + "\n"
