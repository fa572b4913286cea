"""The sentences of the core and of the control plane with their Korean; the English template is the key.

The first that fits is taken, so a template goes before a wider one. None ends in a full stop.
"""

from __future__ import annotations

from serinus.control.words.korean_judge import JUDGE
from serinus.control.words.korean_parts import CONTEST, HOOKS
from serinus.control.words.korean_sets import SETS

__all__ = ["SENTENCES", "TIMES", "WORDS"]

TIMES = {"d": "일", "h": "시간", "min": "분", "s": "초"}

#: Names of checks, states and outcomes inside sentences.
WORDS = {
    "error rate": "오류율",
    "success rate": "성공률",
    "success not below stable": "안정 버전보다 낮지 않은 성공률",
    "p95 latency": "p95 지연 시간",
    "p99 latency": "p99 지연 시간",
    "errors": "오류",
    "latency": "지연 시간",
    "judge": "판정",
    "closed": "닫힘",
    "open": "열림",
    "half_open": "반쯤 열림",
    "canary": "카나리",
    "stable": "안정 버전",
    "the deployment": "배포",
    "is configured": "설정된 알림 채널이",
    "is there for it": "이에 맞는 알림 채널이",
    "is meant for it by policy and routes": "정책과 경로에 따라 이를 받을 알림 채널이",
    "said yes": "승낙했습니다",
    "said no": "거절했습니다",
    "gave no answer": "답하지 않았습니다",
    "has no answer yet": "아직 답하지 않았습니다",
}

_ROLLBACK = {
    "{stable} is stable now: {version} was taken back": (
        "이제 {stable}이(가) 안정 버전: {version}은(는) 되돌려졌습니다"
    ),
    "Rolled back automatically from {share:share} to {stable}: {why:said}": (
        "{share}에서 {stable}(으)로 자동 롤백: {why}"
    ),
    "Rolled back from {share:share} to {stable}: {why:said}": "{share}에서 {stable}(으)로 롤백: {why}",
    "Rolled back automatically, across the irreversible {step:said}, from {share:share} to "
    "{stable}: {why:said}": ("되돌릴 수 없는 {step}을(를) 넘어 {share}에서 {stable}(으)로 자동 롤백: {why}"),
    "Rolled back, across the irreversible {step:said}, from {share:share} to {stable}: {why:said}": (
        "되돌릴 수 없는 {step}을(를) 넘어 {share}에서 {stable}(으)로 롤백: {why}"
    ),
    "Switched back at once automatically from {share:share} to {stable}: {why:said}": (
        "{share}에서 {stable}(으)로 즉시 자동 전환: {why}"
    ),
    "Switched back at once from {share:share} to {stable}: {why:said}": (
        "{share}에서 {stable}(으)로 즉시 전환: {why}"
    ),
    "Rolled back by hand from the dashboard": "대시보드에서 수동으로 롤백",
    "Going back, {before:share} → {after:share}, while {stable} is healthy: {why:said}": (
        "되돌리는 중, {before} → {after}, {stable}이(가) 정상인 동안: {why}"
    ),
    "Going back, {before:share} → {after:share}, while {stable} is healthy": (
        "되돌리는 중, {before} → {after}, {stable}이(가) 정상인 동안"
    ),
    "Going back at {share:share}, then {rungs}: {why:said}": "{share}에서 되돌리는 중, 다음 {rungs}: {why}",
    "The rollback is held at {share:share}: stable {stable} cannot be sent traffic ({down:said}). "
    "It goes on "
    "by itself as soon as stable answers. Why back: {why:said}": (
        "{share}에서 롤백이 보류됨: 안정 버전 {stable}에 트래픽을 보낼 수 없습니다 ({down}). 안정 버전이 "
        "응답하면 자동으로 계속됩니다. 롤백 사유: {why}"
    ),
    "after promotion: {why:said}": "승격 후: {why}",
    "the circuit breaker opened after {n:n} failures in a row ({where})": (
        "연속 {n}번 실패하여 차단기가 열렸습니다 ({where})"
    ),
    "the circuit breaker opened after {n:n} failures in a row": "연속 {n}번 실패하여 차단기가 열렸습니다",
    "the circuit breaker opened ({where})": "차단기가 열렸습니다 ({where})",
    "no usable measurement for {time:time} ({why:said})": "{time} 동안 쓸 수 있는 측정값이 없음 ({why})",
    "Not rolled back: {step:said} is irreversible and was completed. {then:said} Why back: "
    "{why:said}. Somebody "
    "has to decide: roll back across it, or approve to go on": (
        "롤백하지 않음: {step}은(는) 되돌릴 수 없고 이미 완료되었습니다. {then} 롤백 사유: {why}. 사람이 "
        "결정해야 합니다: 넘어서 롤백하거나, 승인하여 계속하세요"
    ),
    "This data plane cannot keep units on {version} while its share shrinks, so the share stays at "
    "{share:share}, new units included": (
        "비율이 줄어드는 동안 이 데이터 플레인은 {version}의 단위를 유지할 수 없어, 새 단위를 포함해 비율이 "
        "{share}에 머뭅니다"
    ),
    "`stickiness: hash` cannot tell new units from those on {version}, so the share stays at {share:share}, "
    "new units included": (
        "`stickiness: hash`는 새 단위와 {version}의 단위를 구별할 수 없어, 새 단위를 포함해 비율이 {share}에 "
        "머뭅니다"
    ),
    "{step:said} is irreversible: once completed, nothing goes back across it by itself": (
        "{step}은(는) 되돌릴 수 없습니다: 완료되면 자동으로 넘어서 롤백하지 않습니다"
    ),
    "Instead somebody is asked; until then new units would go to {stable}, and those on {version} stay": (
        "대신 사람에게 묻습니다; 그때까지 새 단위는 {stable}(으)로 가고 {version}의 단위는 남습니다"
    ),
    "Instead somebody is asked; until then {why}, so the share would stay as it is, new units included": (
        "대신 사람에게 묻습니다; 그때까지 새 단위를 포함해 비율이 그대로 머뭅니다 ({why})"
    ),
    "nobody is moved to stable {stable}, which cannot be sent traffic ({down:said}). To be dropped as "
    "soon as it can: {who:said}": (
        "안정 버전 {stable}에 트래픽을 보낼 수 없어 ({down}) 아무도 옮기지 않습니다. 가능해지면 제외할 후보: "
        "{who}"
    ),
    "Nothing is compensated, as was asked for": "요청대로 보상하지 않습니다",
    "New units go to {stable}; those on {version} stay": (
        "새 단위는 {stable}(으)로 가고 {version}에 있는 단위는 남습니다"
    ),
    "Everyone is on {version}, new units too, and stays": "새 단위까지 모두 {version}에 있고 그대로 남습니다",
    "Goes on at {share:share}, decided by {by}: {why:free}": "{by}의 결정으로 {share}에서 계속: {why}",
    "step {n:n} ({share:share})": "{n}단계 ({share})",
    "Step {n:n} ({share:share})": "{n}단계 ({share})",
}

_WALK = {
    "Draft of {version}: start it to send it traffic": "{version} 초안: 시작하면 트래픽을 받습니다",
    "Draft of {what:free} made for {set}": "{set}의 {what} 초안을 만들었습니다",
    "Draft of {what:free} made": "{what} 초안을 만들었습니다",
    "Draft changed": "초안이 변경되었습니다",
    "{version} started with {share:share} of units; everyone else stays on {stable}": (
        "{version}이(가) 단위의 {share}(으)로 시작했고 나머지는 {stable}에 남습니다"
    ),
    "{version} started with {who}; everyone else stays on {stable}": (
        "{version}이(가) 지정된 대상({who})으로 시작했고 나머지는 {stable}에 남습니다"
    ),
    "{version} started with {who:free}; everyone stays on {stable}": (
        "{version}이(가) 시작했고 ({who}) 모두 {stable}에 남습니다"
    ),
    "{version} started; everyone stays on {stable}": "{version}이(가) 시작했고 모두 {stable}에 남습니다",
    "Traffic {before:share} → {after:share} by hand, forced": "트래픽 {before} → {after}, 수동, 강제",
    "Traffic {before:share} → {after:share} by hand": "트래픽 {before} → {after}, 수동",
    "Units already on the canary stay there; only new ones see the new share": (
        "이미 카나리에 있는 단위는 남고, 새 단위에만 새 비율이 적용됩니다"
    ),
    "`serinus assignment reset` lets the hash decide again": (
        "`serinus assignment reset`은 해시로 다시 배정합니다"
    ),
    "Paused at {share:share}": "{share}에서 일시 중지되었습니다",
    "Automatic rollback stays on": "자동 롤백은 켜져 있습니다",
    "Resumed at {share:share}": "{share}에서 다시 시작했습니다",
    "Approved at {share:share} by {by}: {why:free}": "{by}이(가) {share}에서 승인: {why}",
    "Approved at {share:share} by {by}": "{by}이(가) {share}에서 승인했습니다",
    "Approved at {share:share}": "{share}에서 승인했습니다",
    "{version} promoted: everyone is on it": "{version} 승격됨: 모두 사용 중입니다",
    "Forced past: {why:said}": "강제로 넘어감: {why}",
    "{version} deprecated: {other} took over": "{version} 폐기됨: {other}(으)로 대체",
    "{version} deprecated": "{version} 폐기됨",
    "At {share:share}, moved by hand: {tally:said}": "{share}, 수동 이동: {tally}",
    "Every step passed. {version} waits at {share:share} to be promoted": (
        "모든 단계를 통과했습니다. {version}이(가) {share}에서 승격을 기다립니다"
    ),
    "Every step passed": "모든 단계를 통과했습니다",
    "Step passed": "단계를 통과했습니다",
    "Manual step: {version} waits at {share:share} to be moved": (
        "수동 단계: {version}이(가) {share}에서 이동을 기다립니다"
    ),
    "{version} waits at {share:share} for an approval by the role {role}": (
        "{version}이(가) {share}에서 {role} 역할의 승인을 기다립니다"
    ),
    "{version} waits at {share:share} for an approval": "{version}이(가) {share}에서 승인을 기다립니다",
    "{version} waits at {share:share} to be moved by hand": (
        "{version}이(가) {share}에서 수동 이동을 기다립니다"
    ),
    "{version} waits at {share:share} to be promoted ({why:said})": (
        "{version}이(가) {share}에서 승격을 기다립니다 ({why})"
    ),
    "{version} waits at {share:share} to be promoted": "{version}이(가) {share}에서 승격을 기다립니다",
    "{share:share} passed: {tally:said}. Traffic → {after:share}": "{share} 통과: {tally}. 트래픽 → {after}",
    "{share:share} passed: {tally:said}. Everyone switched to {version} at once; {stable} is kept "
    "warm until "
    "{until}": "{share} 통과: {tally}. 모두 즉시 {version}(으)로 전환; {stable}은(는) {until}까지 대기 유지",
    "{share:share} passed: {tally:said}. Everyone switched to {version} at once": (
        "{share} 통과: {tally}. 모두 즉시 {version}(으)로 전환"
    ),
    "{share:share} passed: {tally:said}. {then:said}": "{share} 통과: {tally}. {then}",
    "{share:share} passed. {then:said}": "{share} 통과. {then}",
    "Mirror of {share:share} passed: {tally:said}. {then:said}": "{share} 미러 통과: {tally}. {then}",
    "Traffic → {share:share}": "트래픽 → {share}",
    "no checks": "검사 없음",
    "{n:n} of {all:n} checks pass": "검사 {all}개 중 {n}개 통과",
    "Observing at {share:share}: {tally:said}; {left:time} left": "{share}에서 관찰 중: {tally}; {left} 남음",
    "{version} is warm, everyone is on {stable}: {tally:said}; {left:time} left": (
        "{version} 준비됨, 모두 {stable} 사용 중: {tally}; {left} 남음"
    ),
    "Mirroring {share:share} of requests to {version}, whose answers nobody sees: {tally:said}; "
    "{left:time} "
    "left": "요청의 {share}를 {version}에 미러링 중, 응답은 쓰이지 않음: {tally}; {left} 남음",
    "Holding at {share:share}: {why:said}. Approve to go on without it, or roll back": (
        "{share}에서 멈춤: {why}. 승인하면 그것 없이 계속하고, 아니면 롤백하세요"
    ),
    "Holding at {share:share}: {why:said}": "{share}에서 멈춤: {why}",
    "Going on at {share:share}: what held it is over": "{share}에서 계속: 멈춘 원인이 해소되었습니다",
    "Going on without it: {why:said}": "그것 없이 계속: {why}",
    "the split is on its way": "트래픽 비율을 적용하는 중",
    "the split is not carried: {why:free}": "트래픽 비율이 적용되지 않음: {why}",
    "paused by hand": "수동으로 일시 중지됨",
    "not enough measured: {why:said}": "측정이 부족함: {why}",
    "{version} cannot be sent traffic ({why:said})": "{version}에 트래픽을 보낼 수 없음 ({why})",
    "{n:n} of its last {all:n} requests failed": "최근 요청 {all}건 중 {n}건 실패",
    "Circuit breaker {before:word} → {after:word}": "차단기 {before} → {after}",
    "{version:versions}: Circuit breaker {before:word} → {after:word}": (
        "{version}: 차단기 {before} → {after}"
    ),
    "Watched for {time:time} after promotion, and kept: {found:said}": (
        "승격 후 {time} 동안 감시했고 유지합니다: {found}"
    ),
    "nothing was measured": "측정된 것이 없음",
    "{version} is released: there is no instant switch back any more, and it may be stopped": (
        "{version}을(를) 놓아줍니다: 더 이상 즉시 되돌릴 수 없으며, 중지해도 됩니다"
    ),
    "{version} starts at {at}: {why:said}": "{version}이(가) {at}에 시작합니다: {why}",
    "{version} starts at {at}": "{version}이(가) {at}에 시작합니다",
    "{version} is due and waits: {why:said}": "{version}이(가) 시작할 시각이지만 기다립니다: {why}",
    "The start of {version} was cancelled; it is a draft again": (
        "{version}의 시작이 취소되어 다시 초안입니다"
    ),
    "Freezes are overridden for {version}: {why:free}": "{version}의 동결을 무시합니다: {why}",
    "{name}: frozen until {until}": "{name}: {until}까지 동결",
}

_AROUND = {
    "Nobody was told ({title:free}): no notification channel {why:word}": (
        "아무에게도 알리지 못함 ({title}): {why} 없습니다"
    ),
    "Nobody was told: no notification channel {why:word}": "아무에게도 알리지 못함: {why} 없습니다",
    "Told by {channel}: {title:free}": "{channel}(으)로 알림: {title}",
    "Not told by {channel} ({error:free}): {title:free}": "{channel}(으)로 알리지 못함 ({error}): {title}",
    "over the limit of {n:n} in {time:time}; summed up at {at}": (
        "{time}에 {n}건 제한을 넘음; {at}에 모아서 알림"
    ),
    "Every proxy carries {share:share}, {took:time} after the decision": (
        "결정 후 {took}에 모든 프록시가 {share}를 적용했습니다"
    ),
    "{share:share} is not carried yet: {why:free}": "{share}가 아직 적용되지 않음: {why}",
    "The split was changed behind our back ({found:free}); it is put right": (
        "트래픽 비율이 밖에서 변경되어 ({found}) 바로잡습니다"
    ),
    "Compensation begins: {what:free}": "보상 시작: {what}",
    "Compensation task opened: check what the canary wrote, and put it right by hand": (
        "보상 작업이 열렸습니다: 카나리가 기록한 것을 확인하고 직접 바로잡으세요"
    ),
    "A compensation task is open: somebody has to complete it": (
        "보상 작업이 열려 있습니다: 사람이 완료해야 합니다"
    ),
    "Compensation of {what:said} was given up after {n:n} tries ({error:free}): retry it, or put "
    "it right by hand": (
        "{what}의 보상을 {n}번 시도한 뒤 포기했습니다 ({error}): 다시 시도하거나 직접 바로잡으세요"
    ),
    "Compensation of {what:said}: try {n:n} of {all:n} failed after {took:time}: {error:free}; "
    "the next in {next:time}": (
        "{what} 보상: {all}번 중 {n}번째 시도가 {took} 만에 실패: {error}; 다음 시도는 {next} 후"
    ),
    "Compensation of {what:said}: try {n:n} of {all:n} failed after {took:time}: {error:free}. "
    "Given up until "
    "somebody retries it; until it is done, {behind:word} waits": (
        "{what} 보상: {all}번 중 {n}번째 시도가 {took} 만에 실패: {error}. 누군가 다시 시도할 때까지 "
        "중단하며, 끝날 때까지 {behind} 보상은 기다립니다"
    ),
    "Compensation of {what:said}: try {n:n} of {all:n} failed after {took:time}: {error:free}. "
    "Given up until "
    "somebody retries it": (
        "{what} 보상: {all}번 중 {n}번째 시도가 {took} 만에 실패: {error}. 누군가 다시 시도할 때까지 중단"
    ),
    "Compensation of {what:said} is tried again, by {by}": "{by}이(가) {what} 보상을 다시 시도합니다",
    "Compensation of {what:said} was completed by {by}: {note:free}": "{by}이(가) {what} 보상을 완료: {note}",
    "The compensation task was completed by {by}: {note:free}": "{by}이(가) 보상 작업을 완료: {note}",
    "The monitor is not running: nothing is rolled back automatically": (
        "모니터가 실행 중이 아닙니다: 자동 롤백이 되지 않습니다"
    ),
    "Stable {version} cannot be sent traffic ({why:said}): a rollback would be held until it can": (
        "안정 버전 {version}에 트래픽을 보낼 수 없습니다 ({why}): 가능해질 때까지 롤백이 보류됩니다"
    ),
    "The rules of {version} failed in {runs}, the newest with: {error:free}. Read them: {page:free}": (
        "{version}의 규칙이 실패했습니다 ({runs}), 가장 최근: {error}. 확인: {page}"
    ),
    "fewer than {n:n} canary requests so far": "카나리 요청이 아직 {n}건 미만",
    "every condition of the promotion gate is met": "승격 조건을 모두 충족합니다",
    "Every condition of the promotion gate is met": "승격 조건을 모두 충족합니다",
    "It is watched for another {time:time} against what was recorded of {stable} before the promotion, and "
    "rolled back if it is worse": (
        "앞으로 {time} 동안 승격 전 기록된 {stable}과(와) 비교하며 감시하고, 나빠지면 롤백합니다"
    ),
}

SENTENCES = {**HOOKS, **_ROLLBACK, **_WALK, **CONTEST, **_AROUND, **JUDGE, **SETS}
