"""What an e-mail looks like: as text, and as one HTML page for wide, narrow, light and dark screens."""

from __future__ import annotations

from html import escape

from serinus.drivers._words import level_word, open_words
from serinus.ports.notify import Level, Notification

__all__ = ["html", "text"]

_LOOK = {
    Level.INFO: ("#2e7d32", "🟢"),
    Level.WARNING: ("#b26a00", "🟠"),
    Level.ERROR: ("#c62828", "🔴"),
    Level.CRITICAL: ("#7b1fa2", "🚨"),
}


def text(n: Notification) -> str:
    """Return the mail for programs that show no HTML."""
    width = max((len(name) for name, _ in n.fields), default=0) + 2
    rows = "\n".join(
        f"{name + ':':<{width}}" + value.replace("\n", "\n" + " " * width) for name, value in n.fields
    )
    heading = f"{_LOOK[n.level][1]} {level_word(n.level, n.language)}"
    return "\n\n".join(part for part in (heading, n.text, rows, n.link, "-- \nSerinus") if part) + "\n"


#: Mail programs that drop it still show dark on light: everything below only makes it nicer.
_STYLE = """
body{margin:0;padding:24px 16px;background:#f4f5f7;color:#1f2933;
font:16px/1.5 system-ui,-apple-system,sans-serif}
.card{max-width:600px;margin:0 auto;background:#fff;border-radius:8px;padding:20px 24px;border-left:6px solid}
h1{font-size:19px;line-height:1.3;margin:4px 0 12px;overflow-wrap:anywhere}
.level{margin:0;font-size:14px;font-weight:600}
.text{margin:0 0 16px;overflow-wrap:anywhere}
table{border-collapse:collapse;font-size:15px;width:100%}
th{text-align:left;vertical-align:top;padding:6px 16px 6px 0;font-weight:600;white-space:nowrap;width:1%}
td{padding:6px 0;overflow-wrap:anywhere}
tr+tr th,tr+tr td{border-top:1px solid #e4e7eb}
.open{display:inline-block;margin:20px 0 0;padding:12px 18px;border-radius:6px;background:#1f2933;color:#fff;
text-decoration:none;font-weight:600}
.foot{margin:20px 0 0;font-size:13px;color:#52606d}
@media(max-width:480px){body{padding:12px 8px}.card{padding:16px}tr{display:block;padding:6px 0}
th,td{display:block;padding:0;width:auto}tr+tr{border-top:1px solid #e4e7eb}tr+tr th,tr+tr td{border:0}
.open{display:block;text-align:center}}
@media(prefers-color-scheme:dark){body{background:#12161c;color:#e4e7eb}.card{background:#1d232b}
tr+tr th,tr+tr td,tr+tr{border-color:#3a424d}.open{background:#e4e7eb;color:#12161c}.foot{color:#9aa5b1}}
""".replace("\n", "")


def html(n: Notification) -> str:
    """Return one self-contained page: no picture or script is fetched, readable at phone width."""
    colour, emoji = _LOOK[n.level]
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{_lines(value)}</td></tr>' for name, value in n.fields
    )
    link = f'<a class="open" href="{escape(n.link)}">{open_words(n.language)}</a>' if n.link else ""
    return (
        f'<!doctype html><html lang="{escape(n.language)}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        '<meta name="supported-color-schemes" content="light dark">'
        f"<title>{escape(n.title)}</title><style>{_STYLE}</style></head>"
        f'<body><div class="card" style="border-left-color:{colour}">'
        f'<p class="level">{emoji} {n.level.value.capitalize()}</p><h1>{escape(n.title)}</h1>'
        f'<p class="text">{_lines(n.text)}</p>'
        + (f"<table>{rows}</table>" if rows else "")
        + f'{link}<p class="foot">Serinus</p></div></body></html>'
    )


def _lines(text: str) -> str:
    return escape(text).replace("\n", "<br>")
