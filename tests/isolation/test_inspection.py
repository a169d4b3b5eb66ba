"""Each hole, made on purpose in a copy of the database, is found."""

import json
import os

import psycopg
import pytest

from tenancy.inspection import _roles
from tests.conftest import copy_database, manage, with_database

# What a superuser's mistake leaves behind.
BY_SUPERUSER = {
    "foreign_key_violated": "SET session_replication_role = replica; INSERT INTO accounts_session "
    "(id, organization_id, user_id, created_at, last_seen_at, expires_at, user_agent, refresh_generation, "
    "recent_rotations, revoke_reason) SELECT gen_random_uuid(), id, gen_random_uuid(), now(), now(), now(), '', 1, "
    "'[]', '' FROM tenancy_organization",
}
ROLE_HOLES = {
    "role_bypasses": "ALTER ROLE saas_support BYPASSRLS",
    "role_owns": "ALTER TABLE accounts_session OWNER TO saas_support",
    "role_is_member": "GRANT saas_owner TO saas_support",
}
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
    "foreign_key_not_valid": "ALTER TABLE accounts_session ADD CONSTRAINT late FOREIGN KEY (organization_id, user_id) "
    "REFERENCES accounts_user (organization_id, id) NOT VALID",
    "view_not_invoker": "CREATE VIEW everybody AS SELECT * FROM accounts_user",
    "grant_too_wide": "GRANT SELECT ON procrastinate_jobs TO saas_app",
    "temp_allowed": "GRANT TEMP ON DATABASE {database} TO PUBLIC",
    "create_allowed": "GRANT CREATE ON SCHEMA public TO saas_app",
    "function_public": "GRANT EXECUTE ON FUNCTION tenancy.organization_ids(uuid, int) TO PUBLIC",
    "function_search_path": "ALTER FUNCTION tenancy.current_org() RESET search_path",
}


@pytest.fixture(scope="module")
def scratch(own_database, superuser_url):
    name = f"{own_database}_holes"
    copy_database(superuser_url, name)
    return name


def test_a_sound_database_has_none(scratch):
    assert "The fence is whole." in manage("check_isolation", database=scratch).stdout


@pytest.mark.parametrize("hole", BY_SUPERUSER)
def test_a_superusers_hole_is_found(hole, own_database, superuser_url):
    name = f"{own_database}_hole"
    copy_database(superuser_url, name)
    with psycopg.connect(with_database(superuser_url, name), autocommit=True) as superuser:
        superuser.execute(BY_SUPERUSER[hole])
    assert hole in codes_found(name)


@pytest.mark.parametrize("hole", ROLE_HOLES)
def test_a_role_that_passes_the_fence_is_found(hole, scratch, superuser_url):
    with psycopg.connect(with_database(superuser_url, scratch)) as superuser, superuser.cursor() as cursor:
        assert list(_roles(cursor)) == []
        cursor.execute(ROLE_HOLES[hole])
        # Roles belong to the whole server: looked at from inside, and rolled back.
        assert hole in {finding.code for finding in _roles(cursor)}
        superuser.rollback()


@pytest.mark.parametrize("hole", HOLES)
def test_a_hole_is_found(hole, own_database, superuser_url):
    name = f"{own_database}_hole"
    copy_database(superuser_url, name)
    with psycopg.connect(with_database(os.environ["OWNER_DATABASE_URL"], name), autocommit=True) as owner:
        owner.execute(HOLES[hole].format(database=name))
    assert hole.split()[0] in codes_found(name)


def codes_found(name):
    done = manage("check_isolation", "--json", database=name, check=False)
    assert done.returncode == 1, done.stderr
    return {finding["code"] for finding in json.loads(done.stdout)}
