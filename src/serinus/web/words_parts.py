"""The Korean words of the parts that every strategy, hook and fleet adds to a page; English is the key."""

from __future__ import annotations

__all__ = ["PARTS"]

PARTS = {
    "paused": "일시 중지됨",
    "going back": "되돌리는 중",
    "rollback held": "롤백 보류",
    "Roll back at once": "즉시 롤백",
    "in process": "프로세스 안",
    "header": "헤더",
    "cookie": "쿠키",
    "such requests always get {version}": "이런 요청은 항상 {version}을(를) 사용",
    "until": "까지:",
    "gate": "관문",
    "passed": "통과",
    "now": "지금",
    "stopped here": "여기서 멈춤",
    "to come": "예정",
    "By endpoint": "엔드포인트별",
    "endpoint": "엔드포인트",
    "metric": "지표",
    "Last half hour": "지난 30분",
    "healthy": "정상",
    "degraded": "주의",
    "unhealthy": "비정상",
    "last look": "마지막 확인",
    "{n} of {all} proxies follow": "프록시 {all}개 중 {n}개가 따름",
    "follows": "따름",
    "does not follow": "따르지 않음",
    "revision": "개정",
    "Hooks": "훅",
    "said yes": "승낙",
    "said no": "거절",
    "no answer yet": "아직 답 없음",
    "not asked yet": "아직 묻지 않음",
    "Nothing is rolled back automatically; this says why:": "자동 롤백이 되지 않습니다. 이유 확인:",
    "Promote although the gate is not met (this is written down)": (
        "조건을 충족하지 않아도 승격 (기록에 남습니다)"
    ),
    "Rolled back by hand from the dashboard": "대시보드에서 수동으로 롤백",
    "On the machine of the control plane, this prints a link that signs in by itself:": (
        "컨트롤 플레인이 있는 컴퓨터에서 다음 명령이 로그인 링크를 출력합니다:"
    ),
    "An admin makes tokens with": "토큰은 관리자가 만듭니다:",
    "Not here": "없는 페이지",
    "Not yours to do": "권한이 없습니다",
    "Not now": "지금은 안 됩니다",
    "That does not work": "처리할 수 없습니다",
    "Not in this state": "현재 상태에서는 할 수 없습니다",
    "Something went wrong": "문제가 생겼습니다",
    "Everyone is on {stable} again within about a second. Assignments to {version} are cleared, "
    "the team is told, and this deployment has ended: a new try needs a new deployment.": (
        "약 1초 안에 모두 다시 {stable}을(를) 사용합니다. {version} 배정은 지워지고 팀에 알리며 "
        "이 배포는 끝납니다. 다시 시도하려면 새 배포가 필요합니다."
    ),
    "Everyone gets {version} at once; {stable} is stable no longer. It can still be rolled back.": (
        "모두 바로 {version}을(를) 사용하고 {stable}은(는) 더 이상 안정 버전이 아닙니다. 이후에도 "
        "롤백할 수 있습니다."
    ),
    "The share stays where it is. Automatic rollback stays on.": (
        "비율은 그대로 유지됩니다. 자동 롤백은 켜져 있습니다."
    ),
    "It goes on from where it was paused.": "멈춘 곳에서 계속합니다.",
    "It passes this step and goes on to the next one.": "이 단계를 통과하고 다음 단계로 넘어갑니다.",
    "The canary gets this share, at once.": "카나리가 바로 이 비율을 받습니다.",
    "It does not start by itself any more; it is a draft again.": (
        "더 이상 자동으로 시작하지 않으며 다시 초안이 됩니다."
    ),
    "It starts and grows although a freeze is on.": "동결 중이어도 시작하고 늘어납니다.",
    "{version} gets its first share of the traffic; everyone else stays on {stable}. What would "
    "refuse a start is asked first.": (
        "{version}이(가) 첫 비율의 트래픽을 받고 나머지는 {stable}에 남습니다. 시작을 막을 조건을 "
        "먼저 확인합니다."
    ),
    "It is tried again under the same key, and what waits for it follows.": (
        "같은 키로 다시 시도하고, 이를 기다리던 작업이 이어집니다."
    ),
    "What its hook could not do, or what the task asks for, was done by a person: it is not run again.": (
        "훅이 하지 못한 일이나 작업이 요구한 일을 사람이 처리했습니다. 다시 실행하지 않습니다."
    ),
    "It goes on with {version} although it should have gone back, and the same causes do not ask "
    "again. Your name and your reason are written down.": (
        "되돌려야 했지만 {version}을(를) 계속 진행하며, 같은 원인으로 다시 묻지 않습니다. "
        "이름과 사유가 기록됩니다."
    ),
    "It is going back by itself. This ends it now: everyone is on {stable} again within about a "
    "second, without the steps between. That is written down.": (
        "이미 자동으로 되돌리는 중입니다. 이 버튼은 바로 끝냅니다: 중간 단계 없이 약 1초 안에 "
        "모두 다시 {stable}을(를) 사용합니다. 기록에 남습니다."
    ),
    "{stable} does not answer ({why}): everyone goes there all the same.": (
        "{stable}이(가) 응답하지 않습니다({why}). 그래도 모두 그쪽으로 보냅니다."
    ),
    "waits for a person": "사람을 기다림",
    "and {n} more: see Health": "그 밖에 {n}건: 상태를 보세요",
    "Language": "언어",
    "tells afterwards": "나중에 알림",
    "no answer in time": "제때 답이 없음",
    "went on without it": "답 없이 계속함",
    "somebody has to decide": "사람의 결정이 필요함",
    "A new try is a new deployment:": "다시 시도하려면 새 배포를 만드세요:",
    "VERSION": "버전",
    "{n} % of traffic": "트래픽의 {n} %",
    "{n} % of the test": "테스트의 {n} %",
    "Nobody was served by either version yet.": "아직 어느 버전도 요청을 처리하지 않았습니다.",
    "Nothing like that is rolling out.": "조건에 맞는 진행 중인 배포가 없습니다.",
    "Show everything": "모두 보기",
    "Several versions get their parts of the first share at once; everyone else stays on {stable}. What "
    "would refuse a start is asked first.": (
        "여러 버전이 첫 비율을 나누어 바로 받고 나머지는 {stable}에 남습니다. 시작을 막을 조건을 먼저 "
        "확인합니다."
    ),
    "{n} held back or sent together with others": "보류되었거나 함께 보낸 알림 {n}건",
    "1 in ": "1/",
}
