"""A kept connection is looked at before a request, and asked only if there is a reason to doubt it."""

import select
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime

import psycopg
import pytest
from django.db import (
    DataError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    connection,
    connections,
    transaction,
)
from django.db.backends.postgresql import base
from django.test.utils import CaptureQueriesContext
from prometheus_client import REGISTRY

from saas.kit.postgresql.base import DatabaseWrapper
from saas.kit.postgresql.trips import First


@pytest.fixture
def asked(monkeypatch):
    asked = []
    original = base.DatabaseWrapper.is_usable
    monkeypatch.setattr(base.DatabaseWrapper, "is_usable", lambda self: asked.append(1) or original(self))
    return asked


@pytest.fixture
def pid():
    connection.ensure_connection()
    return connection.connection.info.backend_pid


def next_request():
    """What Django does between two requests."""
    connection.close_if_unusable_or_obsolete()
    connection.health_check_done = False
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return connection.connection.info.backend_pid


def test_a_quiet_connection_is_kept_without_asking(pid, asked):
    assert next_request() == pid
    assert asked == []


def test_one_that_the_server_ended_is_replaced_before_anybody_notices(pid, asked, superuser_url):
    with psycopg.connect(superuser_url, autocommit=True) as superuser:
        superuser.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    assert next_request() != pid
    assert asked == [1]


def test_a_closed_one_is_replaced(pid, asked):
    connection.connection.close()
    assert next_request() != pid
    assert asked == []


def test_a_notice_is_a_reason_to_ask_and_no_reason_to_replace(pid, asked, superuser_url):
    with connection.cursor() as cursor:
        cursor.execute("LISTEN something")
    with psycopg.connect(superuser_url, dbname=connection.settings_dict["NAME"], autocommit=True) as other:
        other.execute("NOTIFY something")
    assert select.select([connection.connection], [], [], 10)[0], "The notice did not arrive."
    assert next_request() == pid
    assert asked == [1]


class TestMoments:
    @pytest.mark.parametrize(
        ("written", "read"),
        [
            ("2026-11-24 16:43:13.661291+00", datetime(2026, 11, 24, 16, 43, 13, 661291, UTC)),
            ("2026-11-24 16:43:13+00", datetime(2026, 11, 24, 16, 43, 13, tzinfo=UTC)),
            ("2026-11-24 16:43:13.5+02:30", datetime(2026, 11, 24, 14, 13, 13, 500000, UTC)),
            ("0001-01-01 00:00:00+00", datetime(1, 1, 1, tzinfo=UTC)),
            ("9999-12-31 23:59:59.999999+00", datetime(9999, 12, 31, 23, 59, 59, 999999, UTC)),
        ],
    )
    def test_it_works(self, written, read):
        with connection.cursor() as cursor:
            cursor.execute("SELECT %s::timestamptz", [written])
            [found] = cursor.fetchone()
        assert (found, found.tzinfo) == (read, UTC)

    def test_on_a_connection_in_another_zone_it_is_the_same_moment(self):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL TIME ZONE 'Asia/Kolkata'")
            cursor.execute("SELECT '2026-11-24 16:43:13+00'::timestamptz")
            assert cursor.fetchone() == (datetime(2026, 11, 24, 16, 43, 13, tzinfo=UTC),)

    @pytest.mark.parametrize("moment", ["infinity", "0044-03-15 12:00+00 BC"])
    def test_what_python_has_no_moment_for_is_an_error(self, moment):
        with pytest.raises(DataError), connection.cursor() as cursor:
            cursor.execute("SELECT %s::timestamptz", [moment])
            cursor.fetchone()


CONTEXT = "SELECT set_config('app.first', %s, true), set_config('app.second', %s, true)"


def settings_in_force():
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('app.first', true), current_setting('app.second', true)")
        return cursor.fetchone()


@contextmanager
def round_trips(trace):
    """What libpq sends and gets, written to a file; each answer to a round trip ends in ReadyForQuery."""
    connection.ensure_connection()
    pgconn = connection.connection.pgconn
    found = []
    with trace.open("w+") as file:
        pgconn.trace(file.fileno())
        try:
            yield found
        finally:
            pgconn.untrace()
        found.extend(line for line in trace.read_text().splitlines() if "ReadyForQuery" in line)


@pytest.fixture
def pooled():
    """An alias whose connections are handed on by Django's pool."""
    settings = connections["default"].settings_dict
    options = {**settings["OPTIONS"], "pool": {"min_size": 1, "max_size": 2}}
    connections.settings["pooled"] = {**settings, "CONN_MAX_AGE": 0, "OPTIONS": options}
    yield "pooled"
    connections["pooled"].close()
    connections["pooled"].close_pool()
    del connections["pooled"]
    del connections.settings["pooled"]


@pytest.fixture
def new_connection():
    connection.close()
    yield
    connection.close()


@contextmanager
def an_end():
    """An error in place of a loop that never ends."""

    def end(*_):
        raise AssertionError("It does not end.")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(10)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


class TestExecuteFirst:
    @pytest.mark.parametrize("threshold", [5, None])
    def test_it_begins_and_executes_in_one_round_trip(self, new_connection, tmp_path, threshold):
        connection.ensure_connection()
        connection.connection.prepare_threshold = threshold
        for _ in range(3):
            with transaction.atomic():
                with round_trips(tmp_path / "trace") as trips:
                    connection.execute_first(CONTEXT, ("it's", "ü"))
                assert len(trips) == 1
                assert settings_in_force() == ("it's", "ü")
            assert settings_in_force() == ("", "")
        if threshold is None:
            assert connection.fetch_one("SELECT count(*) FROM pg_prepared_statements", []) == (0,)

    def test_it_is_rolled_back_with_its_transaction(self):
        with pytest.raises(RuntimeError), transaction.atomic():
            connection.execute_first(CONTEXT, ("a", "b"))
            raise RuntimeError
        assert settings_in_force() == ("", "")

    def test_in_a_transaction_that_has_begun_it_begins_no_other(self):
        with transaction.atomic():
            assert settings_in_force()
            connection.execute_first(CONTEXT, ("a", "b"))
            with transaction.atomic():
                connection.execute_first(CONTEXT, ("c", "d"))
            assert settings_in_force() == ("c", "d")

    def test_outside_a_transaction_it_is_a_statement_of_its_own(self):
        connection.execute_first(CONTEXT, ("a", "b"))
        assert settings_in_force() == ("", "")

    @pytest.mark.parametrize(
        ("sql", "error"),
        [("SELECT 1 / %s::int", DataError), ("SELECT no_such_function(%s)", ProgrammingError)],
    )
    def test_an_error_is_raised_as_ever_and_the_connection_goes_on(self, sql, error):
        for _ in range(2):
            with pytest.raises(error), transaction.atomic():
                connection.execute_first(sql, ("0",))
            assert settings_in_force()

    def test_who_watches_sees_it(self):
        with CaptureQueriesContext(connection) as queries, transaction.atomic():
            connection.execute_first(CONTEXT, ("a", "b"))
        assert any("app.first" in query["sql"] for query in queries)

    def test_a_line_that_broke_is_an_operational_error(self, superuser_url):
        with pytest.raises(OperationalError), transaction.atomic():
            with psycopg.connect(superuser_url, autocommit=True) as superuser:
                pid = connection.connection.info.backend_pid
                superuser.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
            connection.execute_first(CONTEXT, ("a", "b"))
        connection.close_if_unusable_or_obsolete()
        with transaction.atomic():
            connection.execute_first(CONTEXT, ("a", "b"))
            assert settings_in_force() == ("a", "b")

    @pytest.mark.parametrize(("value", "error"), [("a\0b", DataError), ("\ud800", UnicodeEncodeError)])
    def test_a_value_that_is_no_text_is_refused_and_the_connection_goes_on(self, pid, value, error):
        with pytest.raises(error), transaction.atomic():
            connection.execute_first(CONTEXT, (value, "b"))
        assert connection.fetch_one("SELECT pg_backend_pid()", []) == (pid,)

    def test_copy_is_refused(self, new_connection):
        connection.ensure_connection()
        with pytest.raises(NotSupportedError), transaction.atomic(), an_end():
            connection.execute_first("COPY (SELECT 1) TO STDOUT", ())

    def test_a_pool_hands_connections_from_thread_to_thread(self, pooled):
        def visit(number):
            other = connections[pooled]
            try:
                with transaction.atomic(using=pooled):
                    other.execute_first(CONTEXT, (str(number), "b"))
                    return other.fetch_one("SELECT current_setting('app.first')", [])
            finally:
                other.close()

        with ThreadPoolExecutor(4) as threads:
            assert list(threads.map(visit, range(40))) == [(str(number),) for number in range(40)]


class TestConnectFailures:
    @pytest.fixture
    def crowded(self, superuser_url):
        """A role that may have no connection, as if all were taken."""
        with psycopg.connect(superuser_url, autocommit=True) as superuser:
            superuser.execute("CREATE ROLE crowded LOGIN PASSWORD 'any' CONNECTION LIMIT 0")
            yield
            superuser.execute("DROP ROLE crowded")

    def test_one_that_was_refused_is_counted(self, crowded):
        settings = {**connection.settings_dict, "USER": "crowded", "PASSWORD": "any"}
        before = REGISTRY.get_sample_value("saas_database_connect_failures_total")
        with pytest.raises(OperationalError, match="too many connections for role"):
            DatabaseWrapper(settings, "crowded").ensure_connection()
        assert REGISTRY.get_sample_value("saas_database_connect_failures_total") == before + 1


class TestFetchOne:
    def test_it_gives_the_first_row_or_none(self):
        assert connection.fetch_one("SELECT %s::int, %s", [1, "a"]) == (1, "a")
        assert connection.fetch_one("SELECT 1 WHERE %s", [False]) is None

    def test_its_errors_are_those_of_django(self):
        with pytest.raises(DataError), transaction.atomic():
            connection.fetch_one("SELECT 1 / %s::int", [0])
        with transaction.atomic():
            with pytest.raises(DataError):
                connection.fetch_one("SELECT 1 / 0", [])
            with pytest.raises(transaction.TransactionManagementError):
                transaction.set_rollback(True)
                connection.fetch_one("SELECT 1", [])

    def test_who_watches_sees_it(self):
        with CaptureQueriesContext(connection) as queries:
            connection.fetch_one("SELECT %s::int", [7])
        assert [query["sql"] for query in queries] == ["SELECT 7::int"]

    def test_a_connection_that_the_server_ended_is_replaced(self, pid, superuser_url):
        with psycopg.connect(superuser_url, autocommit=True) as superuser:
            superuser.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        connection.close_if_unusable_or_obsolete()
        connection.health_check_done = False
        assert connection.fetch_one("SELECT pg_backend_pid()", []) != (pid,)


IN_FORCE = "SELECT current_setting('app.first', true), %s::int"


@pytest.mark.usefixtures("new_connection")
class TestFetchOneAfter:
    def fetch(self, sql=IN_FORCE, value=7, first="a"):
        return connection.fetch_one_after(First(CONTEXT, (first, "b")), sql, [value])

    @pytest.mark.parametrize("threshold", [5, None])
    def test_what_went_first_is_in_force_for_the_query_alone_in_one_round_trip(self, tmp_path, threshold):
        connection.ensure_connection()
        connection.connection.prepare_threshold = threshold
        for number in range(10):
            with round_trips(tmp_path / "trace") as trips:
                assert self.fetch(value=number, first="it's") == ("it's", number)
            assert len(trips) == 1
            assert settings_in_force() == ("", "")
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%::int'")
            assert cursor.fetchone() == (0 if threshold is None else 1,)

    def test_a_plan_is_prepared_once_for_both_ways_and_forgotten_with_a_rollback(self):
        for _ in range(10):
            self.fetch()
            with pytest.raises(RuntimeError), transaction.atomic():
                assert connection.fetch_one(IN_FORCE, [8]) == ("", 8)
                raise RuntimeError
        for _ in range(10):
            assert self.fetch() == ("a", 7)
            assert connection.fetch_one(IN_FORCE, [8]) == ("", 8)

    def test_after_an_error_the_query_does_not_run(self):
        """Neither a new statement nor one that is prepared: this one would leave its mark."""
        first = First("SELECT 1 / %s::int", ("0",))
        for _ in range(10):
            with pytest.raises(DataError):
                connection.fetch_one_after(first, "SELECT pg_advisory_lock(%s)", [7])
            held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
            assert connection.fetch_one(held, []) == (0,)
            assert connection.fetch_one("SELECT pg_advisory_lock(%s)", [7])
            assert connection.fetch_one(held, []) == (1,)
            connection.fetch_one("SELECT pg_advisory_unlock_all()", [])

    def test_no_row_is_none(self):
        assert self.fetch("SELECT 1 WHERE %s::int = 0") is None

    def test_inside_a_transaction_it_is_refused(self):
        with transaction.atomic(), pytest.raises(transaction.TransactionManagementError):
            self.fetch()

    def test_in_one_that_django_knows_nothing_of_too(self):
        with connection.cursor() as cursor:
            cursor.execute("BEGIN")
        with pytest.raises(InternalError):
            self.fetch()
        assert settings_in_force() == (None, None)

    def test_without_autocommit_it_is_refused(self):
        connection.set_autocommit(False)
        with pytest.raises(InternalError):
            self.fetch()
        assert settings_in_force() == (None, None)

    def test_a_nul_is_refused_and_the_connection_goes_on(self, pid):
        with pytest.raises(DataError):
            self.fetch(first="a\0b")
        assert connection.fetch_one("SELECT pg_backend_pid()", []) == (pid,)
        assert self.fetch() == ("a", 7)

    @pytest.mark.parametrize("query", ["COPY (SELECT 1) TO STDOUT", "SELECT %s::int"])
    def test_copy_is_refused(self, query):
        first = First("COPY (SELECT 1) TO STDOUT", ()) if "%s" in query else First(CONTEXT, ("a", "b"))
        with pytest.raises(NotSupportedError), an_end():
            connection.fetch_one_after(first, query, [7] if "%s" in query else [])
        connection.close_if_unusable_or_obsolete()
        assert self.fetch() == ("a", 7)

    def test_what_is_prepared_right_after_an_error_stays(self):
        connection.ensure_connection()
        connection.connection.prepare_threshold = 0
        assert self.fetch() == ("a", 7)
        with pytest.raises(DataError):
            self.fetch("SELECT 1 / %s::int", 0)
        for _ in range(3):
            assert self.fetch() == ("a", 7)

    @pytest.mark.parametrize("uses", [0, 5, 20])
    def test_an_error_is_raised_as_ever_and_the_connection_goes_on(self, uses):
        for _ in range(uses):
            assert self.fetch("SELECT 1 / %s::int") == (0,)
        for _ in range(2):
            with pytest.raises(DataError):
                self.fetch("SELECT 1 / %s::int", 0)
            assert settings_in_force() == ("", "")
            assert self.fetch() == ("a", 7)
        with pytest.raises(DataError):
            connection.fetch_one_after(First("SELECT 1 / %s::int", ("0",)), IN_FORCE, [7])
        assert self.fetch() == ("a", 7)

    def test_who_watches_sees_it(self):
        with CaptureQueriesContext(connection) as queries:
            assert self.fetch() == ("a", 7)
        asked = [query["sql"] for query in queries]
        assert any("app.first" in sql and "set_config" in sql for sql in asked)
        assert any("7::int" in sql for sql in asked)

    def test_a_line_that_broke_is_an_operational_error(self, superuser_url):
        self.fetch()
        with psycopg.connect(superuser_url, autocommit=True) as superuser:
            superuser.execute(
                "SELECT pg_terminate_backend(%s, 5000)", [connection.connection.info.backend_pid]
            )
        with pytest.raises(OperationalError):
            self.fetch()
        connection.close_if_unusable_or_obsolete()
        assert self.fetch() == ("a", 7)
