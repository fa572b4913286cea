"""The Prometheus source against a real Prometheus, and against servers that misbehave."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import ssl
import time
from urllib.parse import parse_qs

import pytest

from fixtures_prometheus import http
from needs import free_port
from serinus.core.errors import InvalidInput
from serinus.drivers.metrics.prometheus import PrometheusSource
from serinus.ports.metrics import number, single

pytestmark = pytest.mark.real

#: History is a day old, in the middle of an hour: Prometheus' newest data are its own.
THEN = int(time.time()) // 3600 * 3600 - 86_400 + 600
EVERY, READS = 5, 241
APP = 'job="app",instance="10.0.0.1:80"'


def counted(per_read: float, *, reset_at: int | None = None, first: int = 0) -> list[tuple[float, float]]:
    """Return a counter read every 5 s for 20 minutes."""
    reads = range(first, READS)
    return [
        (THEN + i * EVERY, per_read * (i - (reset_at if reset_at and i >= reset_at else 0))) for i in reads
    ]


def level(value: float | str) -> list[tuple[float, float | str]]:
    """Return a gauge that stays."""
    return [(THEN + i * EVERY, value) for i in range(READS)]


def requests_of(version: str, per_read: int, errors: int) -> dict:
    """Return one version's requests, errors and latencies."""
    labels = f'version="{version}",{APP}'
    below = {"0.5": 0.5, "1.0": 0.9, "2.5": 0.99, "+Inf": 1.0}
    return {
        f'http_requests_total{{status="200",{labels}}}': counted(per_read),
        f'http_requests_total{{status="503",{labels}}}': counted(errors),
        **{
            f'http_request_duration_seconds_bucket{{le="{le}",mode="fast",{labels}}}': counted(
                per_read * part
            )
            for le, part in below.items()
        },
    }


@pytest.fixture(scope="module")
def history(prometheus):
    """Return the server with a day-old history."""
    prometheus.backfill(
        {
            **requests_of("canary", 100, 2),
            **requests_of("production", 1000, 1),
            f'llm_brief_schema_failures_total{{version="canary",{APP}}}': [
                (at, 1.0) for at, _ in counted(1, first=120)
            ],
            f'rl_training_loss{{version="canary",{APP}}}': level(5.0),
            f'rl_training_loss{{version="production",{APP}}}': level(2.0),
            f"restarted_total{{{APP}}}": counted(4, reset_at=130),
            f"nothing_divided{{{APP}}}": level("NaN"),
            f"endless{{{APP}}}": level("+Inf"),
            f"up{{{APP}}}": level(1),
            f"quiet{{{APP}}}": level(7)[:100],
        }
    )
    prometheus.restart()
    return prometheus


@pytest.fixture
async def source(history):
    """Return a source of that server."""
    made = PrometheusSource(history.url)
    yield made
    await made.close()


LATER = THEN + 1190

UNCLOSED = 'bad_data: invalid parameter "query": 1:5: parse error: unclosed left parenthesis'
BUCKETS = 'http_request_duration_seconds_bucket{version="canary",mode="fast"}'
ERRORS, ALL = 'http_requests_total{status=~"5..",version="canary"}', 'http_requests_total{version="canary"}'

CONTRACT_3 = [
    (f"histogram_quantile(0.95, sum by (le) (rate({BUCKETS}[5m])))", 1.0 + 1.5 * 5 / 9),
    (f"sum(rate({ERRORS}[5m])) / sum(rate({ALL}[5m]))", 2 / 102),
    (
        'rl_training_loss{version="canary"} > ignoring(version) 2 * rl_training_loss{version="production"}',
        5.0,
    ),
]


@pytest.mark.parametrize(("expression", "expected"), CONTRACT_3)
async def test_the_promql_of_contract_3_gives_its_numbers(source, expression, expected):
    """Run for real, as users write it."""
    reading = single(await source.instant(expression, LATER))
    assert (reading.value, reading.problem, reading.at) == (pytest.approx(expected), "", LATER)


async def test_promqls_increase_misses_the_first_failure_and_ours_does_not(source):
    """``increase`` needs two samples of a series; one schema failure is enough to roll back."""
    failures = 'llm_brief_schema_failures_total{version="canary"}'
    at = THEN + 120 * EVERY + 60
    assert single(await source.instant(f"increase({failures}[5m])", at)).value == 0
    told = await source.increases(failures, at - 300, at, 30)
    assert sum(told.windows.values()) == 1


async def test_a_comparison_between_versions_matches_nothing_without_ignoring(source):
    """As contract 3 writes it the loss check is never true: the labels differ. No number, no pass."""
    written = 'rl_training_loss{version="canary"} > 2 * rl_training_loss{version="production"}'
    reading = single(await source.instant(written, LATER))
    assert (reading.value, reading.problem) == (None, "no series matched")


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("nothing_divided", "the answer is NaN"),
        ("0 * nothing_divided / 0", "the answer is NaN"),
        ("endless", "the answer is +Inf"),
        ("-1 * endless", "the answer is -Inf"),
        ("no_such_metric", "no series matched"),
        ('"words"', "the answer is text, not a number"),
        (
            "rl_training_loss[5m]",
            "the answer is a range of samples: wrap it in rate(), increase() or *_over_time()",
        ),
        ("sum(", f"Prometheus refused the question ({UNCLOSED})"),
    ],
)
async def test_what_is_no_number_is_a_problem(source, expression, problem):
    """In words, and never zero."""
    reading = single(await source.instant(expression, LATER))
    assert (reading.value, reading.problem) == (None, problem)


@pytest.mark.parametrize("expression", ["quiet", "sum_over_time(quiet[1h])", "quiet + on() group_left up"])
async def test_a_number_of_old_samples_is_stale(source, expression):
    """Also where a range would still give one. A dead target's age is known to a step of 5 s."""
    reading = single(await source.instant(expression, LATER))
    assert reading.value is None
    told = re.fullmatch(r"stale: newest sample is (\d+) s old", reading.problem)
    assert float(told[1]) == pytest.approx(1190 - 99 * EVERY, abs=5)
    any_age = PrometheusSource(source._url, max_age_seconds=None)
    assert single(await any_age.instant("sum_over_time(quiet[1h])", LATER)).value == 700
    await any_age.close()


async def test_scalars_and_several_series(source):
    """A scalar is one number; each series is a reading with its labels."""
    assert single(await source.instant("scalar(vector(3)) * 2", LATER)).value == 6
    both = await source.instant("rl_training_loss", LATER)
    assert {(r.labels["version"], r.value) for r in both} == {("canary", 5.0), ("production", 2.0)}
    assert single(both).problem == "2 series matched, 1 expected"


async def test_growth_is_exact_by_window_and_label(source):
    """Whole requests, where ``increase`` gives fractions: 12 reads a minute, 100 and 2 each."""
    told = await source.increases('http_requests_total{version="canary"}', THEN, THEN + 600, 60, ("status",))
    windows = [THEN + at for at in range(0, 600, 60)]
    assert told.windows == {((s,), w): n for s, n in (("200", 1200.0), ("503", 24.0)) for w in windows}
    assert (told.resets, told.problem) == (0, "")


async def test_a_reset_in_the_middle_counts_from_zero(source):
    """Only what grew between the last read before the restart and the restart is lost."""
    told = await source.increases("restarted_total", THEN, THEN + 1200, 60, ())
    assert told.resets == 1
    assert set(told.windows.values()) == {48.0, 44.0}
    assert sum(told.windows.values()) == (129 + 110) * 4


async def test_growth_that_is_not_known_is_not_given(source):
    """Beyond the newest sample there are no windows; with none at all there is a reason."""
    told = await source.increases("quiet", THEN + 300, THEN + 1200, 60, ())
    assert max(w for _, w in told.windows) < told.newest_sample_at == THEN + 99 * EVERY
    late = await source.increases("quiet", THEN + 480, THEN + 700, 60, ())
    assert (late.windows, late.problem) == ({}, f"stale: newest sample is {700 - 99 * EVERY} s old")
    for selector, problem in [
        ("no_such_metric", "no series matched"),
        ("nothing_divided", "the answer is NaN"),
    ]:
        assert (await source.increases(selector, THEN, THEN + 600, 60, ())).problem == problem
    broken = await source.increases("sum(up)", THEN, THEN + 600, 60, ())
    assert broken.problem.startswith("Prometheus refused the question (bad_data:")
    narrow = await source.increases("restarted_total", THEN, THEN + 600, 2, ())
    assert narrow.problem.startswith("too few samples for windows of 2 s")


async def test_history_is_split_where_prometheus_refuses(source):
    """20 minutes in steps of 0.1 s are 12,001 points; none is lost or doubled at the seam."""
    (one,) = await source.range("restarted_total", THEN, THEN + 1200, 0.1)
    assert len(one.points) == 12_001
    assert [t for t, _ in one.points] == pytest.approx([THEN + i / 10 for i in range(12_001)])
    (endless,) = await source.range("endless", THEN, THEN + 60, 5)
    assert endless.points == ()
    assert (await source.range("no_such_metric", THEN, THEN + 60, 5))[0].problem == "no series matched"
    assert (await source.range("up", 0, THEN, 0.1))[0].problem.startswith("too many points: take steps of")
    assert (await source.range("sum(", THEN, THEN + 60, 5))[0].problem.startswith("Prometheus refused")


async def test_an_exporter_that_restarts_dies_and_a_prometheus_that_was_away(history):
    """One story, live: counted, reset, away with Prometheus (missing, not zero), and dead (stale)."""
    source, exporter = PrometheusSource(history.url, max_age_seconds=1.5), history.exporter
    exporter.lines = {"live_total": 0}
    await history.scraped(1)
    start = time.time()
    await history.scraped(3)
    exporter.lines["live_total"] = 5
    await history.scraped(1)
    assert single(await source.instant("live_total", time.time())).value == 5
    exporter.stop()
    exporter.reset()
    exporter.start()
    exporter.lines["live_total"] = 3
    await history.scraped(2)
    history.stop()
    away = time.time()
    gone = single(await source.instant("live_total", away))
    assert gone.problem == "connection refused: is it running?"
    assert (await source.increases("live_total", start, away, 2, ())).problem == gone.problem
    exporter.lines["live_total"] = 10
    history.start()
    back = time.time()
    await history.scraped(5)
    told = await source.increases("live_total", start, time.time(), 2, ())
    assert told.resets == 1
    assert not [w for _, w in told.windows if w < back and w + 2 > away]
    assert sum(v for (_, w), v in told.windows.items() if w < away) in (5, 8)
    assert [w for _, w in told.windows if w >= back]
    exporter.stop()
    await asyncio.sleep(3)
    dead = single(await source.instant("sum(rate(live_total[1m]))", time.time()))
    assert dead.value is None
    assert dead.problem.startswith("stale: newest sample is ")
    await source.close()
    exporter.start()


async def test_a_reload_that_renames_series_makes_nothing_grow(history):
    """A counter under a new name is the same counter."""
    history.exporter.lines = {"renamed_total": 1000, "other_total": 1}
    start = time.time()
    await history.scraped(2)
    history.configure(team="payments")
    history.reload()
    await history.scraped(4)
    source = PrometheusSource(history.url)
    newest = single(await source.instant('renamed_total{team="payments"}', time.time()))
    assert newest.value == 1000
    told = await source.increases("renamed_total", start, time.time(), 2, ())
    assert set(told.windows.values()) == {0.0}
    await source.close()


def vector(value: str = "2", **more) -> str:
    """Return an instant answer."""
    result = [{"metric": {}, "value": [1, value]}]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}, **more})


HALF = http(vector(), length=5000)
NATIVE = '{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"histogram":[1,{}]}]}}'


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (http("no", "401 Unauthorized"), "HTTP 401: check the token"),
        (http("no", "403 Forbidden"), "HTTP 403: the token may not read this"),
        (http("", "404 Not Found"), "HTTP 404: check the URL's path"),
        (http("oh", "500 Oh"), "HTTP 500: the server failed"),
        (http("oh", "503 Oh"), "HTTP 503: not ready"),
        (
            http("", "302 Found", more="location: http://127.0.0.1:1/\r\n"),
            "HTTP 302: a redirect, which is not followed; give the final URL",
        ),
        (
            http('{"status":"error","errorType":"timeout","error":"query timed out"}', "503 Oh"),
            "Prometheus refused the question (timeout: query timed out)",
        ),
        (http("<html>"), "the answer is not from Prometheus' API: check the URL"),
        (http("[" * 100_000), "the answer is not from Prometheus' API: check the URL"),
        (http("{}"), "the answer is not from Prometheus' API: check the URL"),
        (
            http('{"status":"success","data":{"resultType":"vector","result":[1]}}'),
            "the answer is not in the form of Prometheus' API",
        ),
        (http(vector("two")), "the answer is not in the form of Prometheus' API"),
        (http(NATIVE), "the answer is a native histogram: take a quantile or a count of it"),
        (
            http(vector(warnings=["store 2 is away"])),
            "only a part could be read (store 2 is away)",
        ),
        (HALF, "half an answer: the connection broke off"),
        (b"", "half an answer: the connection broke off"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "half an answer: the connection broke off"),
        (
            http("x", more="content-encoding: gzip\r\n"),
            "the answer is compressed, though plain was asked for",
        ),
    ],
)
async def test_each_way_to_answer_badly_has_its_words(answering, reply, problem):
    """For the three questions alike; nothing is raised."""
    async with answering(reply) as peer:
        source = PrometheusSource(peer.url())
        assert single(await source.instant("1", 1.0)).problem == problem
        if "native" not in problem and "form" not in problem:
            assert (await source.increases("x", 0, 60, 10, ())).problem == problem
            assert (await source.range("x", 0, 60, 10))[0].problem == problem
        await source.close()


async def test_a_huge_answer_is_not_read_to_its_end(answering, monkeypatch):
    """Memory is bounded, whatever length the server announces or leaves out."""
    monkeypatch.setattr("serinus.drivers.metrics.prometheus.source.MAX_BYTES", 1_000_000)
    sent = 0

    async def flood(_, writer):
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(1000):
            writer.write(b"x" * 100_000)
            await writer.drain()
            sent += 100_000

    async with answering(flood) as peer:
        source = PrometheusSource(peer.url())
        assert single(await source.instant("1", 1.0)).problem == "the answer is over 1 MB: ask for less"
        await source.close()
    assert sent < 20_000_000


async def slow_head(_, writer):
    """Say nothing for 30 s."""
    await asyncio.sleep(30)


async def slow_body(_, writer):
    """Send a byte now and then, so that no single read is slow."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
    for _ in range(1000):
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("reply", [slow_head, slow_body])
async def test_a_slow_proxy_costs_the_time_limit_and_no_more(answering, reply):
    """The source answers in its own time."""
    async with answering(reply) as peer:
        source = PrometheusSource(peer.url(), timeout_seconds=0.3)
        began = time.monotonic()
        readings, told, history = await asyncio.gather(
            source.instant("up", 1.0), source.increases("up", 0, 60, 10, ()), source.range("up", 0, 60, 10)
        )
        assert time.monotonic() - began < 1
        assert {single(readings).problem, told.problem, history[0].problem} == {"timed out after 0.3 s"}
        await source.close()


async def test_nobody_there_and_no_such_host():
    """Both are said, at once."""
    for url, problem in [
        (f"http://127.0.0.1:{free_port()}", "connection refused: is it running?"),
        ("http://no-such-host.invalid", "the host name is not known"),
    ]:
        source = PrometheusSource(url)
        assert single(await source.instant("up", 1.0)).problem == problem
        await source.close()


def guard_of(url: str, wanted: str):
    """Return a reverse proxy that asks for a header, and echoes what it got when it is wrong."""
    import urllib.request

    async def reply(request, writer):
        head, _, body = request.partition("\r\n\r\n")
        if wanted.lower() not in head.lower():
            error = json.dumps({"status": "error", "errorType": "denied", "error": f"you sent: {head}"})
            writer.write(http(error, "400 Bad Request"))
        else:
            path = head.split(" ")[1]
            answer = await asyncio.to_thread(urllib.request.urlopen, url + path, body.encode())
            writer.write(http(answer.read()))
        await writer.drain()

    return reply


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"bearer_token": "s3cret-token"}, "authorization: Bearer s3cret-token"),
        ({"basic_auth": ("reader", "s3cret-pw")}, "authorization: Basic cmVhZGVyOnMzY3JldC1wdw=="),
        ({"headers": {"X-Scope-OrgID": "acme"}}, "x-scope-orgid: acme"),
    ],
)
async def test_a_proxy_that_wants_a_header_gets_it(history, answering, given, wanted):
    """Token, password and any header reach a real Prometheus behind it."""
    async with answering(guard_of(history.url, wanted)) as peer:
        source = PrometheusSource(peer.url(), **given)
        assert single(await source.instant("vector(42)", time.time())).value == 42
        await source.close()
        without = PrometheusSource(peer.url())
        assert single(await without.instant("vector(42)", 1.0)).problem.startswith("Prometheus refused")
        await without.close()


async def test_secrets_are_in_no_error_repr_or_log(answering, caplog):
    """Not even when the server sends them back."""
    caplog.set_level(logging.DEBUG)
    secrets = ("s3cret-token", "s3cret-pw", "s3cret-key", "cmVhZGVyOnMzY3JldC1wdw")
    async with answering(guard_of("", "never: sent")) as peer:
        with_user = peer.url().replace("://", "://reader:s3cret-pw@")
        for url, given in [
            (peer.url(), {"bearer_token": "s3cret-token"}),
            (peer.url(), {"basic_auth": ("reader", "s3cret-pw")}),
            (peer.url(), {"headers": {"X-Key": "s3cret-key"}}),
            (with_user, {}),
        ]:
            source = PrometheusSource(url, **given)
            problem = single(await source.instant("up", 1.0)).problem
            await source.close()
            assert "you sent" in problem
            for said in (problem, repr(source), caplog.text):
                assert not [s for s in secrets if s in said]
        assert sum("s3cret-key" in r for r in peer.requests) == 1
    for given in ({"bearer_token": "s3cret\ntoken"}, {"headers": {"X": "s3cret–key"}}):
        with pytest.raises(InvalidInput) as refused:
            PrometheusSource("http://127.0.0.1", **given)
        assert "s3cret" not in str(refused.value) + refused.value.next_step


async def test_a_private_authority_is_trusted_when_named(answering, authority):
    """And only then; turning the check off is a choice too."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority / "server.pem", authority / "server.key")
    async with answering(http(vector()), tls=context) as peer:
        url = peer.url("localhost", "https")
        for given, expected in [
            ({"ca_file": authority / "ca.pem"}, (2.0, "")),
            ({"verify": False}, (2.0, "")),
            ({}, (None, "the TLS certificate is not trusted: unable to get local issuer certificate")),
        ]:
            source = PrometheusSource(url, **given)
            reading = single(await source.instant("1", 1.0))
            assert (reading.value, reading.problem) == expected
            await source.close()
        other = PrometheusSource(peer.url("127.0.0.1", "https"), ca_file=authority / "ca.pem")
        problem = single(await other.instant("1", 1.0)).problem
        assert problem.startswith("the TLS certificate is not trusted: IP address mismatch")
        await other.close()


async def test_a_client_certificate_is_shown(answering, authority):
    """To a server that asks for one."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority / "ca.pem")
    context.load_cert_chain(authority / "server.pem", authority / "server.key")
    context.verify_mode = ssl.CERT_REQUIRED
    async with answering(http(vector()), tls=context) as peer:
        url, ca = peer.url("localhost", "https"), authority / "ca.pem"
        pair = (authority / "server.pem", authority / "server.key")
        for cert, value in ((pair, 2.0), (None, None)):
            source = PrometheusSource(url, ca_file=ca, client_cert=cert)
            assert single(await source.instant("1", 1.0)).value == value
            await source.close()


async def test_the_question_is_posted_with_its_time(answering):
    """Below the base URL's own path, and to the millisecond."""
    async with answering(http(vector())) as peer:
        source = PrometheusSource(peer.url() + "/prometheus/")
        assert await source.instant("1 + 1", 1700000000.1239) == (number(2.0, 1700000000.1239),)
        await source.close()
    head, _, body = peer.requests[0].partition("\r\n\r\n")
    assert head.startswith("POST /prometheus/api/v1/query HTTP/1.1")
    assert parse_qs(body) == {"query": ["1 + 1"], "time": ["1700000000.124"]}


@pytest.mark.parametrize(
    ("url", "given", "field"),
    [
        ("prometheus:9090", {}, "url"),
        ("ftp://prometheus", {}, "url"),
        ("http://", {}, "url"),
        ("http://host:99999999", {}, "url"),
        ("http://host", {"bearer_token": "a", "basic_auth": ("b", "c")}, "bearer_token"),
        ("https://host", {"ca_file": "/nowhere/ca.pem"}, "ca_file"),
        ("https://host", {"client_cert": "/nowhere/me.pem"}, "client_cert"),
    ],
)
def test_what_cannot_work_is_refused_at_once(url, given, field):
    """By the field that is wrong."""
    with pytest.raises(InvalidInput) as refused:
        PrometheusSource(url, **given)
    assert refused.value.field == field
