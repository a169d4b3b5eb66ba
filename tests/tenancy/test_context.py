"""The context lives as long as its transaction, and no longer."""

import threading
from uuid import uuid4

import pytest
from django.conf import settings
from django.db import connection, connections, transaction
from prometheus_client import REGISTRY

from accounts.models import User
from saas.kit.context_keys import parse_context_keys
from tenancy.context import (
    NoOrganizationContext,
    OrganizationContextConflict,
    current_organization_id,
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


def test_an_expired_context_is_refused(alice, monkeypatch):
    monkeypatch.setattr("tenancy.context.time.time", lambda: 1_000_000_000)
    with pytest.raises(Exception, match="expired"), org_context(alice.organization_id):
        User.objects.exists()


def test_an_organization_that_does_not_exist_has_no_rows(alice):
    with org_context(uuid4()):
        assert not User.objects.exists()
    assert settings.TENANCY_CONTEXT_SECONDS <= 60
