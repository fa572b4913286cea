"""The few words that channels add to a message, by language."""

from __future__ import annotations

from serinus.ports.notify import Level

__all__ = ["level_word", "open_words"]

_OPEN = {"en": "Open the deployment", "ko": "배포 열기"}
_LEVELS = {
    "ko": {Level.INFO: "정보", Level.WARNING: "경고", Level.ERROR: "오류", Level.CRITICAL: "심각"},
}


def open_words(language: str) -> str:
    """Return what the link to a deployment says."""
    return _OPEN.get(language, _OPEN["en"])


def level_word(level: Level, language: str) -> str:
    """Return a level as people read it.

    >>> level_word(Level.ERROR, "en"), level_word(Level.ERROR, "ko")
    ('Error', '오류')
    """
    return _LEVELS.get(language, {}).get(level, level.value.capitalize())
