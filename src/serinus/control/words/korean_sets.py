"""The Korean of what release sets and waves say; the English template is the key."""

from __future__ import annotations

__all__ = ["SETS"]

_KINDS = {"Wave": "웨이브", "Stage": "단계"}
_SETS = {
    "STAGE is promoted: {names}": "NUMBER 승격됨: {names}",
    "STAGE is promoted": "NUMBER 승격됨",
    "STAGE has ended: all of it was rolled back": "NUMBER 종료: 모두 롤백됨",
    "STAGE waits for an approval by the role {role}": "NUMBER이(가) {role} 역할의 승인을 기다립니다",
    "STAGE waits for an approval": "NUMBER이(가) 승인을 기다립니다",
    "STAGE begins no sooner than {time:time} from now": "NUMBER은(는) 빨라도 {time} 후에 시작합니다",
    "STAGE begins in {time:time}": "NUMBER이(가) {time} 후에 시작합니다",
    "STAGE begins: {names}": "NUMBER 시작: {names}",
    "STAGE waits: {why:said}": "NUMBER 대기: {why}",
    "STAGE has passed and waits to be promoted: {names}": "NUMBER 통과, 승격을 기다립니다: {names}",
    "STAGE has passed: promoting {names}": "NUMBER 통과, 승격하는 중: {names}",
    "Approved after STAGE by {by}: {why:free}": "{by}이(가) NUMBER 다음을 승인: {why}",
    "Approved after STAGE by {by}": "{by}이(가) NUMBER 다음을 승인했습니다",
    "Promotion of STAGE asked for by {by}: {why:free}": "{by}이(가) NUMBER 승격을 요청: {why}",
    "Promotion of STAGE asked for by {by}": "{by}이(가) NUMBER 승격을 요청했습니다",
}
_STAGED = {
    english.replace("STAGE", f"{noun} {{n:n}} of {{all:n}}{named}"): korean.replace(
        "NUMBER", f"{kind} {{n}}/{{all}}{named}"
    )
    for noun, kind in _KINDS.items()
    for named in (" ({stage})", "")
    for english, korean in _SETS.items()
}
SETS = {
    **_STAGED,
    "{what} starts: {names:free}": "{what} 시작: {names}",
    "{by} asks for a rollback: {why:free}. Rolling back, in this order: {names}": (
        "{by}이(가) 롤백을 요청: {why}. 다음 순서로 롤백하는 중: {names}"
    ),
    "{why:said}. Rolling back, in this order: {names}": "{why}. 다음 순서로 롤백하는 중: {names}",
    "{member} was rolled back: {why:said}": "{member} 롤백됨: {why}",
    "The others stay": "나머지는 남습니다",
    "The others go on": "나머지는 계속합니다",
    "Nothing more begins or is promoted until somebody resumes or rolls back": (
        "누군가 계속하거나 롤백할 때까지 더 이상 시작되거나 승격되지 않습니다"
    ),
    "Rolled back: {why:said}": "롤백됨: {why}",
    "All of it went back: {names}": "모두 되돌렸습니다: {names}",
    "Everything is promoted: {names}": "모두 승격됨: {names}",
    "{n:n} of {all:n} are promoted; {names} went back": "{all}개 중 {n}개 승격됨; {names}은(는) 되돌림",
    "{name} is done: nothing of it is watched any more": "{name} 완료: 더 이상 감시하지 않습니다",
    "Paused by {by}: nothing more begins or is promoted": (
        "{by}이(가) 일시 중지: 더 이상 시작되거나 승격되지 않습니다"
    ),
    "Holding: {why:said}": "멈춤: {why}",
}
