"""What SQL injected into a request of Acme could try against Globex."""

import hashlib
import hmac
import time
from uuid import uuid4

import psycopg
import pytest
from django.conf import settings

from tenancy.context import SET_CONTEXT, org_context, sign_context
from tenancy.jobs import defer
from tests.conftest import manage
from tests.isolation.conftest import enter

COUNT = "SELECT count(*) FROM accounts_user"


@pytest.fixture
def inside(alice, charlie, sql):
    """A transaction in Acme's context that does see Acme's rows."""
    with sql.transaction(force_rollback=True):
        enter(sql, alice.organization_id)
        assert sql.execute(COUNT).fetchone() == (1,)
        yield sql


def refused(connection, statement, parameters=None, error=psycopg.errors.InsufficientPrivilege):
    with pytest.raises(error), connection.transaction():
        connection.execute(statement, parameters)


class TestContext:
    def test_another_id_alone_is_refused(self, inside, charlie):
        inside.execute("SELECT set_config('app.current_org_id', %s, true)", [str(charlie.organization_id)])
        refused(inside, COUNT)

    def test_a_proof_signed_with_another_key_is_refused(self, inside, charlie):
        expires, key_id = 4_000_000_000, settings.TENANCY_CONTEXT_KEYS[0].id
        message = f"{charlie.organization_id}:{expires}".encode()
        signature = hmac.new(b"guess" * 8, message, hashlib.sha256).hexdigest()
        for proof in (
            f"{expires}:{key_id}:{signature}",
            f"{expires}:{key_id}:",
            "",
            "::",
            f"{expires}:none:{signature}",
        ):
            inside.execute(SET_CONTEXT, ["org", str(charlie.organization_id), proof])
            refused(inside, COUNT)

    def test_an_expired_proof_is_refused(self, inside, alice):
        proof = sign_context(alice.organization_id, expires_at=int(time.time()) - 1)
        inside.execute(SET_CONTEXT, ["org", str(alice.organization_id), proof])
        refused(inside, COUNT)

    def test_a_later_expiry_needs_a_new_signature(self, inside, alice):
        proof = sign_context(alice.organization_id, expires_at=int(time.time()) + 60)
        _, rest = proof.split(":", 1)
        inside.execute(SET_CONTEXT, ["org", str(alice.organization_id), f"4000000000:{rest}"])
        refused(inside, COUNT)

    def test_the_keys_cannot_be_read(self, inside):
        refused(inside, "SELECT * FROM tenancy.context_key")
        refused(inside, "UPDATE tenancy.context_key SET id = id")

    def test_the_function_cannot_be_replaced(self, inside):
        refused(
            inside,
            "CREATE OR REPLACE FUNCTION tenancy.current_org() RETURNS uuid LANGUAGE sql AS 'SELECT NULL::uuid'",
        )


class TestRoles:
    @pytest.mark.parametrize("role", ["saas_owner", "saas_worker", "saas_support", "saas_lookup", "postgres"])
    def test_no_other_role_can_be_taken(self, inside, role):
        refused(inside, f"SET ROLE {role}", error=psycopg.Error)
        refused(inside, f"SET SESSION AUTHORIZATION {role}", error=psycopg.Error)

    def test_reset_role_changes_nothing(self, inside):
        inside.execute("RESET ROLE")
        assert inside.execute(COUNT).fetchone() == (1,)

    def test_row_security_cannot_be_switched_off(self, inside):
        inside.execute("SET LOCAL row_security = off")
        refused(inside, COUNT)


class TestPlanting:
    def test_a_temporary_table_is_refused(self, inside):
        refused(inside, "CREATE TEMP TABLE accounts_user (id uuid)")

    def test_nothing_can_be_made_in_any_schema(self, inside):
        for schema in ("public", "tenancy"):
            refused(inside, f"CREATE TABLE {schema}.planted (id uuid)")
            refused(inside, f"CREATE FUNCTION {schema}.planted() RETURNS int LANGUAGE sql AS 'SELECT 1'")


class TestActivity:
    def test_no_proof_and_no_literal_shows(self, alice, charlie, sql):
        with org_context(charlie.organization_id):
            from accounts.models import User

            assert User.objects.filter(email_key="charlie@globex.example").exists()
            shown = " ".join(row[0] or "" for row in sql.execute("SELECT query FROM pg_stat_activity"))
        assert "accounts_user" in shown
        assert "charlie@globex.example" not in shown
        assert str(charlie.organization_id) not in shown


class TestQueue:
    @pytest.mark.parametrize(
        "table",
        [
            "procrastinate_jobs",
            "procrastinate_events",
            "procrastinate_workers",
            "procrastinate_periodic_defers",
        ],
    )
    def test_its_tables_cannot_be_read_or_written(self, inside, table):
        refused(inside, f"SELECT * FROM {table}")
        refused(inside, f"DELETE FROM {table}")

    def test_its_functions_cannot_be_called(self, inside):
        refused(inside, "SELECT procrastinate_defer_jobs_v1(NULL)")
        refused(inside, "SELECT procrastinate_fetch_job_v2(NULL, 1)")

    def test_a_job_carries_the_organization_in_force(self, alice, charlie, owner_connection):
        with org_context(alice.organization_id):
            job = defer("blacklist_sessions", sessions={}, lock="mine")
        row = owner_connection.execute(
            "SELECT organization_id, lock FROM procrastinate_jobs WHERE id = %s", [job]
        ).fetchone()
        assert row == (alice.organization_id, f"{alice.organization_id}:mine")

    def test_a_job_without_a_context_is_refused(self, sql):
        refused(sql, "SELECT tenancy.defer_job('default', 'send_mail', 0, NULL, NULL, '{}', NULL)")


class TestInference:
    def test_only_the_documented_constraints_tell_of_others(self, owner_connection):
        rows = owner_connection.execute(
            "SELECT c.relname, i.relname, (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a "
            "WHERE a.attrelid = x.indexrelid) FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid "
            "JOIN pg_class c ON c.oid = x.indrelid WHERE x.indisunique AND c.relrowsecurity "
            "AND c.relname NOT LIKE 'procrastinate%'"
        ).fetchall()
        global_keys = {
            (table, tuple(columns)) for table, _, columns in rows if "organization_id" not in columns
        }
        assert global_keys == {
            # Random, and made by the platform.
            *((table, ("id",)) for table, *_ in rows),
            ("accounts_user", ("email_key",)),
            ("tenancy_organization", ("slug",)),
            ("billing_customer", ("stripe_id",)),
            ("billing_subscription", ("stripe_id",)),
            ("billing_stripeevent", ("stripe_id",)),
        }

    def test_an_unknown_organization_looks_like_no_organization(self, sql):
        with sql.transaction():
            enter(sql, uuid4())
            assert sql.execute(COUNT).fetchone() == (0,)


class TestServer:
    def test_large_objects_are_refused(self, inside):
        refused(inside, "SELECT lo_from_bytea(0, 'abc')")
        refused(inside, "SELECT lo_create(0)")

    def test_other_sessions_cannot_be_ended(self, inside):
        refused(
            inside, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        )


class TestBlacklistJob:
    def test_it_cannot_end_anothers_session(self, alice, charlie):
        assert charlie.api.get("/users/me").status_code == 200
        with org_context(alice.organization_id):
            defer("blacklist_sessions", sessions={str(charlie.user.id): [charlie.session_id]})
        manage("worker", "--once")
        assert charlie.api.get("/users/me").status_code == 200
