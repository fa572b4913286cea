"""The Korean of what checks and the judge say, clause by clause; the English template is the key."""

from __future__ import annotations

__all__ = ["JUDGE"]

JUDGE = {
    "{what:said} ({n:n} of {all:n} canary requests of this step)": (
        "{what} (이 단계의 카나리 요청 {all}건 중 {n}건)"
    ),
    "safe: {what:said}": "안전: {what}",
    "judge: {what:said}": "판정: {what}",
    "errors": "오류",
    "latency": "지연 시간",
    "errors, latency": "오류, 지연 시간",
    "no harm seen so far": "아직 악화는 보이지 않음",
    "no harm seen": "악화는 보이지 않음",
    "no harm found": "악화가 발견되지 않음",
    "nothing seen yet": "아직 측정된 것이 없음",
    "Nothing to compare yet": "아직 비교할 것이 없습니다",
    "Worst in {where}": "가장 나쁜 곳: {where}",
    "worst in {where}": "가장 나쁜 곳: {where}",
    "errors: no window has closed yet": "오류: 아직 끝난 측정 구간이 없습니다",
    "latency: no window has closed yet": "지연 시간: 아직 끝난 측정 구간이 없습니다",
    "errors: no requests on both sides yet": "오류: 아직 양쪽 모두에 요청이 없습니다",
    "errors in {where}: {canary:share} at the canary against {stable:share} at stable ({size}, "
    "surely more than {low})": (
        "{where} 오류: 카나리 {canary}, 안정 버전 {stable} ({size}, 확실히 {low} 초과)"
    ),
    "errors: {canary:share} at the canary against {stable:share} at stable ({size}, surely more "
    "than {low})": ("오류: 카나리 {canary}, 안정 버전 {stable} ({size}, 확실히 {low} 초과)"),
    "errors in {where}: {canary:share} at the canary against {stable:share} at stable ({size})": (
        "{where} 오류: 카나리 {canary}, 안정 버전 {stable} ({size})"
    ),
    "errors: {canary:share} at the canary against {stable:share} at stable ({size})": (
        "오류: 카나리 {canary}, 안정 버전 {stable} ({size})"
    ),
    "errors in {where}: {canary:share} at the canary against {stable:share} at stable": (
        "{where} 오류: 카나리 {canary}, 안정 버전 {stable}"
    ),
    "errors: {canary:share} at the canary against {stable:share} at stable": (
        "오류: 카나리 {canary}, 안정 버전 {stable}"
    ),
    "{size} slower or more is excluded": "{size} 이상 느림은 배제됨",
    "{size} or more is excluded": "{size} 이상은 배제됨",
    "{size} is nearly excluded": "{size}은(는) 거의 배제됨",
    "too little seen to exclude {size}": "{size}을(를) 배제하기에는 측정이 부족함",
    "cannot tell in time: {what:said}": "제때 판단 불가: {what}",
    "{n:n} more canary requests, about {time:time} to exclude {size}": (
        "{size}을(를) 배제하려면 카나리 요청 {n}건 더 필요, 약 {time}"
    ),
    "{n:n} more canary requests to exclude {size}": "{size}을(를) 배제하려면 카나리 요청 {n}건 더 필요",
    "needs {n:n} more canary requests, about {time:time}": "카나리 요청 {n}건이 더 필요, 약 {time}",
    "needs {n:n} more canary requests": "카나리 요청 {n}건이 더 필요",
    "{left:time} left": "{left} 남음",
    "latency: warming up, {left:time} left": "지연 시간: 준비 중, {left} 남음",
    "latency: nothing measured on both sides yet": "지연 시간: 아직 양쪽 모두에서 측정된 것이 없습니다",
    "latency: as stable": "지연 시간: 안정 버전과 같음",
    "latency in {where}: {size} slower than stable, surely more than {low:share}: {before:n} → "
    "{after:time} typically": (
        "{where} 지연 시간: 안정 버전보다 {size} 느림, 확실히 {low} 초과: 보통 {before} → {after}"
    ),
    "latency: {size} slower than stable, surely more than {low:share}: {before:n} → {after:time} typically": (
        "지연 시간: 안정 버전보다 {size} 느림, 확실히 {low} 초과: 보통 {before} → {after}"
    ),
    "latency: {size} slower than stable, surely more than {low:share}": (
        "지연 시간: 안정 버전보다 {size} 느림, 확실히 {low} 초과"
    ),
    "latency: {size} slower than stable: {before:n} → {after:time} typically": (
        "지연 시간: 안정 버전보다 {size} 느림: 보통 {before} → {after}"
    ),
    "latency: {size} slower than stable": "지연 시간: 안정 버전보다 {size} 느림",
    "latency: {size} faster than stable": "지연 시간: 안정 버전보다 {size} 빠름",
    "at 100 %: no requests yet": "100 %에서: 아직 요청이 없습니다",
    "at 100 %: latency is beyond anything stable's recorded history explains": (
        "100 %에서: 지연 시간이 기록된 안정 버전으로 설명되지 않습니다"
    ),
    "at 100 %: {canary:share} errors against {stable:share} recorded of stable, more than {size} "
    "× drift explains": (
        "100 %에서: 오류 {canary}, 기록된 안정 버전 {stable}, {size}배 변동으로 설명되지 않음"
    ),
    "at 100 %: {canary:share} errors against {stable:share} recorded of stable": (
        "100 %에서: 오류 {canary}, 기록된 안정 버전 {stable}"
    ),
    "{canary:share} errors against {stable:share} recorded of stable": (
        "오류 {canary}, 기록된 안정 버전 {stable}"
    ),
    "within {size} × of what was recorded": "기록의 {size}배 이내",
    "no requests of {side:word} for {time:time}": "{time} 동안 {side} 요청 없음",
    "no requests of {side:word} yet": "아직 {side} 요청 없음",
    "the canary gets {share:share} more traffic than configured: check the split before trusting "
    "the comparison": (
        "카나리가 설정보다 {share} 많은 트래픽을 받습니다: 비교를 믿기 전에 트래픽 비율을 확인하세요"
    ),
    "the canary gets {share:share} less traffic than configured: check the split before trusting "
    "the comparison": (
        "카나리가 설정보다 {share} 적은 트래픽을 받습니다: 비교를 믿기 전에 트래픽 비율을 확인하세요"
    ),
    "{n:n} of {all:n} windows had requests on one side only": (
        "측정 구간 {all}개 중 {n}개는 한쪽에만 요청이 있었습니다"
    ),
    "{check:word}: canary {canary}, stable {stable} (at most {limit} = {factor:n} × stable)": (
        "{check}: 카나리 {canary}, 안정 버전 {stable} (최대 {limit} = 안정 버전의 {factor}배)"
    ),
    "{check:word}: canary {canary}, stable {stable} (below {limit} = {factor:n} × stable)": (
        "{check}: 카나리 {canary}, 안정 버전 {stable} ({limit} 미만 = 안정 버전의 {factor}배)"
    ),
    "{check:word}: canary {canary}, stable {stable} (at most {limit})": (
        "{check}: 카나리 {canary}, 안정 버전 {stable} (최대 {limit})"
    ),
    "{check:word}: canary {canary}, stable {stable} (at least {limit})": (
        "{check}: 카나리 {canary}, 안정 버전 {stable} (최소 {limit})"
    ),
    "{check:word}: canary {canary}, stable {stable} (below {limit})": (
        "{check}: 카나리 {canary}, 안정 버전 {stable} ({limit} 미만)"
    ),
    "{check:word}: canary {canary}, stable {stable} (above {limit})": (
        "{check}: 카나리 {canary}, 안정 버전 {stable} ({limit} 초과)"
    ),
    "{check:word}: canary {canary} (at most {limit})": "{check}: 카나리 {canary} (최대 {limit})",
    "{check:word}: canary {canary} (at least {limit})": "{check}: 카나리 {canary} (최소 {limit})",
    "{check:word}: canary {canary} (below {limit})": "{check}: 카나리 {canary} ({limit} 미만)",
    "{check:word}: canary {canary} (above {limit})": "{check}: 카나리 {canary} ({limit} 초과)",
    "{check:word}: {n:n} of {all:n} canary requests so far": "{check}: 지금까지 카나리 요청 {all}건 중 {n}건",
    "{check:word}: canary {canary}, but nothing measured at stable to compare with": (
        "{check}: 카나리 {canary}, 비교할 안정 버전의 측정값이 없음"
    ),
    "{check:word}: nothing measured at the canary": "{check}: 카나리에서 측정된 것이 없음",
    "breaker: {state:word} (must be closed)": "차단기: {state} (닫혀 있어야 함)",
    "time at this step: {time:time} (at least {least:time})": "이 단계의 시간: {time} (최소 {least})",
    "time at 50 % or more: {time:time} (at least {least:time})": (
        "50 % 이상에서의 시간: {time} (최소 {least})"
    ),
    "{check}: {canary:value} at the canary against {stable:value} at stable": (
        "{check}: 카나리 {canary}, 안정 버전 {stable}"
    ),
    "{check:word}: {metric} is not reported by this service": (
        "{check}: 이 서비스는 {metric}을(를) 보고하지 않음"
    ),
    "{check:word}: no {metric} from the canary": "{check}: 카나리에서 온 {metric} 없음",
    "{check}: not reported yet": "{check}: 아직 보고되지 않았습니다",
    "worse than tolerated is excluded": "허용보다 나쁨은 배제됨",
    "too early to tell": "판단하기에는 이름",
}
