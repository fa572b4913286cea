"""The ``serinus`` command. Without its extra it says what to install."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    try:
        import rich  # noqa: F401
        import typer  # noqa: F401
    except ModuleNotFoundError:
        print("The command line needs its extra: pip install 'serinus[server]'", file=sys.stderr)
        raise SystemExit(2) from None
    from serinus.cli.app import run

    run()


if __name__ == "__main__":
    main()
