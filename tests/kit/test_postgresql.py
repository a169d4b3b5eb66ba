"""A kept connection is looked at before a request, and asked only if there is a reason to doubt it."""

from datetime import UTC, datetime

import psycopg
import pytest
from django.db import DataError, connection, transaction
from django.db.backends.postgresql import base


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
        other.execute("SELECT 1")
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
