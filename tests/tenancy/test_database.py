import os
from uuid import uuid4

import psycopg
import pytest
from django.db import connections

from tenancy.bootstrap import restore_settings
from tenancy.database import UnsafeDatabaseRole
from tests.conftest import copy_database, manage, with_database


class TestRole:
    @pytest.mark.parametrize("variable", ["OWNER_DATABASE_URL", "BOOTSTRAP_DATABASE_URL"])
    def test_a_role_that_passes_the_fence_is_refused(self, variable, own_database):
        unsafe = connections.create_connection("default")
        url = psycopg.conninfo.conninfo_to_dict(os.environ[variable])
        unsafe.settings_dict = {**unsafe.settings_dict, "USER": url["user"], "PASSWORD": url["password"]}
        with pytest.raises(UnsafeDatabaseRole, match=url["user"]):
            unsafe.ensure_connection()
        assert unsafe.connection is None


TIMEOUTS = "SELECT current_setting('statement_timeout'), current_setting('lock_timeout'), " + (
    "current_setting('idle_in_transaction_session_timeout')"
)


class TestBootstrap:
    @pytest.mark.parametrize("variable", ["DATABASE_URL", "WORKER_DATABASE_URL", "SUPPORT_DATABASE_URL"])
    def test_a_runtime_role_waits_for_nothing_endlessly(self, variable, own_database):
        with psycopg.connect(os.environ[variable]) as connection:
            assert connection.execute(TIMEOUTS).fetchone() == ("15s", "5s", "30s")

    def test_it_takes_a_roles_other_settings_back(self, own_database, superuser_url):
        settings = "SELECT setdatabase, setconfig FROM pg_db_role_setting WHERE setrole = 'saas_app'::regrole"
        with psycopg.connect(with_database(superuser_url, own_database)) as superuser:
            before = superuser.execute(settings).fetchall()
            assert len(before) == 1
            superuser.execute("ALTER ROLE saas_app SET statement_timeout = 0")
            superuser.execute(f"ALTER ROLE saas_app IN DATABASE {own_database} SET row_security = off")
            restore_settings(superuser, "saas_app")
            assert superuser.execute(settings).fetchall() == before
            # Roles belong to the whole server, whose other databases are tested meanwhile.
            superuser.rollback()

    def test_it_takes_settings_back_at_each_run(self, own_database, superuser_url):
        with psycopg.connect(with_database(superuser_url, own_database), autocommit=True) as superuser:
            superuser.execute(f"ALTER ROLE saas_app IN DATABASE {own_database} SET row_security = off")
            manage("bootstrap_database")
            here = (
                "SELECT FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase WHERE datname = %s"
            )
            assert superuser.execute(here, [own_database]).fetchall() == []

    def test_running_it_again_changes_nothing(self, own_database):
        done = manage("bootstrap_database")
        assert "none, all were there" in done.stdout
        assert "was there" in done.stdout

    def test_it_refuses_a_role_without_the_right(self, own_database):
        done = manage("bootstrap_database", check=False, BOOTSTRAP_DATABASE_URL=os.environ["DATABASE_URL"])
        assert done.returncode == 1
        assert "superuser" in done.stderr


class TestMigrate:
    def test_it_refuses_a_role_that_the_fence_holds(self, own_database):
        done = manage("migrate", check=False, OWNER_DATABASE_URL=os.environ["DATABASE_URL"])
        assert done.returncode == 1
        assert "lacks BYPASSRLS" in done.stderr


ROWS = """
    INSERT INTO tenancy_organization (id, slug, name, plan, access, created_at)
        VALUES (%(acme)s, 'acme', 'Acme', 'free', 'full', now()), (%(globex)s, 'globex', 'Globex', 'free', 'full', now());
    INSERT INTO accounts_user (id, organization_id, email, password, name, role, locale, timezone, is_staff, created_at,
        updated_at)
        VALUES (%(user)s, %(globex)s, 'charlie@globex.example', '!', '', 'owner', 'en', 'UTC', false, now(), now());
    INSERT INTO accounts_session (id, organization_id, user_id, created_at, last_seen_at, expires_at, user_agent,
        refresh_generation, recent_rotations, revoke_reason)
        VALUES (gen_random_uuid(), %(acme)s, %(user)s, now(), now(), now(), '', 1, '[]', '')
"""


def test_a_composite_key_over_a_violating_row_fails(own_database, superuser_url):
    name = f"{own_database}_violated"
    copy_database(superuser_url, name)
    key = "accounts_session_user_in_organization"
    url = with_database(os.environ["OWNER_DATABASE_URL"], name)
    with psycopg.connect(url, autocommit=True, cursor_factory=psycopg.ClientCursor) as owner:
        owner.execute(f"ALTER TABLE accounts_session DROP CONSTRAINT {key}")
        owner.execute(ROWS, {name: uuid4() for name in ("acme", "globex", "user")})
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            owner.execute(
                f"ALTER TABLE accounts_session ADD CONSTRAINT {key} FOREIGN KEY (organization_id, user_id) "
                "REFERENCES accounts_user (organization_id, id)"
            )
