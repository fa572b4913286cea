"""What an operator starts Envoy with: one that watches files, or one that polls us."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from serinus.drivers._start import PollAt, StartWith, choose
from serinus.drivers.traffic.envoy.config import EnvoyConfig, Instance, bootstrap

__all__ = ["polling_bootstrap", "start_with"]

#: Beside the bootstrap: ``Bearer``, a space, the token.
TOKEN_FILE = "token"  # noqa: S105
#: Where Debian, Ubuntu and Alpine keep the authorities that the system trusts.
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
#: An answer that has not come by then is asked for again; what is in force stays.
ANSWER_SECONDS = 3.0
_EXTENSIONS = "type.googleapis.com/envoy.extensions"
_HTTP = f"{_EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions"


def start_with(data: Mapping[str, Any], name: str | None, poll: PollAt | None) -> StartWith:
    """Return what one instance is started with.

    Raises:
        InvalidInput: The settings are wrong, or have no such instance.
    """
    config = EnvoyConfig.read(data, polled=poll is not None)
    if poll is None:
        instance = choose(config.instances, name)
        folder = instance.config_dir
        return StartWith(
            file="bootstrap.json",
            text=_text(bootstrap(config, instance)),
            notes=(
                f"Envoy's bootstrap for {instance.name}. Save it as {folder}/bootstrap.json.",
                f"The split comes as {folder}/cds.json and rds.json, which Serinus (or `serinus agent`)",
                "writes on this host and Envoy watches.",
                f"Start: envoy -c {folder}/bootstrap.json",
            ),
        )
    instance = choose(config.instances, name, Instance(name=name or "edge-1", admin="http://127.0.0.1:9901"))
    return StartWith(
        file="bootstrap.json",
        text=_text(polling_bootstrap(config, instance, poll)),
        notes=(
            f"Envoy's bootstrap for {instance.name} of {poll.service}, which asks {poll.url} for its split.",
            "Save it as bootstrap.json in a folder of its own. Beside it, a file `token` that only Envoy may",
            "read, without a line's end:  printf 'Bearer %s' \"$TOKEN\" > token && chmod 600 token",
            "The token has the role agent: serinus token create edges --role agent",
            "Start, in that folder: envoy -c bootstrap.json   (Envoy 1.36 or newer)",
            f"Then `serinus fleet list` shows {instance.name}.",
        ),
        others={TOKEN_FILE: f"Bearer {poll.token}"},
        secret=(TOKEN_FILE,),
    )


def polling_bootstrap(config: EnvoyConfig, instance: Instance, poll: PollAt) -> dict[str, Any]:
    """Return the bootstrap of an Envoy that polls: ``envoy -c FILE`` takes it as JSON."""
    # Started in its own folder, wherever that is: the canary's log is made there.
    made = bootstrap(config, replace(instance, config_dir=""), _asked(config, poll))
    made["node"] = {"id": instance.name, "cluster": poll.service}
    made["static_resources"]["clusters"] = [_control_plane(poll)]
    secret = {"filename": TOKEN_FILE}
    made["static_resources"]["secrets"] = [{"name": "serinus-token", "generic_secret": {"secret": secret}}]
    return made


def _asked(config: EnvoyConfig, poll: PollAt) -> dict[str, Any]:
    return {
        "resource_api_version": "V3",
        # A proxy without any split waits for one; after the default of 15 s it would answer 404 to everyone.
        "initial_fetch_timeout": "0s",
        "api_config_source": {
            "api_type": "REST",
            "transport_api_version": "V3",
            "cluster_names": [poll.netloc],
            "refresh_delay": f"{config.poll_seconds:g}s",
            "request_timeout": f"{ANSWER_SECONDS:g}s",
        },
    }


def _control_plane(poll: PollAt) -> dict[str, Any]:
    """Return the cluster that answers polls. Envoy sends its name as the Host header."""
    host, port = poll.address
    address = {"socket_address": {"address": host, "port_value": port}}
    cluster: dict[str, Any] = {
        "name": poll.netloc,
        "type": "STRICT_DNS",
        "dns_lookup_family": "ALL",
        "connect_timeout": "2s",
        "load_assignment": {
            "cluster_name": poll.netloc,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": _HTTP,
                "explicit_http_config": {"http_protocol_options": {}},
                "http_filters": _with_token(),
            }
        },
    }
    return cluster | ({"transport_socket": _tls(host)} if poll.secure else {})


def _with_token() -> list[dict[str, Any]]:
    """Return the filters that put the token into what Envoy itself asks: REST has no metadata for it."""
    filters = f"{_EXTENSIONS}.filters.http"
    generic = f"{_EXTENSIONS}.http.injected_credentials.generic.v3.Generic"
    injector = {
        "@type": f"{filters}.credential_injector.v3.CredentialInjector",
        "overwrite": True,
        "credential": {
            "name": "envoy.http.injected_credentials.generic",
            "typed_config": {"@type": generic, "credential": {"name": "serinus-token"}},
        },
    }
    codec = {"@type": f"{filters}.upstream_codec.v3.UpstreamCodec"}
    return [
        {"name": "envoy.filters.http.credential_injector", "typed_config": injector},
        {"name": "envoy.filters.http.upstream_codec", "typed_config": codec},
    ]


def _tls(host: str) -> dict[str, Any]:
    try:
        ipaddress.ip_address(host)
        kind, sni = "IP_ADDRESS", {}
    except ValueError:
        kind, sni = "DNS", {"sni": host}
    named = {"san_type": kind, "matcher": {"exact": host}}
    trusted = {"trusted_ca": {"filename": AUTHORITIES}, "match_typed_subject_alt_names": [named]}
    context = f"{_EXTENSIONS}.transport_sockets.tls.v3.UpstreamTlsContext"
    typed = {"@type": context, **sni, "common_tls_context": {"validation_context": trusted}}
    return {"name": "envoy.transport_sockets.tls", "typed_config": typed}


def _text(made: dict[str, Any]) -> str:
    return json.dumps(made, indent=2) + "\n"
