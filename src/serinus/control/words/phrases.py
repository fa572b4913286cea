"""The words of notifications in English and Korean. English is the key of a field's name."""

from __future__ import annotations

__all__ = ["FIELDS", "name_in", "say"]

#: Names of fields; what is missing here stays English.
FIELDS = {
    "Service": "서비스",
    "Version": "버전",
    "Reason": "사유",
    "To do": "할 일",
    "Go back": "되돌리기",
    "Go on": "계속하기",
    "Metric": "지표",
    "Both sides": "양쪽 수치",
    "Canary to stable": "카나리 대 안정 버전",
    "Worst in": "가장 나쁜 곳",
    "Judge": "판정",
    "Time to decision": "결정까지 남은 시간",
    "Done": "조치",
    "Took": "걸린 시간",
    "Rolled back to": "되돌린 버전",
    "Last checks": "마지막 검사",
    "Warnings": "경고 수",
    "Held back": "보류됨",
    "Not carried by": "적용하지 못한 곳",
    "Deployment": "배포",
    "Tenant": "테넌트",
    "Time": "시각",
}

_SAY = {
    "en": {
        "rollback.title": "[Serinus] Canary auto-rollback: {service}",
        "rollback.text": "{version} of {service} was rolled back: {back}.",
        "rollback.canary": "The canary",
        "rollback.everyone": "everyone is on {stable} again",
        "rollback.nobody": "it gets no more traffic",
        "rollback.done": "Traffic to {version} set to 0 %; everyone goes to {stable}",
        "exposed.both": "It had traffic for {time} and {units} were on it.",
        "exposed.time": "It had traffic for {time}.",
        "exposed.units": "{units} were on it.",
        "units.one": "{n} unit",
        "units.many": "{n} units",
        "took": "{seconds} from the decision until every proxy was read back",
        "took.not_yet": "not read back yet; it is tried again until every proxy follows",
        "dropped.title": "[Serinus] Candidate dropped: {service} {version}",
        "dropped.text": (
            "{version} of {service} was dropped from the A/B/n test: its users are on {stable}. "
            "Still under test: {rest}."
        ),
        "warning.title": "[Serinus] Canary warning: {service}",
        "warning.one": "{n} warning in {service}",
        "warning.many": "{n} warnings in {service}",
        "promoted.title": "[Serinus] Promoted: {service} {version}",
        "promoted.text": "{version} of {service} is promoted: everyone is on it.",
        "waiting.title": "[Serinus] Waiting for you: {service} {version}",
        "set_promoted.title": "[Serinus] Promoted: {service}",
        "compensation.title": "[Serinus] Compensation FAILED: {service}",
        "compensation.text": (
            "{version} of {service} was rolled back, but {what} could not be compensated: what it has "
            "done is still there. Somebody has to retry it, or to put it right by hand."
        ),
        "decision.title": "[Serinus] Decide: roll back or go on: {service} {version}",
        "carried.title": "[Serinus] Rollback carried: {service}",
        "carried.text": "Every proxy sends everyone to {stable} now, {seconds} after the decision.",
        "not_carried.title": "[Serinus] Rollback NOT carried: {service}",
        "not_carried.text": (
            "{version} of {service} was rolled back {seconds} ago, but not every proxy follows: "
            "users may still be on it. It is tried again and again; look at the proxies."
        ),
        "resolved.title": "[Serinus] Over: {service}",
        "resolved.rollback": "Everyone has been on {stable} since the rollback, read back from every proxy.",
        "resolved.promoted": "{version} is promoted.",
        "resolved.going_on": "What held it is over; the rollout goes on.",
        "summary.title": "[Serinus] {count} held back: {service}",
        "summary.text": "{count} in {service} held back by the limit of {limit} in {time}:\n{lines}",
        "summary.one": "{n} message was",
        "summary.many": "{n} messages were",
        "facts.sure": ", {percent} % sure, at every look",
        "again": "{title} (may be a second copy)",
        "test.title": "[Serinus] Test message",
        "test.text": "This channel works. Nothing has happened to any deployment.",
    },
    "ko": {
        "rollback.title": "[Serinus] 카나리 자동 롤백: {service}",
        "rollback.text": "{service}의 {version}이(가) 롤백되었습니다: {back}.",
        "rollback.canary": "카나리",
        "rollback.everyone": "모두 다시 {stable}을(를) 사용합니다",
        "rollback.nobody": "더 이상 트래픽을 받지 않습니다",
        "rollback.done": "{version} 트래픽을 0 %로 설정, 모두 {stable}(으)로 이동",
        "exposed.both": "{time} 동안 트래픽을 받았고 {units}이 사용했습니다.",
        "exposed.time": "{time} 동안 트래픽을 받았습니다.",
        "exposed.units": "{units}이 사용했습니다.",
        "units.one": "{n}개 단위",
        "units.many": "{n}개 단위",
        "took": "결정부터 모든 프록시에서 확인될 때까지 {seconds}",
        "took.not_yet": "아직 확인되지 않음; 모든 프록시가 따를 때까지 다시 시도합니다",
        "dropped.title": "[Serinus] 후보 제외: {service} {version}",
        "dropped.text": (
            "{service}의 {version}이(가) A/B/n 테스트에서 제외되었습니다: "
            "그 사용자는 {stable}을(를) 사용합니다. "
            "계속 테스트 중: {rest}."
        ),
        "warning.title": "[Serinus] 카나리 경고: {service}",
        "warning.one": "{service} 경고 {n}건",
        "warning.many": "{service} 경고 {n}건",
        "promoted.title": "[Serinus] 승격됨: {service} {version}",
        "promoted.text": "{service}의 {version}이(가) 승격되었습니다: 모두 사용 중입니다.",
        "waiting.title": "[Serinus] 확인을 기다립니다: {service} {version}",
        "set_promoted.title": "[Serinus] 승격됨: {service}",
        "compensation.title": "[Serinus] 보상 실패: {service}",
        "compensation.text": (
            "{service}의 {version}은(는) 롤백되었지만 {what}의 보상이 실패했습니다: 그 결과가 아직 남아 "
            "있습니다. 다시 시도하거나 직접 바로잡아야 합니다."
        ),
        "decision.title": "[Serinus] 결정 필요, 롤백 또는 계속: {service} {version}",
        "carried.title": "[Serinus] 롤백 적용됨: {service}",
        "carried.text": "결정 후 {seconds} 만에 모든 프록시가 모두를 {stable}(으)로 보냅니다.",
        "not_carried.title": "[Serinus] 롤백이 적용되지 않음: {service}",
        "not_carried.text": (
            "{service}의 {version}이(가) {seconds} 전에 롤백되었지만 따르지 않는 프록시가 있습니다: "
            "아직 사용 중인 사용자가 있을 수 있습니다. 계속 다시 시도하니 프록시를 확인하세요."
        ),
        "resolved.title": "[Serinus] 종료: {service}",
        "resolved.rollback": "롤백 이후 모두 {stable}을(를) 사용하며, 모든 프록시에서 확인되었습니다.",
        "resolved.promoted": "{version}이(가) 승격되었습니다.",
        "resolved.going_on": "멈춘 원인이 해소되어 배포가 계속됩니다.",
        "summary.title": "[Serinus] 보류된 알림 {count}: {service}",
        "summary.text": "{service}: {time}당 {limit}건 제한으로 보류된 알림 {count}:\n{lines}",
        "summary.one": "{n}건",
        "summary.many": "{n}건",
        "facts.sure": ", 언제 보아도 {percent} % 확신",
        "again": "{title} (중복일 수 있음)",
        "test.title": "[Serinus] 테스트 메시지",
        "test.text": "이 채널은 작동합니다. 어떤 배포에도 아무 일이 없었습니다.",
    },
}


def say(language: str, phrase: str, **parts: object) -> str:
    """Return a phrase in a language; an unknown language is English.

    >>> say("ko", "warning.title", service="checkout")
    '[Serinus] 카나리 경고: checkout'
    """
    return _SAY.get(language, _SAY["en"])[phrase].format(**parts)


def name_in(language: str, name: str) -> str:
    """Return the name of a field, with what stands behind it in brackets left as it is.

    >>> name_in("ko", "Both sides (latency)")
    '양쪽 수치 (latency)'
    """
    if language != "ko":
        return name
    head, bracket, rest = name.partition(" (")
    return FIELDS.get(head, head) + bracket + rest
