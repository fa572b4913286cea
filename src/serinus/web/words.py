"""The words of the pages, in English and Korean."""

from __future__ import annotations

from collections.abc import Callable

from serinus.control.words.spoken import times
from serinus.control.words.wording import lasted
from serinus.web.words_members import MEMBERS
from serinus.web.words_parts import PARTS
from serinus.web.words_rules import RULES
from serinus.web.words_sets import SETS

__all__ = ["LANGUAGES", "choose", "lasting", "translator"]

LANGUAGES = ("en", "ko")

#: English is the key; what is missing here stays English.
_KOREAN = {
    "Deployments": "배포",
    "Running": "진행 중",
    "Earlier": "이전 배포",
    "Sign in": "로그인",
    "Sign out": "로그아웃",
    "Token": "토큰",
    "This token is not known here, or no longer live.": "알 수 없거나 더 이상 유효하지 않은 토큰입니다.",
    "Your token ends on": "토큰 만료일:",
    "Ask an admin for another one.": "관리자에게 새 토큰을 요청하세요.",
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
    "sent": "보냄",
    "pending": "대기 중",
    "failed": "실패",
    "off": "꺼짐",
    "held": "보류됨",
    "refused": "거절됨",
    "grouped": "함께 보냄",
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
    "scheduled": "예약됨",
    "Cancel the start": "시작 취소",
    "Override the freeze": "동결 무시",
    "Go on": "계속 진행",
    "Compensation": "보상",
    "Retry the compensation": "보상 다시 시도",
    "Done by hand": "직접 처리함",
    "Which": "대상",
    "What was done": "처리 내용",
    "Across the irreversible step too (this is written down):": "되돌릴 수 없는 단계도 넘어서 롤백 (기록됨):",
    "a compensation task is open": "보상 작업이 열려 있습니다",
    "compensation failed": "보상 실패",
    "task": "작업",
    "tries": "회 시도",
    "irreversible": "되돌릴 수 없음",
    "compensation": "보상",
    "done": "완료",
    "waiting": "사람을 기다림",
    "mirror": "미러",
    "by hand": "수동",
    "preview": "미리보기",
    "kept warm": "대기 유지",
    "pass": "통과",
    "fail": "실패",
    "inconclusive": "판단 불가",
    "error": "측정 오류",
    "Every proxy follows.": "모든 프록시가 따르고 있습니다.",
    "The SDK carries the split in process.": "SDK가 프로세스 안에서 트래픽을 나눕니다.",
    "Verdict": "판정",
    "Harm: the canary is worse than tolerated": "악화: 카나리가 허용 범위보다 나쁩니다",
    "Safe: harm of the size worth finding is excluded": "안전: 찾을 가치가 있는 크기의 악화는 배제되었습니다",
    "No harm seen so far; too early to call it safe": "아직 악화는 보이지 않음; 안전하다고 하기에는 이릅니다",
    "No harm seen so far; this step ends before it is sure": (
        "아직 악화는 보이지 않음; 이 단계가 끝나기 전에는 확신할 수 없습니다"
    ),
    "Harm: worse than anything that was recorded of stable": "악화: 기록된 안정 버전의 어떤 값보다 나쁩니다",
    "Everyone is on it: no worse than what was recorded of stable": (
        "모두 새 버전 사용 중: 기록된 안정 버전보다 나쁘지 않습니다"
    ),
    "Everyone is on it: too early to tell": "모두 새 버전 사용 중: 판단하기에는 이릅니다",
    "Nothing to compare yet": "아직 비교할 것이 없습니다",
    "harm": "악화",
    "safe": "안전",
    "too early": "아직 이름",
    "cannot tell in time": "제때 판단 불가",
    "latency": "지연 시간",
    "at 100 %": "100 % 이후",
    "recorded": "기록값",
    "while both ran": "함께 실행되는 동안",
    "tolerated": "허용",
    "worth finding": "찾을 가치",
    "to": "~",
    "needs {n} more canary requests": "카나리 요청 {n}건이 더 필요",
    "about {time}": "약 {time}",
    "sure in about {time}": "약 {time} 후 확신",
    "{n} % of the error budget used": "오류 예산의 {n} % 사용",
    "At 100 % it rolls back. At most {n} % of good canaries ever get there.": (
        "100 %가 되면 롤백합니다. 정상 카나리가 그렇게 될 확률은 최대 {n} %입니다."
    ),
    "Error budget": "오류 예산",
    "It surely differs, but no more than is tolerated": "차이는 확실하지만 허용 범위 안입니다",
    "All of the error budget has gone into a difference that is too small to roll back for.": (
        "오류 예산이 모두, 롤백하기에는 너무 작은 차이에 쓰였습니다."
    ),
    "it is the latency: errors are within what is tolerated": (
        "지연 시간 때문입니다: 오류는 허용 범위 안입니다"
    ),
    "excluded by the test for just this size, which is sharper than the interval": (
        "구간보다 예리한, 바로 이 크기에 대한 검정으로 배제되었습니다"
    ),
    "Recommended": "권장",
    "promote": "승격",
    "rollback": "롤백",
    "wait": "기다림",
    "no window has closed yet": "아직 끝난 측정 구간이 없습니다",
    "no requests on both sides yet": "아직 양쪽 모두에 요청이 없습니다",
    "nothing measured on both sides yet": "아직 양쪽 모두에서 측정된 것이 없습니다",
    "not reported yet": "아직 보고되지 않았습니다",
    "Where a difference shows": "차이가 나타나는 곳",
    "Where it hurts": "문제가 나타나는 곳",
    "Worst in": "가장 나쁜 곳",
    "where": "위치",
    "check": "검사",
    "ratio": "비율",
    "by chance at most": "우연일 확률 (최대)",
    "below 1 in a million": "백만 분의 1 미만",
    "The comparison itself is not well:": "비교 설정에 문제가 있습니다:",
    "Watched": "감시 중",
    "Watched for another {time} against what was recorded of {stable}. If it gets worse, "
    "everyone goes back to {stable}.": (
        "앞으로 {time} 동안 기록된 {stable}과(와) 비교하며 감시합니다. "
        "나빠지면 모두 {stable}(으)로 돌아갑니다."
    ),
    "Candidates": "후보",
    "Candidate": "후보",
    "the chosen candidate": "선택한 후보",
    "All versions": "모든 버전",
    "all of them": "전체",
    "Choose": "선택",
    "under test": "테스트 중",
    "dropped": "제외됨",
    "promoted": "승격됨",
    "ended": "종료됨",
    "planned": "예정",
    "All": "전체",
    "Show": "보기",
    "service": "서비스",
    "status": "상태",
    **MEMBERS,
    **PARTS,
    **RULES,
    **SETS,
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


def lasting(seconds: float, language: str) -> str:
    """Return a duration in its two largest units, in the reader's language.

    >>> lasting(5400, "en"), lasting(5400, "ko"), lasting(0, "en")
    ('1 h 30 min', '1시간 30분', '0 s')
    """
    said = lasted(seconds) if seconds >= 1 else "0 s"
    return times(said) if language == "ko" else said
