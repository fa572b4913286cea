"""What other people's programs say, made fit for a timeline."""

from __future__ import annotations

__all__ = ["MOST", "first_line"]

#: Longest line that is kept.
MOST = 200


def first_line(text: str, *secrets: str) -> str:
    r"""Return the first line that says something, cut and without what must not be shown.

    >>> first_line("\\n  all good\\nmore")
    'all good'
    """
    for secret in secrets:
        text = text.replace(secret, "…") if secret else text
    lines = (line.strip() for line in text.splitlines())
    line = "".join(c if c.isprintable() else " " for c in next((one for one in lines if one), ""))
    return line if len(line) <= MOST else line[: MOST - 1] + "…"
