"""Each hole, made on purpose in a copy of the database, is found."""

import json
import os
from urllib.parse import urlsplit

import psycopg
import pytest
from django.db import connections, transaction

from tenancy.inspection import inspect_isolation
from tests.conftest import copy_database, manage, with_database

COPY = "CREATE TABLE {table} AS SELECT * FROM accounts_user; GRANT SELECT ON {table} TO saas_app"
PLAIN_KEY = (
    "ALTER TABLE accounts_session DROP CONSTRAINT accounts_session_user_in_organization, "
    "ADD CONSTRAINT accounts_session_user_in_organization FOREIGN KEY "
)
HOLES = {
    "policy_missing": "DROP POLICY accounts_user_fence ON accounts_user",
    "policy_altered": "ALTER POLICY accounts_user_fence ON accounts_user USING (true)",
    "policy_altered (another role's rows)": "ALTER POLICY session_prunable_seen ON accounts_session USING (true)",
    "policy_altered (writes)": "ALTER POLICY accounts_user_fence ON accounts_user WITH CHECK (true)",
    "policy_altered (the queue)": "ALTER POLICY queue_of_worker ON procrastinate_jobs TO PUBLIC",
    "policy_unknown": "CREATE POLICY more ON accounts_session TO saas_app USING (true)",
    "rls_not_forced": "ALTER TABLE accounts_user NO FORCE ROW LEVEL SECURITY",
    "rls_disabled": "ALTER TABLE accounts_session DISABLE ROW LEVEL SECURITY",
    "foreign_key_missing": "ALTER TABLE accounts_session DROP CONSTRAINT accounts_session_user_in_organization",
    "foreign_key_plain": "ALTER TABLE accounts_session ADD CONSTRAINT plain FOREIGN KEY (user_id) "
    "REFERENCES accounts_user (id)",
    "foreign_key_altered": f"{PLAIN_KEY} (user_id) REFERENCES accounts_user (id)",
    "foreign_key_altered (its target)": f"{PLAIN_KEY} (organization_id) REFERENCES tenancy_organization (id)",
    "foreign_key_missing (its name on another table)": "ALTER TABLE accounts_session "
    "DROP CONSTRAINT accounts_session_user_in_organization; ALTER TABLE tenancy_mail "
    "ADD CONSTRAINT accounts_session_user_in_organization FOREIGN KEY (organization_id, user_id) "
    "REFERENCES accounts_user (organization_id, id)",
    "foreign_key_not_valid": "ALTER TABLE accounts_session ADD CONSTRAINT late FOREIGN KEY (organization_id, user_id) "
    "REFERENCES accounts_user (organization_id, id) NOT VALID",
    "view_not_invoker": "CREATE VIEW everybody AS SELECT * FROM accounts_user",
    "statistics_kept": "ALTER TABLE accounts_user ALTER COLUMN name SET STATISTICS -1",
    "statistics_kept (an index)": "CREATE INDEX by_name ON accounts_user (organization_id, lower(name))",
    "rule_unknown": "CREATE RULE also AS ON DELETE TO accounts_session DO ALSO DELETE FROM accounts_user",
    "trigger_unknown": "CREATE FUNCTION public.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; "
    "CREATE TRIGGER nothing BEFORE DELETE ON accounts_session FOR EACH ROW EXECUTE FUNCTION public.nothing()",
    "grant_too_wide": "GRANT SELECT ON procrastinate_jobs TO saas_app",
    "grant_too_wide (a column)": "GRANT SELECT (args) ON procrastinate_jobs TO saas_app",
    "grant_too_wide (the keys)": "GRANT SELECT ON tenancy.context_key TO saas_app",
    "grant_too_wide (handed on)": "GRANT SELECT ON accounts_user TO saas_app WITH GRANT OPTION",
    "grant_too_wide (a function)": "GRANT EXECUTE ON FUNCTION tenancy.organization_ids(uuid, int) TO saas_app",
    "grant_too_wide (for everybody)": "GRANT EXECUTE ON FUNCTION tenancy.organization_ids(uuid, int) TO PUBLIC",
    "temp_allowed": "GRANT TEMP ON DATABASE {database} TO PUBLIC",
    "create_allowed": "GRANT CREATE ON SCHEMA public TO saas_app",
    "create_allowed (schemas)": "GRANT CREATE ON DATABASE {database} TO saas_app",
    "function_missing": "DROP FUNCTION tenancy.organization_ids",
    "function_altered (its search path)": "ALTER FUNCTION tenancy.current_org() RESET search_path",
    "function_altered (its rights)": "ALTER FUNCTION tenancy.defer_job SECURITY INVOKER",
    "function_altered (no signature checked)": "CREATE OR REPLACE FUNCTION tenancy.current_org() RETURNS uuid "
    "LANGUAGE sql STABLE SECURITY DEFINER PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp "
    "AS $$ SELECT nullif(current_setting('app.current_org_id', true), '')::uuid $$",
    "function_owner": "ALTER FUNCTION tenancy.organization_for_email(text) OWNER TO saas_owner",
    "function_unknown": "CREATE FUNCTION tenancy.defer_job(task text) RETURNS text LANGUAGE sql AS 'SELECT task'",
    # What a superuser's mistake leaves behind.
    "foreign_key_violated": "SET LOCAL session_replication_role = replica; INSERT INTO accounts_session "
    "(id, organization_id, user_id, created_at, last_seen_at, expires_at, user_agent, refresh_generation, "
    "recent_rotations, revoke_reason) SELECT gen_random_uuid(), id, gen_random_uuid(), now(), now(), now(), '', 1, "
    "'[]', '' FROM tenancy_organization",
    "trigger_disabled": "ALTER TABLE accounts_session DISABLE TRIGGER ALL",
    "grant_too_wide (a copy)": COPY.format(table="copied"),
    "grant_too_wide (a copy elsewhere)": "CREATE SCHEMA kept; GRANT USAGE ON SCHEMA kept TO saas_app; "
    + COPY.format(table="kept.copied"),
    "grant_too_wide (a column of a copy)": "CREATE TABLE copied AS SELECT * FROM accounts_user; "
    "GRANT SELECT (email) ON copied TO saas_app",
    "grant_too_wide (a sequence)": "CREATE SEQUENCE counted; GRANT USAGE ON counted TO PUBLIC",
    "grant_too_wide (a catalog)": "GRANT SELECT ON pg_authid TO saas_worker",
    "grant_too_wide (large objects)": "GRANT EXECUTE ON FUNCTION lo_create(oid) TO saas_app",
    "grant_too_wide (others' sessions)": "GRANT EXECUTE ON FUNCTION pg_terminate_backend(integer, bigint) TO PUBLIC",
    "grant_too_wide (files)": "GRANT EXECUTE ON FUNCTION pg_read_file(text) TO PUBLIC",
    "grant_too_wide (what is to come)": "ALTER DEFAULT PRIVILEGES FOR ROLE saas_owner IN SCHEMA public "
    "GRANT SELECT ON TABLES TO saas_app",
    "function_unknown (for the app role)": "CREATE FUNCTION peek() RETURNS SETOF accounts_user LANGUAGE sql "
    "SECURITY DEFINER AS 'SELECT * FROM public.accounts_user'; REVOKE ALL ON FUNCTION peek() FROM PUBLIC; "
    "GRANT EXECUTE ON FUNCTION peek() TO saas_app",
    "grant_too_wide (a function for everybody)": "CREATE SCHEMA kept; CREATE FUNCTION kept.peek() RETURNS bigint "
    "LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM public.accounts_user'",
    "view_not_invoker (elsewhere)": "CREATE SCHEMA kept; CREATE VIEW kept.everybody AS SELECT * FROM accounts_user",
    "role_bypasses": "ALTER ROLE saas_support BYPASSRLS",
    "role_owns": "ALTER TABLE django_content_type OWNER TO saas_support",
    "role_owns (a schema)": "CREATE SCHEMA kept AUTHORIZATION saas_app",
    "role_owns (a function)": "CREATE FUNCTION public.own() RETURNS int LANGUAGE sql AS 'SELECT 1'; "
    "ALTER FUNCTION public.own() OWNER TO saas_app",
    "role_is_member": "GRANT saas_owner TO saas_support",
    "role_settings": "ALTER ROLE saas_app SET row_security = off",
    "role_settings (here alone)": "ALTER ROLE saas_owner IN DATABASE {database} SET search_path = kept",
    "role_settings (no timeouts)": "ALTER ROLE saas_worker RESET ALL",
    "role_too_strong": "ALTER ROLE saas_app CREATEROLE",
    "role_too_strong (replication)": "ALTER ROLE saas_app REPLICATION",
    "role_too_strong (databases)": "ALTER ROLE saas_worker CREATEDB",
    "role_too_strong (log-in)": "ALTER ROLE saas_lookup LOGIN",
    # With it, keys are not checked.
    "grant_too_wide (a parameter)": "GRANT SET ON PARAMETER session_replication_role TO saas_app",
}


@pytest.fixture(scope="module")
def scratch(own_database, superuser_url):
    name = f"{own_database}_holes"
    copy_database(superuser_url, name)
    return name


@pytest.fixture(scope="module")
def superuser(scratch, superuser_url):
    """An alias for the copy, as a superuser."""
    url = urlsplit(superuser_url)
    connections.settings["superuser"] = {
        **connections.settings["owner"],
        "NAME": scratch,
        "USER": url.username,
        "PASSWORD": url.password,
    }
    yield "superuser"
    connections["superuser"].close()
    del connections["superuser"]
    del connections.settings["superuser"]


def test_a_sound_database_has_none(scratch):
    assert "The fence is whole." in manage("check_isolation", database=scratch).stdout


def test_a_hole_is_reported_by_the_command(own_database, superuser_url):
    name = f"{own_database}_hole"
    copy_database(superuser_url, name)
    with psycopg.connect(with_database(os.environ["OWNER_DATABASE_URL"], name), autocommit=True) as owner:
        owner.execute("DROP POLICY accounts_user_fence ON accounts_user")
    done = manage("check_isolation", "--json", database=name, check=False)
    assert done.returncode == 1, done.stderr
    assert [finding["code"] for finding in json.loads(done.stdout)] == ["policy_missing"]


@pytest.mark.parametrize("hole", HOLES)
def test_a_hole_is_found(hole, scratch, superuser):
    with transaction.atomic(using=superuser), connections[superuser].cursor() as cursor:
        assert inspect_isolation(using=superuser) == []
        # Roles belong to the whole server, so it is looked at from inside, and rolled back.
        cursor.execute(HOLES[hole].format(database=scratch))
        cursor.execute("SET LOCAL ROLE saas_owner")
        found = {finding.code for finding in inspect_isolation(using=superuser)}
        transaction.set_rollback(True, using=superuser)
    assert hole.split(" (")[0] in found
