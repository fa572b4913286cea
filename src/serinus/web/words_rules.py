"""The Korean words of the pages of rulesets; English is the key."""

from __future__ import annotations

__all__ = ["RULES"]

RULES = {
    "Rulesets": "규칙 세트",
    "serves": "서비스 중",
    "newest": "최신",
    "{n} versions": "버전 {n}개",
    "No version is stored here.": "여기에 저장된 버전이 없습니다.",
    "No ruleset yet.": "아직 규칙 세트가 없습니다.",
    "Make one from a terminal:": "터미널에서 만드세요:",
    "{version} is rolling out at {share} %": "{version} 배포 중, {share} %",
    "logged": "기록",
    "shadow": "섀도",
    "redacted": "가림",
    "Versions": "버전",
    "no changelog": "변경 내용 없음",
    "{n} test cases": "테스트 케이스 {n}개",
    "Compare": "비교",
    "Compare {a} with {b}": "{a}와(과) {b} 비교",
    "Compare with {version}": "{version}와(과) 비교",
    "Roll out": "배포 시작",
    "Roll out {version}": "{version} 배포 시작",
    "The newest {n} are shown.": "최신 {n}개만 표시됩니다.",
    "before": "이전",
    "after": "이후",
    "Test cases": "테스트 케이스",
    "Last run": "마지막 실행",
    "They have not run yet.": "아직 실행되지 않았습니다.",
    "They run by themselves before a rollout starts; one that fails refuses it.": (
        "배포가 시작되기 전에 자동으로 실행되며, 하나라도 실패하면 시작이 거절됩니다."
    ),
    "not run": "실행 안 됨",
    "Input and expected output": "입력과 기대 출력",
    "Input": "입력",
    "Output": "출력",
    "Expected output": "기대 출력",
    "Input and output": "입력과 출력",
    "Run the test cases": "테스트 케이스 실행",
    "None is stored with this version. Give them with the next one, and they guard its start:": (
        "이 버전에는 저장된 것이 없습니다. 다음 버전과 함께 저장하면 시작 전에 확인합니다:"
    ),
    "Executions": "실행 기록",
    "Failed": "실패",
    "Canary": "카나리",
    "Differing shadows": "출력이 다른 섀도",
    "Nothing was executed yet.": "아직 실행된 것이 없습니다.",
    "differs": "다름",
    "answered": "응답함",
    "Shadow": "섀도",
    "compared": "비교",
    "differ": "다름",
    "skipped": "건너뜀",
    "Examples": "예",
    "Nothing was compared yet: it needs a rollout under way, and calls that stable serves.": (
        "아직 비교한 것이 없습니다: 진행 중인 배포와 안정 버전이 처리하는 호출이 필요합니다."
    ),
    "Off. With a share above 0 % the canary's rules run beside stable's, nobody is served by "
    "them, and what differs is shown here.": (
        "꺼져 있습니다. 비율이 0 %보다 크면 카나리 규칙이 안정 버전 옆에서 실행되고, 사용자에게는 "
        "쓰이지 않으며, 다른 출력이 여기에 표시됩니다."
    ),
    "Rules": "규칙",
    "As people read them. As they are stored:": "사람이 읽는 형태입니다. 저장된 그대로는:",
    "What changes": "변경 내용",
    "What it decides reads the same; only the drawing differs (places, ids). This is the JSON:": (
        "결정하는 내용은 같고 그림(위치, 식별자)만 다릅니다. JSON은 다음과 같습니다:"
    ),
    "… {n} lines are the same": "… {n}줄 같음",
    "taken out": "삭제",
    "added": "추가",
    "{n} more lines:": "{n}줄 더 있음:",
    "The rules are the same.": "규칙이 같습니다.",
    "Of the deployment": "이 배포의 기록",
    "of all": "전체 기록",
    "None is logged.": "기록이 없습니다.",
    "Every one that failed is logged, and {n} % of the others. Redacted: {paths}.": (
        "실패는 모두, 나머지는 {n} %가 기록됩니다. 가림: {paths}."
    ),
    "Pages": "페이지",
    "newer": "더 최근",
    "older": "더 이전",
    "Promote it or roll it back first.": "먼저 승격하거나 롤백하세요.",
    "Back": "뒤로",
    "This share of users gets {version} at once; everyone else stays on {stable}. From there it "
    "is moved by hand; automatic rollback is on.": (
        "이 비율의 사용자가 바로 {version}을(를) 사용하고, 나머지는 {stable}에 남습니다. 이후에는 "
        "수동으로 옮기며, 자동 롤백은 켜져 있습니다."
    ),
    "No test case is stored with this version: nothing is tried before its first users.": (
        "이 버전에는 저장된 테스트 케이스가 없습니다: 첫 사용자 전에 시험되는 것이 없습니다."
    ),
    "Share of users, in %": "사용자 비율, %",
    "Start": "시작",
    "The rules of {version} failed in {n} executions.": "{version}의 규칙이 {n}번의 실행에서 실패했습니다.",
    "The newest": "가장 최근",
    "See the executions that failed": "실패한 실행 보기",
    "Rules of {name}": "{name} 규칙",
    "Its executions": "이 배포의 실행 기록",
    "At their last run {n} failed: the start will be refused.": (
        "마지막 실행에서 {n}건이 실패했습니다: 시작이 거절됩니다."
    ),
    "{n} of them were shadows, which served nobody.": "그중 {n}건은 아무에게도 쓰이지 않은 섀도입니다.",
}
