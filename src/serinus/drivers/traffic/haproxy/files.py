"""An instance's folder: what HAProxy is started with, so that a restart carries what was carried last."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from serinus.drivers._proxies import replace_file
from serinus.drivers.traffic.haproxy.config import CONFIG_FILE, HaproxyConfig, Instance
from serinus.drivers.traffic.haproxy.exposition import PAGE_FILE, page
from serinus.drivers.traffic.haproxy.latency import LATENCY_FILE, map_lines
from serinus.drivers.traffic.haproxy.slots import MATCHES_FILE, SPLIT_FILE, Plan
from serinus.drivers.traffic.haproxy.template import render

__all__ = ["entries", "read_map", "write_all"]


def write_all(config: HaproxyConfig, instance: Instance, plan: Plan) -> None:
    """Write the configuration and its maps, each at once; HAProxy reads them when it starts.

    Raises:
        OSError: The folder cannot be written.
    """
    folder = Path(instance.config_dir)
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / LATENCY_FILE, map_lines())
    replace_file(folder / PAGE_FILE, page())
    replace_file(folder / MATCHES_FILE, entries(plan.matches))
    replace_file(folder / SPLIT_FILE, entries(plan.split))
    replace_file(folder / CONFIG_FILE, render(config, instance, plan.servers))


def entries(held: Mapping[str, str]) -> str:
    """Return a map's content as its file has it."""
    return "".join(f"{key} {value}\n" for key, value in held.items())


def read_map(path: Path) -> dict[str, str]:
    """Return a map file's content; nothing when there is none yet, or none that can be read."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, ValueError):
        return {}  # the first apply, or a file that somebody has broken: ours takes its place
    parts = (line.partition(" ") for line in lines)
    return {key: value for key, space, value in parts if space}
