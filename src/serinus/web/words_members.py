"""The Korean words of the pages of members and tokens; English is the key."""

from __future__ import annotations

__all__ = ["MEMBERS"]

MEMBERS = {
    "Members": "구성원",
    "People": "사람",
    "Service accounts": "서비스 계정",
    "Add a person": "사람 추가",
    "Add a service account": "서비스 계정 추가",
    "Add": "추가",
    "Name": "이름",
    "E-mail": "이메일",
    "Role": "역할",
    "you": "나",
    "New token": "새 토큰",
    "Change the role": "역할 변경",
    "Remove": "제거",
    "Revoke": "폐기",
    "Secret": "비밀 값",
    "only": "전용:",
    "ends": "만료:",
    "never ends": "만료 없음",
    "ends soon": "곧 만료",
    "expired": "만료됨",
    "revoked": "폐기됨",
    "last used": "마지막 사용:",
    "never used": "사용한 적 없음",
    "{n} ended": "끝난 토큰 {n}개",
    "No live token: they can do nothing yet.": "유효한 토큰이 없어 아직 아무것도 할 수 없습니다.",
    "Tokens without a member": "구성원이 없는 토큰",
    "Nobody yet. Timeline and audit log name members; a token without one is only a name.": (
        "아직 없습니다. 타임라인과 감사 로그에는 구성원의 이름이 남으며, 구성원이 없는 토큰은 이름뿐입니다."
    ),
    "None yet. A pipeline, an application or a proxy's agent gets one, and a token of its own.": (
        "아직 없습니다. 파이프라인, 애플리케이션, 프록시 에이전트마다 하나씩 만들고 토큰을 따로 줍니다."
    ),
    "It can do nothing until it has a token, which is the next page.": (
        "토큰이 있어야 무엇이든 할 수 있습니다. 토큰은 다음 페이지에서 만듭니다."
    ),
    "What it is for": "용도",
    "Only for these services": "다음 서비스에만",
    "names with commas between; empty: every one": "이름을 쉼표로 구분, 비우면 모든 서비스",
    "Ends after": "만료 기간",
    "1 day": "1일",
    "7 days": "7일",
    "90 days": "90일",
    "1 year": "1년",
    "never": "없음",
    "reads everything": "모두 읽기",
    "and starts, shifts, promotes, rolls back": "읽기와 시작, 비율 변경, 승격, 롤백",
    "and manages members, tokens and freezes": "그 밖에 구성원, 토큰, 동결 관리",
    "an application: reads its split, sends measurements": "애플리케이션: 비율 읽기, 측정값 보내기",
    "a proxy's agent: reads its split, says what it carries": "프록시 에이전트: 비율 읽기, 적용 상태 보고",
    "This is its secret. It is shown only here and only now; keep it where only its owner reads it.": (
        "비밀 값입니다. 지금 여기에서만 표시됩니다. 소유자만 읽을 수 있는 곳에 보관하세요."
    ),
    "This token was made already, and its secret was shown then. If it was lost, revoke the token and "
    "make another.": (
        "이 토큰은 이미 만들어졌고 비밀 값은 그때 표시되었습니다. 잃어버렸다면 폐기하고 새로 만드세요."
    ),
    "You are signed in with this very token: you are signed out by this.": (
        "지금 이 토큰으로 로그인되어 있습니다. 폐기하면 로그아웃됩니다."
    ),
    "Whoever has it acts as {name}, within the role chosen here. Its secret is shown once, on the next "
    "page.": (
        "이 토큰을 가진 사람은 여기서 고른 역할 안에서 {name}(으)로 행동합니다. 비밀 값은 다음 "
        "페이지에 한 번만 표시됩니다."
    ),
    "Tokens of {name} can do no more than this from now on, at once.": (
        "{name}의 토큰은 지금부터 이 역할 이상을 할 수 없습니다."
    ),
    "All tokens and sessions of {name} end at once. What {name} did keeps its name. It cannot be undone.": (
        "{name}의 모든 토큰과 세션이 바로 끝납니다. {name}이(가) 한 일의 기록에는 이름이 남습니다. "
        "되돌릴 수 없습니다."
    ),
    "Whoever uses it is refused at once, and sessions that were opened with it end. It cannot be undone.": (
        "이 토큰을 쓰는 쪽은 바로 거절되고, 이 토큰으로 연 세션도 끝납니다. 되돌릴 수 없습니다."
    ),
}
