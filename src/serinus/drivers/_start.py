"""What a person puts in place to start a proxy: files, and what there is to know about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from serinus.core.errors import InvalidInput
from serinus.drivers._proxies import Instance

__all__ = ["TOKEN", "PollAt", "StartWith", "choose"]

#: Stands for the token where none was given.
TOKEN = "REPLACE-WITH-AN-AGENT-TOKEN"  # noqa: S105


@dataclass(frozen=True, kw_only=True, slots=True)
class StartWith:
    """The files of one instance, and notes for whoever puts them in place."""

    #: The main file's name, and its content.
    file: str
    text: str
    notes: tuple[str, ...]
    #: Further files, by their path beside the main one.
    others: Mapping[str, str] = field(default_factory=dict)
    #: Which of the files hold the token.
    secret: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class PollAt:
    """Where a proxy polls, and for which service."""

    url: str
    service: str
    token: str = TOKEN

    @property
    def netloc(self) -> str:
        """The host, with the port where one is given: what the control plane is called in Host headers."""
        return urlsplit(self.url).netloc

    @property
    def secure(self) -> bool:
        """Tell whether it is asked by TLS."""
        return urlsplit(self.url).scheme == "https"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or (443 if self.secure else 80)

    @classmethod
    def read(cls, url: str, service: str, token: str) -> PollAt:
        """Check and return.

        Raises:
            InvalidInput: The URL has a path, or is none.
        """
        parts = urlsplit(url.rstrip("/"))
        try:
            usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            usable = False
        if not usable or parts.path or parts.query or parts.username or parts.fragment:
            raise InvalidInput(
                f"{url[:80]!r} is not where a control plane answers.",
                field="poll",
                next_step="Like http://control-plane:8600, without a path: Envoy asks at the root.",
            )
        return cls(url=url.rstrip("/"), service=service, token=token or TOKEN)


def choose(instances: Sequence[Instance], name: str | None, default: Instance | None = None) -> Instance:
    """Return the instance of this name, or the first; ``default`` where the name is known nowhere.

    Raises:
        InvalidInput: There is no such instance.
    """
    chosen = next((i for i in instances if name in (None, i.name)), default)
    if chosen is None:
        raise InvalidInput(
            f"There is no instance {name!r}.",
            field="instance",
            next_step=f"Use one of: {', '.join(i.name for i in instances)}.",
        )
    return chosen
