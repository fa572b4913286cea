"""The words of the pages, in English and Korean."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["LANGUAGES", "choose", "translator"]

LANGUAGES = ("en", "ko")

#: English is the key; what is missing here stays English.
_KOREAN = {
    "Deployments": "배포",
    "Running": "진행 중",
    "Earlier": "이전 배포",
    "Sign in": "로그인",
    "Sign out": "로그아웃",
    "Token": "토큰",
    "Skip to content": "본문으로 건너뛰기",
    "Nothing is rolling out.": "진행 중인 배포가 없습니다.",
    "No deployment yet.": "아직 배포가 없습니다.",
    "Start one from a terminal:": "터미널에서 시작하세요:",
    "Roll back": "롤백",
    "Pause": "일시 중지",
    "Resume": "계속",
    "Approve": "승인",
    "Promote": "승격",
    "Set traffic": "트래픽 설정",
    "Needs the role": "필요한 역할:",
    "Steps": "단계",
    "Split": "트래픽 비율",
    "wanted": "목표",
    "carried": "적용",
    "observed": "관측",
    "Both versions": "두 버전 비교",
    "stable": "안정 버전",
    "canary": "카나리",
    "requests": "요청",
    "errors": "오류",
    "error rate": "오류율",
    "average": "평균",
    "Checks": "검사",
    "Health": "상태",
    "Timeline": "타임라인",
    "Notifications": "알림",
    "Requests per second": "초당 요청 수",
    "Error rate": "오류율",
    "p95 latency": "p95 지연 시간",
    "breaker": "차단기",
    "monitor": "모니터",
    "running": "실행 중",
    "not running": "실행 중 아님",
    "live": "실시간",
    "reconnecting": "다시 연결 중",
    "Cancel": "취소",
    "Why": "사유",
    "Nobody was served by it yet.": "아직 요청을 처리하지 않았습니다.",
    "Nothing was measured in the last half hour.": "지난 30분 동안 측정된 것이 없습니다.",
    "No checks yet.": "아직 검사가 없습니다.",
    "Nobody was told anything yet.": "아직 보낸 알림이 없습니다.",
    "draft": "초안",
    "active": "활성",
    "rolled back": "롤백됨",
    "deprecated": "폐기됨",
    "pass": "통과",
    "fail": "실패",
    "inconclusive": "판단 불가",
    "error": "측정 오류",
    "Every proxy follows.": "모든 프록시가 따르고 있습니다.",
    "The SDK carries the split in process.": "SDK가 프로세스 안에서 트래픽을 나눕니다.",
    "All": "전체",
    "Show": "보기",
    "service": "서비스",
    "status": "상태",
}


def choose(asked: str | None, remembered: str | None, accepted: str) -> str:
    """Return the language: asked for, remembered, or the browser's first that we have."""
    for one in (asked, remembered, *(part.split(";")[0].strip()[:2] for part in accepted.split(","))):
        if one in LANGUAGES:
            return one
    return "en"


def translator(language: str) -> Callable[[str], str]:
    """Return the function that templates call ``t``."""
    if language == "ko":
        return lambda text: _KOREAN.get(text, text)
    return lambda text: text
