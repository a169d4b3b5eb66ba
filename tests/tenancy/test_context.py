"""The context lives as long as its transaction, and no longer."""

import os
import threading
from uuid import uuid4

import psycopg
import pytest
from django.conf import settings
from django.db import DatabaseError, connection, connections, transaction
from django.db.models import QuerySet
from prometheus_client import REGISTRY

from accounts.models import User
from saas.kit.context_keys import parse_context_keys
from saas.kit.statements import one_row
from tenancy.context import (
    NoOrganizationContext,
    OrganizationContextConflict,
    PlantedStatement,
    current_organization_id,
    find_in_context,
    org_context,
    organization_in_force,
    stream_in_context,
)
from tenancy.context_keys import install_context_keys

IN_FORCE = "SELECT tenancy.current_org(), coalesce(current_setting('app.current_org_proof', true), '')"


def in_force():
    with connection.cursor() as cursor:
        cursor.execute(IN_FORCE)
        return cursor.fetchone()


class TestOrgContext:
    def test_it_works(self, alice):
        with org_context(alice.organization_id):
            assert in_force()[0] == alice.organization_id == current_organization_id()
            assert User.objects.get() == alice.user
        assert in_force() == (None, "")
        assert organization_in_force() is None

    def test_it_ends_with_a_rollback_and_with_an_exception(self, alice):
        with org_context(alice.organization_id):
            assert User.objects.exists()
            transaction.set_rollback(True)
        assert in_force() == (None, "")
        with pytest.raises(KeyError), org_context(alice.organization_id):
            raise KeyError
        assert in_force() == (None, "")
        assert organization_in_force() is None

    def test_nested_for_the_same_organization_it_is_a_savepoint(self, alice):
        with org_context(alice.organization_id):
            with pytest.raises(KeyError), org_context(alice.organization_id):
                User.objects.update(name="lost")
                raise KeyError
            assert User.objects.get().name == "Alice"

    def test_another_organization_is_refused(self, alice, charlie):
        with org_context(alice.organization_id):
            with pytest.raises(OrganizationContextConflict), org_context(charlie.organization_id):
                pass
            assert User.objects.get() == alice.user

    def test_inside_a_plain_transaction_it_is_taken_back(self, alice):
        with transaction.atomic():
            with org_context(alice.organization_id):
                assert User.objects.exists()
            assert in_force() == (None, "")
            with pytest.raises(KeyError), org_context(alice.organization_id):
                raise KeyError
            assert in_force() == (None, "")

    def test_nothing_is_in_force_outside(self):
        before = REGISTRY.get_sample_value("saas_context_missing_total")
        with pytest.raises(NoOrganizationContext):
            current_organization_id()
        assert REGISTRY.get_sample_value("saas_context_missing_total") == before + 1

    def test_another_thread_is_outside(self, alice):
        seen = []

        def look():
            seen.extend([organization_in_force(), User.objects.count()])
            connections.close_all()

        with org_context(alice.organization_id):
            assert User.objects.count() == 1
            thread = threading.Thread(target=look)
            thread.start()
            thread.join()
        assert seen == [None, 0]

    def test_a_stream_has_a_context_of_its_own(self, alice):
        chunks = stream_in_context(alice.organization_id, lambda: User.objects.values_list("name", flat=True))
        assert not connection.in_atomic_block
        assert list(chunks) == ["Alice"]
        assert in_force() == (None, "")

    def test_it_works_with_djangos_pool(self, alice):
        pooled = connections.create_connection("default")
        pooled.settings_dict = {
            **pooled.settings_dict,
            "CONN_MAX_AGE": 0,
            "OPTIONS": {**pooled.settings_dict["OPTIONS"], "pool": {"min_size": 1, "max_size": 1}},
        }
        connections["pooled"] = pooled
        try:
            with org_context(alice.organization_id, using="pooled"):
                assert User.objects.using("pooled").count() == 1
            pooled.close()
            assert User.objects.using("pooled").count() == 0
        finally:
            pooled.close()
            pooled.close_pool()
            del connections["pooled"]


@one_row
def user_named(*, name) -> QuerySet[User]:
    return User.objects.filter(name=name)


class TestFindInContext:
    def test_it_finds_what_is_the_organizations_and_leaves_no_context(self, alice, charlie):
        for _ in range(10):
            assert find_in_context(alice.organization_id, user_named, name="Alice") == alice.user
            assert organization_in_force() is None
            assert in_force() == (None, "")
            assert find_in_context(charlie.organization_id, user_named, name="Alice") is None
            assert user_named(name="Alice") is None

    def test_inside_the_organizations_context_it_is_a_query_of_it(self, alice):
        with org_context(alice.organization_id):
            User.objects.update(name="Changed")
            assert find_in_context(alice.organization_id, user_named, name="Changed") == alice.user
            assert in_force()[0] == alice.organization_id

    def test_inside_another_organizations_it_is_refused(self, alice, charlie):
        with org_context(alice.organization_id), pytest.raises(OrganizationContextConflict):
            find_in_context(charlie.organization_id, user_named, name="Charlie")

    def test_inside_a_plain_transaction_the_context_is_taken_back(self, alice):
        with transaction.atomic():
            assert find_in_context(alice.organization_id, user_named, name="Alice") == alice.user
            assert in_force() == (None, "")

    def test_a_planted_statement_never_runs(self, alice):
        for _ in range(10):
            find_in_context(alice.organization_id, user_named, name="Alice")
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT name FROM pg_prepared_statements WHERE statement LIKE '%FROM \"accounts_user\"%'"
            )
            [(name,)] = cursor.fetchall()
            cursor.execute(f"DEALLOCATE {name}; PREPARE {name}(text) AS SELECT pg_notify('seen', $1)")
        with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as other:
            other.execute("LISTEN seen")
            with pytest.raises(PlantedStatement):
                find_in_context(alice.organization_id, user_named, name="Alice")
            other.execute("NOTIFY seen, 'the last one'")
            [notice] = other.notifies(timeout=10, stop_after=1)
        assert notice.payload == "the last one"
        assert find_in_context(alice.organization_id, user_named, name="Alice") == alice.user

    def test_nor_in_a_transaction(self, alice):
        with connection.cursor() as cursor:
            cursor.execute("PREPARE planted AS SELECT 1")
        with pytest.raises(PlantedStatement), org_context(alice.organization_id):
            pytest.fail("the context was opened")
        with org_context(alice.organization_id):
            assert User.objects.get() == alice.user

    def test_a_forged_context_is_refused(self, alice, settings):
        settings.TENANCY_CONTEXT_KEYS = parse_context_keys(["ab" * 32])
        with pytest.raises(DatabaseError):
            find_in_context(alice.organization_id, user_named, name="Alice")


class TestRotation:
    def test_two_keys_are_accepted_and_a_removed_one_is_not(self, alice, settings):
        old = settings.TENANCY_CONTEXT_KEYS[0]
        [new] = parse_context_keys(["ab" * 32])
        try:
            settings.TENANCY_CONTEXT_KEYS = [old, new]
            install_context_keys()
            for key in (old, new):
                settings.TENANCY_CONTEXT_KEYS = [key]
                with org_context(alice.organization_id):
                    assert User.objects.get() == alice.user
            settings.TENANCY_CONTEXT_KEYS = [new]
            install_context_keys()
            settings.TENANCY_CONTEXT_KEYS = [old]
            with pytest.raises(Exception, match="bad signature"), org_context(alice.organization_id):
                User.objects.get()
        finally:
            settings.TENANCY_CONTEXT_KEYS = [old]
            install_context_keys()


def test_an_expired_context_is_refused(alice):
    with pytest.raises(Exception, match="expired"), org_context(alice.organization_id, seconds=-10):
        User.objects.exists()


def test_an_organization_that_does_not_exist_has_no_rows(alice):
    with org_context(uuid4()):
        assert not User.objects.exists()
    assert settings.TENANCY_CONTEXT_SECONDS <= 60
