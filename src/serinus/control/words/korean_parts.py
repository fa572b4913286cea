"""The Korean of what A/B/n tests and hooks say; the English template is the key."""

from __future__ import annotations

__all__ = ["CONTEST", "HOOKS"]

CONTEST = {
    "{version} dropped automatically: {why:said}. Its users are on {stable}; {rest:versions} goes on": (
        "{version} 자동 제외: {why}. 그 사용자는 {stable}을(를) 사용하고 {rest}은(는) 계속됩니다"
    ),
    "{version} dropped automatically: {why:said}. Its users are on {stable}; {rest:versions} go on": (
        "{version} 자동 제외: {why}. 그 사용자는 {stable}을(를) 사용하고 {rest}은(는) 계속됩니다"
    ),
    "{version} dropped: {why:said}. Its users are on {stable}; {rest:versions} goes on": (
        "{version} 제외: {why}. 그 사용자는 {stable}을(를) 사용하고 {rest}은(는) 계속됩니다"
    ),
    "{version} dropped: {why:said}. Its users are on {stable}; {rest:versions} go on": (
        "{version} 제외: {why}. 그 사용자는 {stable}을(를) 사용하고 {rest}은(는) 계속됩니다"
    ),
    "{version} was dropped: {why:said}": "{version} 제외됨: {why}",
    "{names:versions} cannot be told apart ({numbers:free})": (
        "{names} 사이의 차이를 알 수 없습니다 ({numbers})"
    ),
    "{names:versions} cannot be told apart": "{names} 사이의 차이를 알 수 없습니다",
    "Somebody has to choose: promote one by its version": "사람이 골라야 합니다: 버전을 지정해 승격하세요",
    "{version} is best: {why:said}": "{version}이(가) 가장 좋음: {why}",
    "surely better than {other} ({numbers}, each compared with stable)": (
        "확실히 {other}보다 좋음 ({numbers}, 각각 안정 버전과 비교)"
    ),
    "{version} was named first": "먼저 지정된 것은 {version}",
    "{version} is the only candidate left": "남은 후보는 {version}뿐입니다",
    "{version} waits to be promoted": "{version}이(가) 승격을 기다립니다",
    "{names:said}: choose one by its version": "{names}: 버전을 지정해 고르세요",
}

#: Before which move hooks are asked.
_BEFORE = {
    "before the first request to {version}": "{version} 첫 요청 전",
    "before {share:share}": "{share} 전",
    "at the end of the step at {share:share}": "{share} 단계 끝",
    "before {version} is promoted": "{version} 승격 전",
}
_ASKED = {
    asked.replace("BEFORE", before): korean.replace("BEFORE", its)
    for before, its in _BEFORE.items()
    for asked, korean in (
        ("Asking {hooks:hooks} BEFORE", "{hooks}에 묻는 중 (BEFORE)"),
        (
            "Waiting for {hooks:hooks} BEFORE, for {time:time} so far: {words:free}",
            "{hooks}의 답을 {time} 동안 기다리는 중 (BEFORE): {words}",
        ),
        (
            "Waiting for {hooks:hooks} BEFORE, for {time:time} so far",
            "{hooks}의 답을 {time} 동안 기다리는 중 (BEFORE)",
        ),
    )
}
HOOKS = {
    **_ASKED,
    "Approved past {hooks:hooks}": "{hooks}을(를) 넘어 승인했습니다",
    "hook {name} said no: {words:free}": "훅 {name} 거절: {words}",
    "hook {name} said no": "훅 {name} 거절",
    "hook {name} did not answer in {time:time}": "훅 {name}이(가) {time} 안에 답하지 않음",
    "hook {name} has not said yes": "훅 {name}이(가) 아직 승낙하지 않음",
    "The hooks said yes, but it cannot be done any more: {why:said}": (
        "훅이 승낙했지만 더 이상 할 수 없습니다: {why}"
    ),
    "The hooks said yes": "훅이 승낙했습니다",
}
