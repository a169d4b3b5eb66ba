"""A statement is written once, asks one query a call, and answers what the ORM would."""

import os
from datetime import timedelta
from uuid import UUID, uuid4

import psycopg
import pytest
from django.conf import settings
from django.db import NotSupportedError, connection
from django.db.models import QuerySet
from django.test.utils import CaptureQueriesContext

from accounts.models import Session, User
from saas.kit import clock
from saas.kit.statements import one_row
from tenancy.context import find_in_context, org_context

PREPARED = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%accounts_session%'"


@one_row
def session_of(*, session_id, since) -> QuerySet[Session]:
    return Session.objects.select_related("user__organization").filter(
        id=session_id, created_at__gt=since, revoked_at=None
    )


@one_row
def names_of(*, session_id) -> QuerySet[Session]:
    names = ("id", "recent_rotations", "user__name", "user__organization__name")
    return Session.objects.filter(id=session_id).values_list(*names)


def hour_ago():
    return clock.now() - timedelta(hours=1)


def prepared():
    with connection.cursor() as cursor:
        cursor.execute(PREPARED)
        return cursor.fetchone()[0]


class TestOneRow:
    def test_it_works(self, alice):
        with org_context(alice.organization_id):
            expected = Session.objects.select_related("user__organization").get(id=alice.session_id)
            with CaptureQueriesContext(connection) as asked:
                found = session_of(session_id=alice.session_id, since=hour_ago())
                for one, other in [
                    (found, expected),
                    (found.user, expected.user),
                    (found.user.organization, expected.user.organization),
                ]:
                    assert type(one) is type(other)
                    fields = [field.attname for field in one._meta.concrete_fields]
                    assert [getattr(one, name) for name in fields] == [
                        getattr(other, name) for name in fields
                    ]
        assert len(asked) == 1

    def test_what_it_finds_can_be_saved(self, alice):
        with org_context(alice.organization_id):
            found = session_of(session_id=alice.session_id, since=hour_ago())
            found.user_agent = "another"
            found.save(update_fields=["user_agent"])
            assert Session.objects.get(id=alice.session_id).user_agent == "another"

    def test_of_a_values_list_it_gives_the_values(self, alice, charlie):
        with org_context(alice.organization_id):
            with CaptureQueriesContext(connection) as asked:
                found = names_of(session_id=alice.session_id)
            assert found == (UUID(str(alice.session_id)), [], "Alice", "Acme")
            assert names_of(session_id=charlie.session_id) is None
        assert len(asked) == 1
        assert '"accounts_user"."password"' not in asked[0]["sql"]

    def test_each_call_has_values_of_its_own(self, alice, bob):
        with org_context(alice.organization_id):
            assert session_of(session_id=bob.session_id, since=hour_ago()).user == bob.user
            assert session_of(session_id=uuid4(), since=hour_ago()) is None
            assert session_of(session_id=alice.session_id, since=clock.now()) is None
            assert session_of(session_id=alice.session_id, since=hour_ago()).user == alice.user

    def test_it_is_fenced(self, alice, charlie):
        with org_context(charlie.organization_id):
            assert session_of(session_id=alice.session_id, since=hour_ago()) is None
        assert session_of(session_id=alice.session_id, since=hour_ago()) is None


@pytest.mark.skipif(not settings.DATABASE_PREPARED_STATEMENTS, reason="prepared statements are turned off")
class TestPreparedStatements:
    def test_the_fence_holds_for_a_plan_that_another_organization_made(self, alice, charlie):
        for _ in range(20):
            for person, other in [(alice, charlie), (charlie, alice)]:
                with org_context(person.organization_id):
                    assert session_of(session_id=person.session_id, since=hour_ago()).user == person.user
                    assert session_of(session_id=other.session_id, since=hour_ago()) is None
        assert session_of(session_id=alice.session_id, since=hour_ago()) is None
        assert prepared() == 1

    def test_it_holds_as_well_for_one_that_is_read_apart(self, alice, charlie):
        for _ in range(20):
            for person, other in [(alice, charlie), (charlie, alice)]:
                for session_id, user in [(person.session_id, person.user), (other.session_id, None)]:
                    found = find_in_context(
                        person.organization_id, session_of, session_id=session_id, since=hour_ago()
                    )
                    assert (found and found.user) == user
        assert session_of(session_id=alice.session_id, since=hour_ago()) is None
        assert prepared() == 1

    @pytest.mark.parametrize("is_apart", [False, True])
    def test_a_changed_table_costs_one_error_and_no_more(self, alice, is_apart):
        def read():
            values = {"session_id": alice.session_id, "since": hour_ago()}
            if is_apart:
                return find_in_context(alice.organization_id, session_of, **values)
            with org_context(alice.organization_id):
                return session_of(**values)

        for _ in range(20):
            assert read().user_agent == "tests"
        assert prepared() == 1
        with psycopg.connect(os.environ["OWNER_DATABASE_URL"], autocommit=True) as owner:
            owner.execute("ALTER TABLE accounts_session ALTER user_agent TYPE varchar(301)")
            try:
                with pytest.raises(NotSupportedError):
                    read()
                assert read().user_agent == "tests"
            finally:
                owner.execute("ALTER TABLE accounts_session ALTER user_agent TYPE varchar(300)")

    def test_it_holds_no_values(self, alice):
        for _ in range(20):
            with org_context(alice.organization_id):
                assert User.objects.get(name="Alice")
        with connection.cursor() as cursor:
            cursor.execute("SELECT string_agg(statement, ' ') FROM pg_prepared_statements")
            assert "Alice" not in (cursor.fetchone()[0] or "")
