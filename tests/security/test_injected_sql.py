"""SQL injected into a request of Acme, over HTTP on real gunicorn: it reads, writes and leaves behind nothing for Globex."""

import ast
import json
import os
import time
from urllib.parse import urlsplit

import psycopg
import pytest
from django.conf import settings
from django.db import connections
from psycopg import sql as composing

from accounts.models import User
from tenancy.bootstrap import bootstrap
from tenancy.context import SET_CONTEXT, org_context
from tenancy.inspection import inspect_isolation
from tests.conftest import manage, role_passwords
from tests.faults.test_revocation import call
from tests.isolation.test_models import TABLES, make_one_of_each
from tests.project.launching import eventually
from tests.project.serving import running
from tests.security.injecting.statements import CONTEXT, LEFT_BEHIND, READING, WRITING

PROOF_LASTS = 5
PATHS = ("/users/org", "/auth/sessions", "/payments/subscription")
# What nobody but the owner may change: tables, policies, functions, rights, roles and their settings.
CATALOG = """
    SELECT (SELECT json_agg(c ORDER BY c::text) FROM (SELECT oid, relname, relowner, relacl::text, relrowsecurity,
               relforcerowsecurity FROM pg_class WHERE relnamespace::regnamespace::text IN ('public', 'tenancy')) c),
           (SELECT json_agg(p ORDER BY p::text) FROM pg_policies p),
           (SELECT json_agg(p ORDER BY p::text) FROM (SELECT oid, proowner, proacl::text, prosrc FROM pg_proc
               WHERE pronamespace::regnamespace::text IN ('public', 'tenancy')) p),
           (SELECT json_agg(n ORDER BY n::text) FROM (SELECT nspname, nspacl::text FROM pg_namespace
               WHERE nspname NOT LIKE 'pg_toast%%' AND nspname NOT LIKE 'pg_temp%%') n),
           (SELECT json_agg(r ORDER BY r::text) FROM pg_roles r),
           (SELECT json_agg(m ORDER BY m::text) FROM pg_auth_members m),
           (SELECT json_agg(s ORDER BY s::text) FROM pg_db_role_setting s),
           (SELECT count(*) FROM pg_trigger), (SELECT count(*) FROM pg_rewrite), (SELECT count(*) FROM pg_extension)
"""


@pytest.fixture(scope="module")
def web(own_database, tmp_path_factory):
    """One thread, so that Globex's request gets the connection that Acme's had."""
    variables = {
        "DJANGO_SETTINGS_MODULE": "tests.security.injecting.settings",
        "WEB_WORKERS": "1",
        "WEB_THREADS": "1",
        "TENANCY_CONTEXT_SECONDS": str(PROOF_LASTS),
    }
    with running(tmp_path_factory.mktemp("injected") / "log", **variables) as server:
        yield server


@pytest.fixture
def renew(superuser_url, own_database):
    """Whatever was left on the app's connections is gone; the web makes new ones."""

    def end_connections():
        with psycopg.connect(superuser_url, dbname=own_database, autocommit=True) as superuser:
            superuser.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE usename = 'saas_app' AND datname = current_database()"
            )
        connections.close_all()

    yield end_connections
    end_connections()


@pytest.fixture
def globex(charlie):
    with org_context(charlie.organization_id):
        make_one_of_each(charlie.user.email)
    return charlie


@pytest.fixture
def inject(web, alice, globex, renew):
    ids = {"globex": globex.organization_id, "charlie": globex.user.id}

    def ask(statement):
        status, answer = call(web, "POST", "/injected", alice.access_token, {"sql": statement.format(**ids)})
        assert status in (200, 409), (statement, answer)
        return status, answer

    assert ask("SELECT email FROM accounts_user") == (200, {"rows": [["alice@acme.example"]]})
    return ask


def secrets_of(globex):
    keys = [key.secret for key in settings.TENANCY_CONTEXT_KEYS]
    pads = [bytes(byte ^ pad for byte in key.ljust(64, b"\0")) for key in keys for pad in (0x36, 0x5C)]
    ids = [globex.organization_id, globex.user.id, globex.session_id]
    return ["globex", "charlie", *map(str, ids), *(secret.hex()[:32] for secret in keys + pads)]


def assert_silent(statement, answer, secrets):
    """Nothing of the other organization but what the statement says itself."""
    text = json.dumps(answer).lower()
    found = [secret for secret in secrets if secret in text and secret not in statement.lower()]
    assert not found, (statement, found, text)


def rows_of(owner, organization_id):
    """All that an organization has, and its jobs."""
    found = {}
    for table in [*TABLES, "procrastinate_jobs"]:
        statement = composing.SQL("SELECT json_agg(t ORDER BY t::text) FROM {} t WHERE organization_id = %s")
        found[table] = owner.execute(
            statement.format(composing.Identifier(table)), [organization_id]
        ).fetchone()
    found["organization"] = owner.execute(
        "SELECT to_jsonb(o) FROM tenancy_organization o WHERE id = %s", [organization_id]
    ).fetchone()
    return found


def answers_of(web, person):
    return [call(web, "GET", path, person.access_token) for path in PATHS]


def attack(statements, inject, web, globex, renew, owner):
    """Run each, and hold what it said, what Globex has and what the database is made of against what was before."""
    secrets, catalog = secrets_of(globex), owner.execute(CATALOG).fetchone()
    rows, answers = rows_of(owner, globex.organization_id), answers_of(web, globex)
    assert [status for status, _ in answers] == [200] * len(PATHS)
    for what, statement in statements.items():
        _, said = inject(statement)
        assert_silent(statement.format(globex=globex.organization_id, charlie=globex.user.id), said, secrets)
        yield what
        renew()
        assert rows_of(owner, globex.organization_id) == rows, what
        assert owner.execute(CATALOG).fetchone() == catalog, what
        assert answers_of(web, globex) == answers, what


@pytest.mark.parametrize("statements", [READING, CONTEXT, WRITING], ids=["reading", "the context", "writing"])
def test_nothing_of_another_organization(statements, inject, web, globex, renew, owner_connection):
    assert list(attack(statements, inject, web, globex, renew, owner_connection)) == list(statements)


def test_nothing_is_left_for_the_next_request(inject, web, alice, globex, renew, owner_connection):
    """On the same connection: it works, or fails as a whole; it is never somebody else's."""
    of_acme = ["acme", "alice", str(alice.organization_id), str(alice.user.id), alice.session_id]
    expected = answers_of(web, globex)
    for what in attack(LEFT_BEHIND, inject, web, globex, renew, owner_connection):
        for (status, answer), known in zip(answers_of(web, globex), expected, strict=True):
            assert (status, answer) == known or status in (500, 503), (what, answer)
            assert_silent("", answer, of_acme)


def test_what_others_are_told_is_on_the_disk(inject, web, globex):
    """On the connection on which Acme said that it need not be."""
    asked = ("POST", "/injected", globex.access_token, {"sql": "SHOW synchronous_commit"})
    before = call(web, *asked)
    assert before[0] == 200
    other = "off" if "on" in str(before) else "on"
    inject(f"SET SESSION synchronous_commit = {other}")
    assert call(web, *asked) == before


class TestPlantedStatement:
    """psycopg prepares what it sends often, under a name that SQL can take for a statement of its own."""

    PLANTS = (
        "WITH planted AS (UPDATE accounts_user SET name = 'planted') {statement}",
        "WITH planted AS (UPDATE accounts_user SET role = 'member', email = 'planted@acme.example') {statement}",
    )

    @pytest.mark.parametrize("plant", PLANTS)
    def test_it_never_runs_for_somebody_else(self, inject, web, globex, owner_connection, plant):
        for _ in range(8):
            expected = answers_of(web, globex)
        _, prepared = inject("SELECT name, statement, parameter_types FROM pg_prepared_statements")
        assert len(prepared["rows"]) >= 2
        before = rows_of(owner_connection, globex.organization_id)
        planted = [
            self.replace(name, plant.format(statement=text), ast.literal_eval(types))
            for name, text, types in prepared["rows"]
            if text.startswith("SELECT")
        ]
        status, answer = inject("; ".join(planted).replace("{", "{{").replace("}", "}}"))
        assert status == 200, answer
        status, answer = answers_of(web, globex)[0]
        assert rows_of(owner_connection, globex.organization_id) == before
        assert (status, answer.get("code")) == (503, "unavailable")
        assert "prepared by SQL" in web.log.read_text()
        # The connection is a new one.
        assert answers_of(web, globex) == expected

    def replace(self, name, text, types):
        parameters = f"({', '.join(types)})" if types else ""
        return f'DEALLOCATE "{name}"; PREPARE "{name}"{parameters} AS {text}'


class TestReplay:
    """A context's proof is good for its own organization, for some seconds, and for nothing else."""

    @pytest.fixture
    def proof(self, inject):
        _, answer = inject(
            "SELECT current_setting('app.current_org_id'), current_setting('app.current_org_proof')"
        )
        return answer["rows"][0]

    def emails(self, *context):
        with psycopg.connect(os.environ["DATABASE_URL"]) as elsewhere:
            elsewhere.execute(SET_CONTEXT, ("org", *context))
            return elsewhere.execute("SELECT email FROM accounts_user").fetchall()

    def test_elsewhere_it_shows_what_it_did(self, proof):
        assert self.emails(*proof) == [("alice@acme.example",)]

    def test_it_runs_out(self, proof):
        time.sleep(PROOF_LASTS + 2)
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="expired"):
            self.emails(*proof)

    def test_it_opens_no_other(self, proof, globex):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="signature"):
            self.emails(str(globex.organization_id), proof[1])


class TestHarmToEverybody:
    """What a role may do to itself. Nobody reads more by it, and an operator puts it right (docs/security.md)."""

    def test_it_may_drop_its_own_policies(self, inject, web, globex, renew, owner_connection):
        expected, rows = answers_of(web, globex), rows_of(owner_connection, globex.organization_id)
        # Refused while other tests change what the role has in their databases: that is in one catalogue for all.
        assert eventually(lambda: inject("DROP OWNED BY saas_app")[0] == 200)
        try:
            renew()
            with org_context(globex.organization_id):
                assert not User.objects.exists()
            assert {finding.code for finding in inspect_isolation()} == {"policy_missing"}
        finally:
            manage("check_isolation", "--restore-policies")
        assert inspect_isolation() == []
        assert rows_of(owner_connection, globex.organization_id) == rows
        assert answers_of(web, globex) == expected

    def test_it_may_change_its_own_settings(self, inject, web, globex, renew, superuser_url, own_database):
        expected = answers_of(web, globex)
        # For every database it could do so too, and those of other tests are beside this one.
        inject(f"ALTER ROLE saas_app IN DATABASE {own_database} SET search_path = pg_catalog")
        try:
            renew()
            assert {status for status, _ in answers_of(web, globex)} <= {401, 500, 503}
        finally:
            name = urlsplit(os.environ["DATABASE_URL"]).path.strip("/")
            bootstrap(superuser_url, database=name, passwords=role_passwords())
        renew()
        assert answers_of(web, globex) == expected
