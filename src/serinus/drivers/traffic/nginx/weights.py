"""Rendering plain NGINX's configuration from its template: weights, sides, versions (contract 3)."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping, Sequence
from math import ceil, gcd

from serinus.core.bucketing import BUCKETS
from serinus.core.errors import InvalidInput
from serinus.drivers.traffic.nginx.config import Instance, ReloadConfig, admin_listen
from serinus.drivers.traffic.nginx.render import CONNECT_SECONDS, COOKIE_ENDS, milliseconds

__all__ = ["FLUSH_SECONDS", "Plan", "carried_share", "render", "stamped", "unstamped", "weights"]

#: NGINX itself sends these again only where nothing was sent before.
_NOT_IDEMPOTENT = ("POST", "PATCH", "LOCK")
#: So long a worker keeps lines of requests before it writes them.
FLUSH_SECONDS = 0.1
_VALUE = re.compile(r"\$\{([A-Z_]+)\}")
_DIGEST = re.compile(r'(location = /config \{ return 200 "\w+)(-\w+)?(")')
_SERVER = re.compile(r"server\s+(\S+)(?:\s+weight=(\d+))?([^;]*);")


def weights(canary_bp: int) -> tuple[int, int]:
    """Return production's and the canary's weight for a share of 0 to 100 %.

    Whole percents are the contract's stages; finer shares are written in basis points.

    Raises:
        InvalidInput: It is no share.

    >>> weights(0), weights(500), weights(2500), weights(10_000), weights(25)
    ((100, 0), (95, 5), (75, 25), (0, 100), (9975, 25))
    """
    if not 0 <= canary_bp <= BUCKETS:
        raise InvalidInput(
            f"A share of {canary_bp / 100:g} % is not possible.",
            field="canary_bp",
            next_step="Give 0 to 100 %.",
        )
    whole = 100 if canary_bp % 100 == 0 else BUCKETS
    canary = canary_bp * whole // BUCKETS
    return whole - canary, canary


class Plan:
    """One split as plain NGINX carries it: addresses, weights and names."""

    def __init__(
        self, stable: tuple[str, Sequence[str]], canary: tuple[str, Sequence[str]] | None, bp: int, salt: str
    ) -> None:
        """``stable`` and ``canary`` are versions with their ``host:port`` addresses."""
        self.stable, self.bp, self.salt = stable, bp if canary else 0, salt
        self.has_canary = canary is not None
        # Without a canary its servers are production's, and down: a group may not be empty.
        self.canary = canary or stable
        self.production_weight, self.canary_weight = _per_address(
            weights(self.bp), len(self.stable[1]), len(self.canary[1])
        )


def _per_address(shares: tuple[int, int], production: int, canary: int) -> tuple[int, int]:
    """Return weights of single servers, so that the sums of both sides have the shares.

    >>> _per_address((95, 5), 2, 1), _per_address((95, 5), 1, 1)
    ((19, 2), (95, 5))
    """
    if production == canary:
        return shares
    one, other = shares[0] * canary, shares[1] * production
    common = gcd(one, other) or 1
    return one // common, other // common


def render(template: str, config: ReloadConfig, instance: Instance, plan: Plan) -> str:
    """Return ``nginx.conf``: the template with its values, and a digest of it all as ``DIGEST``.

    Raises:
        InvalidInput: The template names a value that there is not.
    """
    values = _values(config, instance, plan)
    unknown = set(_VALUE.findall(template)) - values.keys() - _REPEATED.keys() - {"DIGEST"}
    if unknown:
        raise InvalidInput(
            f"The template asks for {', '.join(sorted(unknown))}, which there is not.",
            field="nginx.conf.template",
            next_step=f"Known are: {', '.join(sorted([*values, *_REPEATED, 'DIGEST']))}.",
        )
    lines = [made for line in template.splitlines() for made in _lines(line, plan)]
    text = _VALUE.sub(lambda found: values.get(found[1], found[0]), "\n".join(lines)) + "\n"
    return text.replace("${DIGEST}", hashlib.sha256(text.encode()).hexdigest()[:16])


def stamped(text: str) -> str:
    """Return a rendered text with a mark of its own: a reload is over when workers tell this very mark.

    The digest alone could come from a file that somebody has edited below it.
    """
    return _DIGEST.sub(lambda found: f"{found[1]}-{secrets.token_hex(4)}{found[3]}", text)


def unstamped(text: str) -> str:
    """Return a text without its mark, as it was rendered."""
    return _DIGEST.sub(r"\1\3", text)


#: Values of which a line has one, and the line is repeated for all of them: which side, without a weight.
_REPEATED = {"PRODUCTION_ADDRESS": "backup", "CANARY_ADDRESS": "down"}


def _lines(line: str, plan: Plan) -> list[str]:
    sides = {"PRODUCTION_ADDRESS": plan.stable[1], "CANARY_ADDRESS": plan.canary[1]}
    line = line.replace("${PRODUCTION_WEIGHT}", str(plan.production_weight))
    line = line.replace("${CANARY_WEIGHT}", str(plan.canary_weight))
    for name, instead in _REPEATED.items():
        if f"${{{name}}}" in line:
            # NGINX refuses a weight of 0. Production still stands in for a canary that has everything.
            line = re.sub(r"\bweight=0\b", instead, line)
            return [line.replace(f"${{{name}}}", address) for address in sides[name]]
    return [line]


def _values(config: ReloadConfig, instance: Instance, plan: Plan) -> Mapping[str, str]:
    folder = instance.config_dir.rstrip("/")
    log = f"access_log {folder}/{config.canary_log} serinus if=$serinus_candidate;"
    return {
        "ADMIN": admin_listen(instance),
        "BODY": f"{config.max_body_megabytes}m" if config.max_body_megabytes else "0",
        "CANARY_LOG": log if config.canary_log and plan.has_canary else "",
        "CANARY_WEIGHT": str(plan.canary_weight),
        "COOKIE": "add_header set-cookie $serinus_cookie always;" if config.sticky else "",
        "CONNECT": milliseconds(min(CONNECT_SECONDS, config.try_seconds)),
        "FLUSH": milliseconds(FLUSH_SECONDS),
        "FOLDER": folder,
        # A name that is written out is looked up once, and not for each request.
        "GROUP": "$serinus_side" if config.sticky else "serinus_weighted",
        "HEALTH": f"max_fails={config.max_fails} fail_timeout={ceil(config.fail_seconds)}s",
        "LISTEN": config.listen,
        "METHODS": _methods(config),
        "PRODUCTION_WEIGHT": str(plan.production_weight),
        "SIDE": _side(config, plan),
        "TIMEOUT": milliseconds(config.timeout_seconds),
        # Without a canary there is nobody else to try.
        "TRY": milliseconds(config.try_seconds if plan.bp else config.timeout_seconds),
        "VERSIONS": _versions(plan),
        "WORKERS": str(config.workers or "auto"),
    }


def _methods(config: ReloadConfig) -> str:
    cases = {**dict.fromkeys(_NOT_IDEMPOTENT, "unsent"), **dict.fromkeys(config.retry_methods, '""')}
    listed = " ".join(f"{method} {how};" for method, how in cases.items())
    return f"map $request_method $serinus_method {{ {listed} default once; }}"


def _side(config: ReloadConfig, plan: Plan) -> str:
    """Return what chooses the group of servers, and the cookie of a new unit."""
    if not config.sticky:
        return (
            'map "" $serinus_side { default serinus_weighted; }\n    map "" $serinus_cookie { default ""; }'
        )
    headers = (config.workflow_header, config.session_header, config.user_header)
    variables = ["http_" + header.replace("-", "_") for header in headers] + [f"cookie_{config.cookie}"]
    made, last = [], "request_id"
    for at, variable in reversed(list(enumerate(variables))):
        made.append(f'map ${variable} $serinus_unit{at} {{ "" ${last}; default ${variable}; }}')
        last = f"serinus_unit{at}"
    known = '"' + "".join(f"${variable}" for variable in variables) + '"'
    cookie = f"{config.cookie}=$request_id{COOKIE_ENDS}"
    made.append(f'map {known} $serinus_cookie {{ "" "{cookie}"; default ""; }}')
    some = f"{plan.bp / 100:.2f}% serinus_canary; " if 0 < plan.bp < BUCKETS else ""
    rest = "serinus_canary" if plan.bp == BUCKETS else "serinus_production"
    made.append(f'split_clients "{_plain(plan.salt)}:${last}" $serinus_side {{ {some}* {rest}; }}')
    return "\n    ".join(made)


def _versions(plan: Plan) -> str:
    """Return which version has answered (the last address), and whether the canary was asked at all."""
    stable, canary = (_quoted(version) for version, _ in (plan.stable, plan.canary))
    if plan.has_canary:
        some = "|".join(re.escape(address) for address in plan.canary[1])
        # Most requests are tried once, and their address is found as it is: expressions are for the others.
        mine = "".join(f'"{address}" {canary}; ' for address in plan.canary[1])
        others = [address for address in plan.stable[1] if address not in plan.canary[1]]
        last = mine + "".join(f'"{a}" {stable}; ' for a in others) + f'"~[ ,]({some})$" {canary}; '
        asked = mine + "".join(f'"{a}" ""; ' for a in others) + f'"~(^|[ ,])({some})($|[ ,])" {canary}; '
        of = "$upstream_addr"
    else:
        last, asked, of = "", "", '""'
    return (
        f"map {of} $serinus_version {{ {last}default {stable}; }}\n"
        f'    map {of} $serinus_candidate {{ {asked}default ""; }}'
    )


def _plain(text: str) -> str:
    """Return a salt as NGINX may have it in quotes: no sign that means something there."""
    return re.sub(r'["\\$\n\r]', "_", text)


def _quoted(version: str) -> str:
    """Return a version's name in quotes.

    Raises:
        InvalidInput: NGINX would take a part of it for a variable.
    """
    if re.search(r'["\\$\n\r]', version):
        raise InvalidInput(
            f"NGINX cannot name the version {version!r} in a header.",
            field="version",
            next_step="Use letters, digits, dots and dashes.",
        )
    return f'"{version}"'


def carried_share(text: str, canary: Sequence[str], *, sticky: bool) -> int | None:
    """Return the canary's share in a rendered configuration, in basis points; ``None``: none of ours."""
    if sticky:
        found = re.search(r"\$serinus_side \{ (?:([\d.]+)% serinus_canary; )?\* (\w+);", text)
        if not found:
            return None
        return round(float(found[1]) * 100) if found[1] else BUCKETS * (found[2] == "serinus_canary")
    block = re.search(r"upstream serinus_weighted \{(.*?)\}", text, re.DOTALL)
    if not block:
        return None
    sums = [0, 0]
    for address, weight, more in _SERVER.findall(block[1]):
        if "backup" not in more and "down" not in more:
            sums[address in canary] += int(weight or 1)
    return round(BUCKETS * sums[1] / sum(sums)) if sum(sums) else None
