"""The operations commands, run as an operator runs them."""

import subprocess
import sys
from io import StringIO
from uuid import uuid4

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connections

from accounts.models import Session, User
from tenancy.context import org_context
from tenancy.models import SUPPORT_ORGANIZATION_ID
from tests.accounts.asking import assert_refused, count
from tests.conftest import PASSWORD, Api, manage


def run(*arguments):
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue().strip()


def is_in(person):
    return person.api.get("/users/me").status_code == 200


class TestRevokeTokens:
    def test_of_a_user(self, alice, bob, charlie):
        assert is_in(bob)

        assert run("revoke_tokens", "--user", "BOB@acme.example") == "1 sessions ended"

        assert_refused(bob.api.get("/users/me"), 401, "invalid_token")
        refreshed = Api().post("/auth/refresh", {"refresh_token": bob.refresh_token})
        assert_refused(refreshed, 401, "invalid_refresh_token")
        assert is_in(alice)
        assert is_in(charlie)

    def test_of_an_organization(self, alice, bob, charlie):
        assert run("revoke_tokens", "--organization", str(alice.organization_id)) == "2 sessions ended"

        assert [is_in(person) for person in (alice, bob, charlie)] == [False, False, True]

    def test_of_all(self, alice, bob, charlie):
        assert run("revoke_tokens", "--all") == "3 sessions ended"

        assert [is_in(person) for person in (alice, bob, charlie)] == [False, False, False]
        assert run("revoke_tokens", "--all") == "0 sessions ended"

    def test_a_dry_run_ends_nothing(self, alice, bob, charlie):
        assert run("revoke_tokens", "--all", "--dry-run") == "3 sessions would be ended"
        assert run("revoke_tokens", "--user", "bob@acme.example", "--dry-run") == "1 sessions would be ended"
        assert all(is_in(person) for person in (alice, bob, charlie))

    def test_it_says_that_there_is_no_such_target(self, alice):
        with pytest.raises(CommandError, match="no user nobody@acme"):
            run("revoke_tokens", "--user", "nobody@acme.example")
        with pytest.raises(CommandError, match="no organization"):
            run("revoke_tokens", "--organization", str(uuid4()))

    def test_it_wants_one_target(self, alice):
        with pytest.raises(CommandError):
            run("revoke_tokens")
        with pytest.raises(CommandError):
            run("revoke_tokens", "--all", "--user", "alice@acme.example")
        assert is_in(alice)

    def test_from_a_process_of_its_own(self, alice):
        assert is_in(alice)
        assert manage("revoke_tokens", "--user", "alice@acme.example").stdout == "1 sessions ended\n"
        assert not is_in(alice)


class TestSeedDemo:
    def test_it_makes_an_organization_to_log_in_to(self, anonymous):
        email, _, password = run("seed_demo").split()

        tokens = anonymous.post("/auth/login", {"email": email, "password": password}).json()

        me = Api(tokens["access_token"]).get("/users/me").json()
        assert (me["role"], me["org"]["name"]) == ("owner", "Demo")

    def test_it_may_be_repeated(self, owner_connection):
        assert run("seed_demo") == run("seed_demo")
        assert count(owner_connection, "accounts_user") == 1

    def test_it_works_in_development_only(self, settings, owner_connection):
        settings.IS_DEVELOPMENT = False
        with pytest.raises(CommandError, match="development only"):
            run("seed_demo")
        assert count(owner_connection, "accounts_user") == 0


class TestCreateSupportUser:
    def create(self, email, password=PASSWORD):
        return subprocess.run(
            [sys.executable, "manage.py", "create_support_user", email, "--name", "Sam"],
            input=f"{password}\n",
            cwd=settings.BASE_DIR,
            capture_output=True,
            text=True,
        )

    def test_it_works(self, owner_connection):
        made = self.create("sam@support.example")

        assert (made.returncode, made.stdout) == (0, "sam@support.example is a member of the support staff\n")
        with org_context(SUPPORT_ORGANIZATION_ID):
            sam = User.objects.get()
        assert (sam.is_staff, sam.name) == (True, "Sam")
        assert PASSWORD not in sam.password

    def test_staff_can_not_log_in_here(self, anonymous):
        self.create("sam@support.example")

        log_in = anonymous.post("/auth/login", {"email": "sam@support.example", "password": PASSWORD})

        assert_refused(log_in, 401, "invalid_credentials")

    @pytest.mark.parametrize(
        ("email", "password", "message"),
        [
            ("alice@acme.example", PASSWORD, "exists already"),
            ("Alice@ACME.example", PASSWORD, "exists already"),
            ("no-address", PASSWORD, "email address"),
            ("sam@support.example", "short", "too short"),
            ("sam@support.example", "", "too short"),
            ("sam@support.example", "password123", "too common"),
        ],
    )
    def test_it_refuses(self, alice, owner_connection, email, password, message):
        refused = self.create(email, password)

        assert refused.returncode == 1
        assert message in refused.stderr
        assert "Traceback" not in refused.stderr
        assert count(owner_connection, "accounts_user") == 1


class TestPruneSessions:
    @pytest.fixture
    def old_and_young(self, alice, bob, charlie, owner_connection):
        """Alice's session ended 31 days ago, Charlie's ran out then; Bob's was ended 29 days ago."""
        for column, days, person in (
            ("revoked_at", 31, alice),
            ("expires_at", 31, charlie),
            ("revoked_at", 29, bob),
        ):
            owner_connection.execute(
                f"UPDATE accounts_session SET {column} = now() - make_interval(days => %s) WHERE id = %s",
                [days, person.session_id],
            )

    def test_it_removes_what_ended_30_days_ago_in_every_organization(
        self, old_and_young, bob, owner_connection
    ):
        assert run("prune_sessions", "--dry-run") == "2 sessions would be removed"
        assert count(owner_connection, "accounts_session") == 3

        assert run("prune_sessions") == "2 sessions removed"

        left = owner_connection.execute("SELECT id::text FROM accounts_session").fetchall()
        assert left == [(bob.session_id,)]
        assert run("prune_sessions") == "0 sessions removed"

    def test_its_role_sees_only_those(self, old_and_young):
        with connections["worker"].cursor() as worker:
            worker.execute("SELECT current_user, count(id) FROM accounts_session GROUP BY 1")
            assert worker.fetchall() == [("saas_worker", 2)]
            worker.execute("DELETE FROM accounts_session")
            assert worker.rowcount == 2

    def test_living_sessions_are_out_of_its_reach(self, alice):
        assert run("prune_sessions") == "0 sessions removed"
        with org_context(alice.organization_id):
            assert Session.objects.count() == 1
