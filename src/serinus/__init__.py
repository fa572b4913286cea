"""Serinus: progressive delivery for anything that has a version."""

from __future__ import annotations

__all__ = ["__version__"]


def __getattr__(name: str) -> str:
    # Reading the metadata costs milliseconds, so the SDK's import does not pay for it.
    if name == "__version__":
        from importlib.metadata import version

        return version("serinus")
    raise AttributeError(name)
