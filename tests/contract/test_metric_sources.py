"""What every metric source must do, over all of them; and what keeps each from doing harm."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import sqlite3
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

import psycopg
import pytest

from fixtures_prometheus import http
from needs import free_port
from serinus.core.errors import InvalidInput
from serinus.drivers.catalog import METRICS
from serinus.drivers.metrics.http_json import HttpJsonSource
from serinus.drivers.metrics.prometheus import PrometheusSource
from serinus.drivers.metrics.sql import SqlSource
from serinus.ports.metrics import MetricSource, Reading, number, single

LOCAL = {"allow_hosts": ["127.0.0.1"]}
DOCUMENT = {"loss": 0.25, "none": None, "words": "many", "a": [{"b/c": 7}, {"d.e": 8}], "yes": True}
SELECT = "SELECT value FROM levels WHERE name = "
LEVELS = "CREATE TABLE levels (name TEXT, version TEXT, at DOUBLE PRECISION, value DOUBLE PRECISION)"
ROWS = [("loss", "v2", 50.0, 0.25), ("loss", "v1", 50.0, 0.5), ("none", "v2", 50.0, None)]


@dataclass
class Asked:
    """A source, how it is asked here for the same things, and one like it that cannot answer."""

    source: MetricSource
    loss: str
    words: str
    nothing: str
    nonsense: str
    at: float
    #: Given an address: a source of the kind there.
    elsewhere: Callable[[str], MetricSource]


@pytest.fixture(scope="module")
def measured(prometheus):
    """Return a Prometheus that knows the loss."""
    at = time.time() // 3600 * 3600 - 86_400
    prometheus.backfill({"loss": [(at + i * 15, 0.25) for i in range(20)]})
    prometheus.restart()
    return prometheus, at + 240


@pytest.fixture
def lite(tmp_path):
    """Return the path of a SQLite file with levels, with odd signs in its path."""
    path = tmp_path / "odd # näme.db"
    with sqlite3.connect(path) as connection:
        connection.execute(LEVELS)
        connection.executemany("INSERT INTO levels VALUES (?, ?, ?, ?)", ROWS)
    connection.close()
    return str(path)


@pytest.fixture(scope="module")
def postgres_url(postgres):
    """Return the URL of a PostgreSQL database with levels; no test may change it."""
    url = postgres.fresh()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(LEVELS)
        connection.cursor().executemany("INSERT INTO levels VALUES (%s, %s, %s, %s)", ROWS)
    return url


def sql_at(url: str) -> Asked:
    """Return how a database is asked."""
    return Asked(
        SqlSource(url, version="v2"),
        SELECT + "'loss' AND version = :version AND at BETWEEN :since AND :until",
        "SELECT name FROM levels",
        SELECT + "'other'",
        "SELECT FROM WHERE",
        100.0,
        lambda address: SqlSource(f"postgresql://reader:s3cret-pw@{address}/levels", timeout_seconds=0.2),
    )


@pytest.fixture(params=["prometheus", "http-json", "sqlite", "postgresql"])
async def asked(request, answering):
    """Return each source in turn, each with the same measurements."""
    if request.param == "prometheus":
        server, at = request.getfixturevalue("measured")
        made = Asked(
            PrometheusSource(server.url),
            *("loss", '"many"', "other", "sum("),
            at,
            lambda a: PrometheusSource(f"http://reader:s3cret-pw@{a}", timeout_seconds=0.2),
        )
        yield made
    elif request.param == "http-json":
        async with answering(http(json.dumps(DOCUMENT))) as peer:
            made = Asked(
                HttpJsonSource(peer.url(), **LOCAL),
                *("loss", "words", "other", "a.b.c"),
                100.0,
                lambda a: HttpJsonSource(f"http://reader:s3cret-pw@{a}", timeout_seconds=0.3, **LOCAL),
            )
            yield made
    else:
        fixture = {"sqlite": "lite", "postgresql": "postgres_url"}[request.param]
        found = request.getfixturevalue(fixture)
        made = sql_at(f"sqlite:///{found}" if request.param == "sqlite" else found)
        yield made
    await made.source.close()


async def test_a_number_is_read_with_its_time(asked):
    """The same loss, wherever it is kept."""
    reading = single(await asked.source.instant(asked.loss, asked.at))
    assert (reading.value, reading.problem, reading.at) == (0.25, "", asked.at)


async def test_what_is_no_number_is_one_reading_with_a_problem(asked):
    """Text, nothing and nonsense: never zero, never raised, never silent."""
    for expression in (asked.words, asked.nothing, asked.nonsense, "", "\x00", "💥" * 1000):
        (reading,) = await asked.source.instant(expression, asked.at)
        assert (reading.value, bool(reading.problem), len(reading.problem) < 300) == (None, True, True)


async def test_nobody_there_is_a_problem_within_the_time_limit(asked, caplog):
    """Refused, or silent; and no secret is in what is said."""
    caplog.set_level(logging.DEBUG)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        for port in (free_port(), silent.getsockname()[1]):
            source = asked.elsewhere(f"127.0.0.1:{port}")
            began = time.monotonic()
            (reading,) = await source.instant(asked.loss, asked.at)
            assert reading.value is None
            assert time.monotonic() - began < 2
            assert "s3cret-pw" not in f"{reading} {source!r} {source} {caplog.text}"
            await source.close()


async def test_growth_is_known_or_there_is_a_reason(asked):
    """A source without history says so."""
    told = await asked.source.increases("other", asked.at - 60, asked.at, 15, ())
    assert (told.windows, bool(told.problem)) == ({}, True)


async def test_many_may_ask_at_once(asked):
    """And each gets its answer."""
    found = await asyncio.gather(*(asked.source.instant(asked.loss, asked.at) for _ in range(20)))
    assert {single(readings).value for readings in found} == {0.25}


def test_the_catalogue_names_what_is_there():
    """Each by its own name, importable when it is asked for."""
    for name, place in METRICS.items():
        module, _, kind = place.partition(":")
        assert getattr(import_module(module), kind).name == name


def test_a_reading_is_a_number_or_a_problem():
    """Never both, never neither, never NaN."""
    for wrong in ({"value": 1.0, "problem": "no"}, {"value": None}, {"value": float("nan")}):
        with pytest.raises(ValueError, match="reading"):
            Reading(**wrong)
    assert number(float("inf"), 1.0).problem == "the answer is +Inf"
    assert single(()).problem == "no series matched"


# ── JSON by HTTP ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/loss", 0.25),
        ("/a/0/b~1c", 7.0),
        ("a.0.b/c", 7.0),
        ("/a/1/d.e", 8.0),
        ("none", "null is at 'none', not a number"),
        ("words", "text is at 'words', not a number"),
        ("yes", "true or false is at 'yes', not a number"),
        ("a", "a list is at 'a', not a number"),
        ("", "an object is at '', not a number"),
        ("a.2", "there is nothing at 'a.2' in the answer"),
        ("a.-1", "there is nothing at 'a.-1' in the answer"),
        ("a.²", "there is nothing at 'a.²' in the answer"),
        ("loss.x", "there is nothing at 'loss.x' in the answer"),
    ],
)
async def test_a_path_leads_to_a_number_or_says_where_it_ends(answering, path, expected):
    """Dots for people, JSON pointers for keys with dots."""
    async with answering(http(json.dumps(DOCUMENT))) as peer:
        source = HttpJsonSource(peer.url() + "/status?key=s3cret", **LOCAL)
        reading = single(await source.instant(path, 1.0))
        assert (reading.value if reading.problem == "" else reading.problem) == expected
        assert "s3cret" not in repr(source)
        await source.close()


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (http("<html>"), "the answer is no JSON"),
        (http("[" * 100_000), "the answer is no JSON"),
        (http(b"\xff\xfe"), "the answer is no JSON"),
        (http('{"x": NaN}'), "the answer is NaN"),
        (http('{"x": 1' + "0" * 5000 + "}"), "the answer is +Inf"),
        (http('{"x": 1}', "500 Oh"), "HTTP 500: the server failed"),
        (
            http("", "301 Moved", more="location: http://169.254.169.254/\r\n"),
            "HTTP 301: a redirect, which is not followed; give the final URL",
        ),
        (http(b" " * 2_000_000), "the answer is over 1 MB: ask for less"),
    ],
)
async def test_a_bad_document_has_its_words(answering, reply, problem):
    """And redirects lead nowhere."""
    async with answering(reply) as peer:
        source = HttpJsonSource(peer.url(), **LOCAL)
        assert single(await source.instant("x", 1.0)).problem == problem
        await source.close()


PRIVATE = [
    *(
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0",
        "localhost",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
    ),
    *("10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "100.100.100.200", "[fd00:ec2::254]"),
    *("169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "[2002:7f00:1::]"),
    *("224.0.0.1", "255.255.255.255", "0.0.0.0", "198.18.0.1", "192.0.2.1", "[fec0::1]"),
]


@pytest.mark.parametrize("host", PRIVATE)
async def test_private_addresses_are_refused_in_every_spelling(host):
    """Before anything is sent."""
    source = HttpJsonSource(f"http://{host}:9/", timeout_seconds=2)
    problem = single(await source.instant("x", 1.0)).problem
    assert problem.endswith("a private address: list it in allow_hosts"), problem
    await source.close()


@pytest.fixture
def names(monkeypatch):
    """Return a table of names that the resolver knows; each question takes the next answer."""
    table: dict[str, list[list[str]]] = {}
    real = socket.getaddrinfo

    def resolve(host, port, *args, **more):
        if host not in table:
            return real(host, port, *args, **more)
        answers = table[host]
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return table


async def test_a_name_that_answers_differently_the_second_time_gains_nothing(answering, names):
    """The address that was checked is the one that is asked."""
    async with answering(http('{"x": 1}')) as peer:
        names["rebind.test"] = [["127.0.0.1"], ["10.9.9.9"]]
        pinned = HttpJsonSource(peer.url("rebind.test"), allow_hosts=["127.0.0.0/8"], timeout_seconds=0.5)
        assert single(await pinned.instant("x", 1.0)).value == 1
        assert f"host: rebind.test:{peer.port}" in peer.requests[0].lower()
        assert "10.9.9.9" in single(await pinned.instant("x", 1.0)).problem
        assert len(peer.requests) == 1
        await pinned.close()


async def test_one_private_address_among_public_ones_spoils_the_name(names):
    """Which of them would be asked is chance."""
    names["mixed.test"] = [["93.184.215.14", "127.0.0.1"]]
    source = HttpJsonSource("http://mixed.test/")
    assert single(await source.instant("x", 1.0)).problem == (
        "mixed.test is at 127.0.0.1, a private address: list it in allow_hosts"
    )
    await source.close()


async def test_a_listed_name_opens_private_addresses_but_not_the_metadata_service(answering, names):
    """Credentials of the cloud need their own line in the list."""
    async with answering(http('{"x": 1}')) as peer:
        names["inside.test"] = [["127.0.0.1"]]
        listed = HttpJsonSource(peer.url("inside.test"), allow_hosts=["Inside.test "])
        assert single(await listed.instant("x", 1.0)).value == 1
        await listed.close()
    names["inside.test"] = [["169.254.169.254"]]
    listed = HttpJsonSource("http://inside.test/", allow_hosts=["inside.test"])
    assert "private" in single(await listed.instant("x", 1.0)).problem
    await listed.close()


async def test_the_next_address_is_asked_when_one_refuses(answering, names):
    """A name with a dead first address still answers."""
    async with answering(http('{"x": 1}')) as peer:
        names["two.test"] = [["127.0.0.2", "127.0.0.1"]]
        source = HttpJsonSource(peer.url("two.test"), allow_hosts=["two.test"])
        assert single(await source.instant("x", 1.0)).value == 1
        await source.close()


async def test_the_certificate_is_checked_by_name_though_the_address_is_pinned(answering, authority, names):
    """The name in the URL is the one that the certificate must have."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority / "server.pem", authority / "server.key")
    names["metrics.test"], names["other.test"] = [["127.0.0.1"]], [["127.0.0.1"]]
    async with answering(http('{"x": 1}'), tls=context) as peer:
        for host, expected in (("metrics.test", ""), ("other.test", "the TLS certificate is not trusted: H")):
            source = HttpJsonSource(
                peer.url(host, "https"), allow_hosts=[host], ca_file=authority / "ca.pem", timeout_seconds=2
            )
            assert single(await source.instant("x", 1.0)).problem.startswith(expected)
            await source.close()


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "gopher://x/", "http:///x", "//x", "http://a b/", "http://ü/"]
)
def test_only_http_urls_are_taken(url):
    """By the field that is wrong."""
    with pytest.raises(InvalidInput) as refused:
        HttpJsonSource(url)
    assert refused.value.field == "url"


# ── SQL ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request):
    """Return a SQL source and what counts the rows behind its back."""
    if request.param == "sqlite":
        path = request.getfixturevalue("lite")
        source = SqlSource(f"sqlite:///{path}", timeout_seconds=0.5)

        def rows():
            connection = sqlite3.connect(path)
            try:
                return connection.execute("SELECT count(*) FROM levels").fetchone()[0]
            finally:
                connection.close()
    else:
        url = request.getfixturevalue("postgres_url")
        source = SqlSource(url, timeout_seconds=0.5)

        def rows():
            with psycopg.connect(url) as connection:
                return connection.execute("SELECT count(*) FROM levels").fetchone()[0]

    yield source, rows
    await source.close()


WRITES = [
    "DELETE FROM levels",
    "DELETE FROM levels RETURNING 1",
    "INSERT INTO levels VALUES ('x', 'x', 1, 1)",
    "UPDATE levels SET value = 0",
    "DROP TABLE levels",
    "CREATE TABLE more (x INTEGER)",
    "SELECT 1; DELETE FROM levels",
    "SELECT 1) AS a; COMMIT; DELETE FROM levels; SELECT (1",
    "SELECT 1) AS a; DELETE FROM levels; --",
    "SELECT 1) AS a; DELETE FROM levels; /*",
    "WITH gone AS (DELETE FROM levels RETURNING 1) SELECT * FROM gone",
    "SELECT 1 INTO more",
    "ATTACH 'more.db' AS more",
    "PRAGMA query_only = OFF",
    "COMMIT",
    "SET TRANSACTION READ WRITE",
    "COPY levels TO PROGRAM 'true'",
]


@pytest.mark.parametrize("statement", WRITES)
async def test_no_statement_writes(database, statement):
    """Each is a reading with a problem, and the rows are all there."""
    source, rows = database
    before = rows()
    reading = await source.select(statement, since=0, until=100)
    assert reading.value is None
    assert reading.problem.startswith("the database refused: "), reading.problem
    assert rows() == before == len(ROWS)


async def test_the_database_itself_refuses_to_write(database):
    """Also past our subquery: the connection or the transaction is read-only."""
    from sqlalchemy import text
    from sqlalchemy.exc import DBAPIError

    source, rows = database
    for statement in ("DELETE FROM levels", "CREATE TABLE more (x INTEGER)"):
        with pytest.raises(DBAPIError, match=r"read-?only"):
            async with source._reading() as connection:
                await connection.execute(text(statement))
    if source._url.get_backend_name() == "sqlite":
        with pytest.raises(DBAPIError, match="readonly"):
            async with source._reading() as connection:
                await connection.execute(text("PRAGMA query_only = OFF"))
                await connection.execute(text("DELETE FROM levels"))
    assert rows() == len(ROWS)


async def test_a_function_that_writes_is_refused(postgres_url):
    """A SELECT may call one; the read-only transaction stops it, and it cannot be turned off."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION sneak() RETURNS int LANGUAGE sql AS 'DELETE FROM levels RETURNING 1'"
        )
    source = SqlSource(postgres_url)
    for statement in (
        "SELECT sneak()",
        "SELECT set_config('transaction_read_only', 'off', false), sneak()",
        "SELECT nextval('pg_catalog.pg_class')",
    ):
        assert (await source.select(statement, since=0, until=1)).value is None, statement
    refused = await source.select("SELECT sneak()", since=0, until=1)
    assert refused.problem == (
        "the database refused: cannot execute DELETE in a read-only transaction "
        'CONTEXT: SQL function "sneak" statement 1'
    )
    await source.close()


async def test_a_slow_statement_is_stopped_in_the_database(database):
    """It does not go on after we have answered."""
    source, _ = database
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    began = time.monotonic()
    assert (await source.select(endless, since=0, until=1)).problem == "timed out after 0.5 s"
    assert time.monotonic() - began < 2
    assert (await source.select("SELECT 1", since=0, until=1)).value == 1


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT count(*) FROM levels", 3.0),
        ("SELECT count(*) FROM levels;", 3.0),
        ("SELECT 1 -- a comment", 1.0),
        ("WITH x AS (SELECT 2 AS n) SELECT n FROM x", 2.0),
        ("SELECT 1.5, 'and', 'more'", 1.5),
        ("SELECT 100.0 * :until - :since", 9990.0),
        ("SELECT count(*) FROM levels WHERE name <> ':noon' AND name NOT LIKE '%x%'", 3.0),
        (SELECT + "'none'", "the answer is NULL"),
        (SELECT + "'loss'", "more than 1 row, 1 expected"),
        (SELECT + "'other'", "the query gave no row"),
        ("SELECT name FROM levels LIMIT 1", "the first column is not a number"),
        (
            "SELECT :tenant",
            "the query uses a parameter that is not given: known are :since, :until, :version, :side",
        ),
    ],
)
async def test_one_number_of_one_row(database, statement, expected):
    """Anything else has its words."""
    source, _ = database
    reading = await source.select(statement, since=10, until=100)
    assert (reading.value if reading.problem == "" else reading.problem) == expected


async def test_version_and_side_choose_the_rows(database):
    """As parameters: they cannot become SQL."""
    source, rows = database
    query = SELECT + "'loss' AND version = :version AND :side <> 'stable'"
    for version, side, expected in [("v1", "canary", 0.5), ("v2", "canary", 0.25), ("v1", "stable", None)]:
        assert (await source.select(query, since=0, until=1, version=version, side=side)).value == expected
    injected = "v1'; DELETE FROM levels; --"
    assert (await source.select(query, since=0, until=1, version=injected, side="x")).value is None
    assert rows() == len(ROWS)


async def test_a_file_that_is_not_there_is_not_made(tmp_path):
    """Reading does not create."""
    source = SqlSource(f"sqlite:///{tmp_path / 'none.db'}")
    reading = single(await source.instant("SELECT 1", 1.0))
    assert reading.problem == "the database file is not there"
    assert list(tmp_path.iterdir()) == []
    await source.close()


@pytest.mark.parametrize(
    "url", ["", "sqlite://", "sqlite:///:memory:", "sqlite:///file:x", "mysql://h/d", "x y"]
)
def test_only_databases_that_can_be_read_are_taken(url):
    """By the field that is wrong."""
    with pytest.raises(InvalidInput) as refused:
        SqlSource(url)
    assert refused.value.field == "url"
