"""Addresses as people write them, and versions as proxies name them."""

from __future__ import annotations

import pytest

from serinus.core.errors import InvalidInput
from serinus.drivers._address import plain_name, split_address


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        ("shop_v2.internal:8080", ("shop_v2.internal", 8080)),
        ("[::1]:65535", ("::1", 65535)),
        ("[::ffff:10.0.0.1]:1", ("::ffff:10.0.0.1", 1)),
    ],
)
def test_host_and_port_are_taken_apart(written, meant):
    """Names, IPv4, and IPv6 in brackets."""
    assert split_address(written, "listen") == meant


@pytest.mark.parametrize(
    "written",
    [
        *("", "host", ":80", "host:", "host:0", "host:65536", "host:٣", "::1:80", "[::1]", "[host]:80"),
        *("a b:80", "user@host:80", "http://host:80", "host/path:80", "ho\nst:80"),
    ],
)
def test_anything_else_is_refused_with_its_field(written):
    """Nothing reaches a proxy's configuration that would mean something else there."""
    with pytest.raises(InvalidInput, match="is no address") as refusal:
        split_address(written, "upstreams.v2")
    assert (refusal.value.field, refusal.value.next_step) == ("upstreams.v2", "Write it as host:port.")


def test_a_version_keeps_its_name_where_it_is_plain():
    """Otherwise a digest keeps it apart from those that would look alike."""
    assert plain_name("v2-rc1") == "v2-rc1"
    assert plain_name("v2.0") == "v2-0-7761fa94"
    names = {plain_name(v) for v in ("v2.0", "v2-0", "v2_0", "v2 0", "x" * 60, "x" * 61, "x" * 62)}
    assert len(names) == 7
