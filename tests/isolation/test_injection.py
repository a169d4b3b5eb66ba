"""What SQL injected into a request of Acme could try against Globex."""

import hashlib
import hmac
import time
from uuid import uuid4

import psycopg
import pytest
from django.conf import settings
from psycopg import sql as composing

from tenancy.context import SET_CONTEXT, org_context, sign_context
from tenancy.jobs import defer
from tests.conftest import manage
from tests.isolation.conftest import enter
from tests.isolation.test_models import TABLES, make_one_of_each

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


class TestMovingSettings:
    """PostgreSQL takes a setting for the same throughout a statement, and a statement can change it at each row."""

    MOVE = "set_config('my.org', '{globex}', true)"
    STATEMENTS = (
        "SELECT email, {move} FROM accounts_user WHERE organization_id = current_setting('my.org')::uuid",
        "SELECT email, {move} FROM accounts_user WHERE current_setting('my.org')::uuid = organization_id",
        "SELECT u.email, {move} FROM (SELECT 1) x LEFT JOIN accounts_user u "
        "ON u.organization_id = current_setting('my.org')::uuid",
        "SELECT u.email, {move} FROM accounts_session s JOIN accounts_user u USING (organization_id) "
        "WHERE s.organization_id = current_setting('my.org')::uuid",
        "SELECT slug, {move} FROM tenancy_organization WHERE id = current_setting('my.org')::uuid",
        "SELECT action, {move} FROM tenancy_supportaudit WHERE organization_id = current_setting('my.org')::uuid",
        "UPDATE accounts_user SET name = {move} WHERE organization_id = current_setting('my.org')::uuid RETURNING email",
        "DELETE FROM accounts_user WHERE organization_id = current_setting('my.org')::uuid RETURNING email, {move}",
    )

    @pytest.mark.parametrize("statement", STATEMENTS)
    def test_a_row_of_another_never_shows(self, statement, inside, alice, charlie, owner_connection):
        self._support_opens((alice, charlie), owner_connection)
        for way in ("indexscan", "indexonlyscan", "bitmapscan"):
            inside.execute("SELECT set_config(%s, 'off', true)", [f"enable_{way}"])
        inside.execute("SELECT set_config('my.org', %s, true)", [str(alice.organization_id)])
        move = self.MOVE.format(globex=charlie.organization_id)
        shown = inside.execute(statement.format(move=move)).fetchall()
        assert [row[0] for row in shown] in (["alice@acme.example"], ["acme"], ["open_access"])

    def _support_opens(self, people, owner):
        for person in people:
            owner.execute(
                "INSERT INTO tenancy_supportaudit VALUES (gen_random_uuid(), now(), gen_random_uuid(), 'sam', "
                "'open_access', %s, '', '', '{}', 1)",
                [person.organization_id],
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


class TestExplanations:
    """EXPLAIN tells how many rows an index found before the fence removed them, and what statistics make one expect."""

    PEOPLE = (
        "INSERT INTO accounts_user (id, organization_id, email, name, role, locale, timezone, is_staff, created_at, "
        "updated_at, password) SELECT gen_random_uuid(), organization_id, 'charlie-' || n || '@globex.example', "
        "'Charlie ' || n, role, locale, timezone, is_staff, created_at, updated_at, password "
        "FROM accounts_user, generate_series(1, 300) n WHERE organization_id = %s"
    )
    INDEXED = (
        "SELECT c.relname, pg_get_indexdef(x.indexrelid, n, true), a.atttypid::regtype::text FROM pg_index x "
        "JOIN pg_class c ON c.oid = x.indrelid, generate_series(1, x.indnkeyatts) n "
        "JOIN pg_attribute a ON a.attnum = n WHERE a.attrelid = x.indexrelid AND c.relname = ANY (%s)"
    )
    COLUMNS = (
        "SELECT table_name, column_name, data_type FROM information_schema.columns "
        "WHERE table_schema = 'public' AND table_name = ANY (%s)"
    )

    @pytest.fixture
    def texts(self, alice, charlie, owner_connection):
        """(table, column or expression, what it is in a row of Globex), of every text that has an index or not."""
        for person in (alice, charlie):
            with org_context(person.organization_id):
                make_one_of_each(person.user.email)
        owner_connection.execute(self.PEOPLE, [charlie.organization_id])
        owner_connection.execute("ANALYZE")
        tables = [*TABLES, "tenancy_organization"]
        rows = [
            row for query in (self.COLUMNS, self.INDEXED) for row in owner_connection.execute(query, [tables])
        ]
        found = []
        for table, expression, _ in sorted({row for row in rows if row[2] in ("text", "character varying")}):
            key = "id" if table == "tenancy_organization" else "organization_id"
            value = owner_connection.execute(
                f"SELECT max({expression}) FROM {table} WHERE {key} = %s", [charlie.organization_id]
            ).fetchone()[0]
            if value:
                found.append((table, expression, value))
        assert {("accounts_user", "email_key"), ("tenancy_organization", "slug")} <= {
            text[:2] for text in found
        }
        return found

    @staticmethod
    def told(connection, table, condition, *guess):
        """All that a plan and the counters say of a guess, but for the guess itself."""
        written = composing.SQL(condition).format(*map(composing.Literal, guess))
        query = composing.SQL(
            "EXPLAIN (ANALYZE, TIMING OFF, BUFFERS OFF, SUMMARY OFF) SELECT 1 FROM {} WHERE {}"
        )
        counters = (
            "SELECT seq_tup_read, idx_scan, idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = %s"
        )
        with connection.transaction(force_rollback=True):
            before = connection.execute(counters, [table]).fetchone()
            plan = connection.execute(query.format(composing.Identifier(table), written)).fetchall()
            after = connection.execute(counters, [table]).fetchone()
        lines = [line.replace(f"'{guess[0]}'", "?") for (line,) in plan]
        return lines, [end - start for start, end in zip(before, after, strict=True)]

    @pytest.mark.parametrize("seqscan", ["on", "off"])
    def test_a_good_guess_looks_like_a_bad_one(self, texts, sql, seqscan):
        """Seen from an organization without a row, so that all that differs is about others."""
        with sql.transaction(force_rollback=True):
            enter(sql, uuid4())
            sql.execute("SELECT set_config('enable_seqscan', %s, true)", [seqscan])
            for table, expression, value in texts:
                for operator in ("=", ">=", "<", "LIKE"):
                    for guesses in ((value, f"{value}~"), (value[:1], "zzz")):
                        condition = f"{expression} {operator} {{}}"
                        good, bad = (self.told(sql, table, condition, guess) for guess in guesses)
                        assert good == bad, (table, condition, guesses)


class TestInference:
    def test_only_the_documented_indexes_tell_of_others(self, owner_connection):
        rows = owner_connection.execute(
            "SELECT c.relname, pg_get_indexdef(x.indexrelid, 1, true) FROM pg_index x "
            "JOIN pg_class c ON c.oid = x.indrelid WHERE c.relrowsecurity "
            "AND c.relname NOT LIKE 'procrastinate%' "
            "AND pg_get_indexdef(x.indexrelid, 1, true) <> 'organization_id'"
        ).fetchall()
        assert set(rows) == {
            # Random, and made by the platform.
            *((table, "id") for table, _ in rows),
            ("accounts_user", "lower(email::text)"),
            ("tenancy_organization", "reverse(slug::text)"),
            ("billing_customer", "reverse(stripe_id::text)"),
            ("billing_subscription", "reverse(stripe_id::text)"),
            ("billing_stripeevent", "reverse(stripe_id::text)"),
            # When something happened, and a random id.
            ("billing_stripeevent", "received_at"),
            ("tenancy_supportaudit", "at"),
            ("tenancy_supportaudit", "staff_id"),
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
