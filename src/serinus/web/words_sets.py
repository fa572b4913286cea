"""The Korean words of the pages of release sets and freezes; English is the key."""

from __future__ import annotations

__all__ = ["SETS"]

SETS = {
    "Release set": "릴리스 세트",
    "Release sets": "릴리스 세트",
    "No release set yet.": "아직 릴리스 세트가 없습니다.",
    "Freezes": "동결",
    "No freeze.": "동결이 없습니다.",
    "frozen until": "동결 종료:",
    "every service": "모든 서비스",
    "on": "적용 중",
    "Wave": "웨이브",
    "Stage": "단계",
    "done": "완료",
    "rolling back": "롤백 중",
    "bakes": "안정화",
    "not begun": "시작 전",
    "Its stage has not begun.": "이 단계는 아직 시작되지 않았습니다.",
    "Every member goes back to its stable version, the last first. A new try needs a new release set.": (
        "모든 구성원이 마지막부터 차례로 안정 버전으로 돌아갑니다. "
        "다시 시도하려면 새 릴리스 세트가 필요합니다."
    ),
    "The next stage begins.": "다음 단계가 시작됩니다.",
    "Every member of this stage becomes its service's stable version, in their order.": (
        "이 단계의 모든 구성원이 순서대로 각 서비스의 안정 버전이 됩니다."
    ),
    "Nothing more begins or is promoted. Members that are out go on; automatic rollback stays on.": (
        "더 이상 시작되거나 승격되지 않습니다. 이미 나간 구성원은 계속되며, 자동 롤백은 유지됩니다."
    ),
    "It goes on. What was rolled back stays rolled back.": "계속 진행합니다. 롤백된 것은 그대로 둡니다.",
    "Harm in one holds the others": "하나가 악화되면 나머지는 멈춤",
    "Harm in one rolls all back": "하나가 악화되면 모두 롤백",
}
