"""Answering an Envoy that polls: REST xDS, in the order in which nothing breaks.

Envoy asks for clusters and for routes, each by itself, and says which version of it is in force. It is given
new routes only once it has said that it has every cluster they name, and it keeps the clusters of the routes
that it has, or may have, until it has said that it has others. So whatever is asked first, and whichever
answer gets lost, no request meets a route without its cluster.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from serinus.core.codec import from_json, to_json
from serinus.core.errors import InvalidInput
from serinus.drivers.traffic.envoy.clusters import clusters, digest_of
from serinus.drivers.traffic.envoy.config import EnvoyConfig
from serinus.drivers.traffic.envoy.routes import carried_share, routes
from serinus.ports.polling import TRIES_BEFORE_REFUSED, Ask, Told
from serinus.ports.traffic import DesiredSplit

__all__ = ["CLUSTERS", "ROUTES", "answer"]

#: What is asked for, as in ``POST /v3/discovery:clusters``.
CLUSTERS, ROUTES = "clusters", "routes"
_TYPES = {
    CLUSTERS: "type.googleapis.com/envoy.config.cluster.v3.Cluster",
    ROUTES: "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Clusters:
    """A version of the clusters: name → digest of the cluster."""

    version: str = ""
    names: dict[str, str] = field(default_factory=dict)

    def has(self, made: Iterable[dict[str, Any]]) -> bool:
        """Tell whether all of these are among them, as they are."""
        return all(self.names.get(cluster["name"]) == digest_of([cluster]) for cluster in made)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Routes:
    """A version of the routes, and the split that they were made from."""

    version: str = ""
    split: DesiredSplit | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Memory:
    """What is known of one Envoy: what it said that it has, and what it was last given."""

    clusters: _Clusters = field(default_factory=_Clusters)
    routes: _Routes = field(default_factory=_Routes)
    given_clusters: _Clusters = field(default_factory=_Clusters)
    given_routes: _Routes = field(default_factory=_Routes)
    #: Kind → how often it was given something that it has not taken since.
    tries: dict[str, int] = field(default_factory=dict)
    #: Kind → its own words against it.
    refusals: dict[str, str] = field(default_factory=dict)


def answer(config: EnvoyConfig, ask: Ask, desired: DesiredSplit, memory: Mapping[str, Any]) -> Told:
    """Answer one question of one Envoy (see ``Polled.answer``)."""
    known = _heard(ask, _read(memory))
    needed = clusters(config, desired)
    wanted = routes(config, desired)
    target = digest_of([wanted])
    if ask.kind == CLUSTERS:
        resources = _with_those_in_use(config, needed, known)
        version = digest_of(resources)
        names = {cluster["name"]: digest_of([cluster]) for cluster in resources}
        after = replace(known, given_clusters=_Clusters(version=version, names=names))
    elif known.clusters.has(needed):
        resources, version = [wanted], target
        after = replace(known, given_routes=_Routes(version=version, split=desired))
    else:
        resources, version, after = [], ask.version, known  # its clusters first
    body = "" if version == ask.version else _response(ask.kind, version, resources)
    tries = after.tries.get(ask.kind, 0) + 1 if body else 0
    ok = known.routes.version == target and known.clusters.has(needed)
    return Told(
        body=body,
        memory=to_json(replace(after, tries={**after.tries, ask.kind: tries})),
        ok=ok,
        carried_bp=_carried(config, known.routes, desired),
        problem="" if ok else _refused(known),
        started=not ask.version,
    )


def _heard(ask: Ask, known: _Memory) -> _Memory:
    """Return what is known after this question: what it names is in force, and nothing is on its way."""
    given: _Clusters | _Routes
    if ask.kind == CLUSTERS:
        given = known.given_clusters
        if ask.version == given.version:
            known = replace(known, clusters=given)
        elif not ask.version or ask.version != known.clusters.version:
            # It has just started, or has what we do not remember: no cluster can be counted on.
            known = replace(known, clusters=_Clusters(version=ask.version))
    else:
        given = known.given_routes
        if ask.version == given.version:
            known = replace(known, routes=given)
        elif ask.version != known.routes.version:
            # What it may still send to is kept in mind, unless it has just started.
            known = replace(
                known, routes=_Routes(version=ask.version, split=known.routes.split if ask.version else None)
            )
        known = replace(known, given_routes=_Routes())
    taken = ask.version == given.version
    return replace(
        known,
        tries={**known.tries, ask.kind: 0 if taken else known.tries.get(ask.kind, 0)},
        refusals={**known.refusals, ask.kind: "" if taken else ask.refusal},
    )


def _carried(config: EnvoyConfig, has: _Routes, desired: DesiredSplit) -> int | None:
    if has.split is None or digest_of([made := routes(config, has.split)]) != has.version:
        return None
    return carried_share(made, desired)


def _with_those_in_use(
    config: EnvoyConfig, needed: list[dict[str, Any]], known: _Memory
) -> list[dict[str, Any]]:
    """Return the clusters of a split, and those that the routes in force name or may name."""
    made = {cluster["name"]: cluster for cluster in needed}
    for split in (known.given_routes.split, known.routes.split):
        for cluster in clusters(config, split) if split else ():
            made.setdefault(cluster["name"], cluster)
    return list(made.values())


def _refused(known: _Memory) -> str:
    """Return why it does not follow; empty while it may just be on its way."""
    for kind in (CLUSTERS, ROUTES):
        tries, why = known.tries.get(kind, 0), known.refusals.get(kind, "")
        if why:
            return f"Envoy refused the {kind}: {why[:300]}"
        if tries >= TRIES_BEFORE_REFUSED:
            return (
                f"Envoy was given new {kind} {tries} times and has not taken them; why is in its own log "
                f"(`REST config for /v3/discovery:{kind} rejected`)"
            )
    return ""


def _response(kind: str, version: str, resources: list[dict[str, Any]]) -> str:
    """Return a DiscoveryResponse."""
    listed = [{"@type": _TYPES[kind], **resource} for resource in resources]
    content = {"version_info": version, "type_url": _TYPES[kind], "resources": listed}
    return json.dumps(content, separators=(",", ":"))


def _read(memory: Mapping[str, Any]) -> _Memory:
    try:
        return from_json(_Memory, memory)
    except InvalidInput:
        return _Memory()  # written by another release: as if it had not been heard of yet
