import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from django.conf import settings
from django.db import connections

from accounts.models import Session
from accounts.services.sessions import Presented, presented
from accounts.tokens import verify_access_token, verify_refresh_token
from tenancy.context import org_context
from tenancy.models import Mail
from tests.accounts.asking import assert_field_errors, assert_refused, is_waiting, jobs
from tests.conftest import Api
from tests.project.launching import eventually

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def refresh(token):
    return Api().post("/auth/refresh", {"refresh_token": token})


def successor(token):
    response = refresh(token)
    assert response.status_code == 200, response.content
    return response.json()["refresh_token"]


def generation(token):
    return verify_refresh_token(token).generation


class TestRefresh:
    def test_it_rotates(self, alice):
        response = refresh(alice.refresh_token)

        assert response.status_code == 200
        tokens = response.json()
        assert set(tokens) == {
            "access_token",
            "refresh_token",
            "token_type",
            "expires_in",
            "user_id",
            "org_id",
        }
        assert generation(tokens["refresh_token"]) == generation(alice.refresh_token) + 1
        assert str(verify_access_token(tokens["access_token"]).sid) == alice.session_id
        assert Api(tokens["access_token"]).get("/users/me").status_code == 200
        assert response.headers["Cache-Control"] == "no-store"

    def test_it_leaves_the_old_access_token_alone(self, alice):
        refresh(alice.refresh_token)

        assert alice.api.get("/users/me").status_code == 200

    def test_it_prolongs_the_session(self, alice, fake_clock):
        token = alice.refresh_token
        for _ in range(3):
            fake_clock.advance(days=29)
            token = successor(token)
        fake_clock.advance(days=31)
        assert_refused(refresh(token), 401, "invalid_refresh_token")

    def test_it_does_not_prolong_it_for_ever(self, alice, fake_clock):
        token = alice.refresh_token
        for _ in range(settings.SESSION_DAYS // 10):
            token = refresh(token).json()["refresh_token"]
            fake_clock.advance(days=10)
        fake_clock.advance(days=1)
        assert_refused(refresh(token), 401, "invalid_refresh_token")

    def test_one_that_was_prolonged_beyond_its_end_is_over(self, alice, owner_connection):
        owner_connection.execute("UPDATE accounts_session SET created_at = created_at - interval '91 days'")
        assert_refused(refresh(alice.refresh_token), 401, "invalid_refresh_token")

    def test_the_parent_gets_the_same_generation_for_a_minute(self, alice, fake_clock):
        first = successor(alice.refresh_token)
        fake_clock.advance(seconds=60)

        again = successor(alice.refresh_token)

        assert generation(again) == generation(first) == 2
        assert generation(successor(again)) == 3

    def test_several_tabs_may_present_one_token_within_ten_seconds(self, alice, fake_clock):
        second = successor(alice.refresh_token)
        fake_clock.advance(seconds=5)
        third = successor(second)
        fake_clock.advance(seconds=5)

        assert generation(successor(alice.refresh_token)) == generation(third) == 3


class TestReuse:
    def assert_session_ended(self, person, owner):
        assert_refused(refresh(person.refresh_token), 401, "invalid_refresh_token")
        assert_refused(person.api.get("/users/me"), 401, "invalid_token")
        with org_context(person.organization_id):
            mail = Mail.objects.get(message="accounts/refresh_token_reused")
        assert mail.user_id == person.user.id
        assert str(mail.id) in [arguments["mail_id"] for _, arguments in jobs(owner, "send_mail")]
        reason = owner.execute(
            "SELECT revoke_reason FROM accounts_session WHERE id = %s", [person.session_id]
        ).fetchone()
        assert reason == ("refresh_token_reused",)

    def test_of_the_parent_after_a_minute_ends_the_session(self, alice, fake_clock, owner_connection):
        child = successor(alice.refresh_token)
        fake_clock.advance(seconds=61)

        assert_refused(refresh(alice.refresh_token), 401, "refresh_token_reused")

        self.assert_session_ended(alice, owner_connection)
        assert_refused(refresh(child), 401, "invalid_refresh_token")

    def test_of_a_grandparent_after_ten_seconds_ends_the_session(self, alice, fake_clock, owner_connection):
        child = successor(alice.refresh_token)
        fake_clock.advance(seconds=11)
        successor(child)

        assert_refused(refresh(alice.refresh_token), 401, "refresh_token_reused")

        self.assert_session_ended(alice, owner_connection)

    def test_leaves_the_other_sessions_alone(self, alice, fake_clock):
        other = (
            Api().post("/auth/login", {"email": alice.user.email, "password": "a-long-enough-secret"}).json()
        )
        successor(alice.refresh_token)
        fake_clock.advance(seconds=61)

        assert_refused(refresh(alice.refresh_token), 401, "refresh_token_reused")

        assert Api(other["access_token"]).get("/users/me").status_code == 200
        assert refresh(other["refresh_token"]).status_code == 200


class TestRefusals:
    def test_an_expired_token(self, alice, fake_clock):
        fake_clock.advance(days=30, seconds=11)

        assert_refused(refresh(alice.refresh_token), 401, "invalid_refresh_token")

    def test_a_token_of_a_session_that_was_ended(self, alice):
        alice.api.post("/auth/logout")

        assert_refused(refresh(alice.refresh_token), 401, "invalid_refresh_token")

    def test_a_token_of_somebody_deactivated(self, alice, bob):
        assert alice.api.patch(f"/users/org/{bob.user.id}", {"active": False}).status_code == 200

        assert_refused(refresh(bob.refresh_token), 401, "invalid_refresh_token")

    def test_a_token_of_somebody_removed(self, alice, bob):
        assert alice.api.delete(f"/users/org/{bob.user.id}").status_code == 204

        assert_refused(refresh(bob.refresh_token), 401, "invalid_refresh_token")

    def test_an_access_token(self, alice):
        assert_refused(refresh(alice.access_token), 401, "invalid_refresh_token")

    def test_a_forged_token(self, alice):
        head, body, signature = alice.refresh_token.split(".")
        forged = f"{head}.{body}.{signature[::-1]}"

        assert_refused(refresh(forged), 401, "invalid_refresh_token")

    @pytest.mark.parametrize("token", ["rubbish", "a.b.c", "ü", "x" * 4096])
    def test_no_token(self, token):
        assert_refused(refresh(token), 401, "invalid_refresh_token")

    def test_a_body_that_is_not_its_own(self):
        assert_field_errors(Api().post("/auth/refresh", {}), ("#/refresh_token", "required"))
        assert_field_errors(refresh(7), ("#/refresh_token", "invalid"))
        assert_field_errors(refresh(None), ("#/refresh_token", "null"))


def session(generation, rotated, recent=()):
    """Times are seconds before NOW."""
    ago = [[rotation, (NOW - timedelta(seconds=seconds)).timestamp()] for rotation, seconds in recent]
    rotated_at = None if rotated is None else NOW - timedelta(seconds=rotated)
    return Session(refresh_generation=generation, rotated_at=rotated_at, recent_rotations=ago)


@pytest.mark.parametrize(
    ("state", "generation", "expected"),
    [
        (session(1, None), 1, Presented.CURRENT),
        (session(2, 0, [(1, 0)]), 2, Presented.CURRENT),
        (session(2, 0, [(1, 0)]), 1, Presented.REPEATED),
        (session(2, 10, [(1, 10)]), 1, Presented.REPEATED),
        (session(2, 60, [(1, 60)]), 1, Presented.REPEATED),
        (session(2, 61, [(1, 61)]), 1, Presented.REUSED),
        (session(2, 60), 1, Presented.REPEATED),
        (session(3, 2, [(1, 10), (2, 2)]), 1, Presented.REPEATED),
        (session(3, 2, [(1, 11), (2, 2)]), 1, Presented.REUSED),
        (session(3, 2, [(1, 11), (2, 2)]), 2, Presented.REPEATED),
        (session(3, 2, [(2, 2)]), 1, Presented.REUSED),
        (session(9, 59, []), 8, Presented.REPEATED),
        (session(9, 59, []), 7, Presented.REUSED),
        (session(9, 3600, []), 9, Presented.CURRENT),
        (session(9, 3600, []), 8, Presented.REUSED),
    ],
)
def test_how_a_generation_counts(state, generation, expected):
    assert presented(state, generation, NOW) is expected


class TestOvertaken:
    """A refresh that read the session, and then had to wait while others changed it."""

    @pytest.mark.parametrize(
        ("change", "code", "generation"),
        [
            ("refresh_generation = 9", "refresh_token_reused", 9),
            ("revoked_at = now()", "invalid_refresh_token", 1),
        ],
    )
    def test_it_does_not_turn_the_session_back(self, change, code, generation, alice, owner_connection):
        with psycopg.connect(os.environ["OWNER_DATABASE_URL"]) as other, ThreadPoolExecutor() as pool:
            other.execute(f"UPDATE accounts_session SET {change} WHERE id = %s", [alice.session_id])
            answer = pool.submit(refresh_in_a_thread, alice.refresh_token)
            assert eventually(lambda: is_waiting(owner_connection) or answer.done())
            assert not answer.done()
            other.commit()
            assert answer.result(timeout=30) == (401, code)
        row = owner_connection.execute(
            "SELECT refresh_generation, revoked_at IS NOT NULL FROM accounts_session"
        )
        assert row.fetchone() == (generation, True)


def refresh_in_a_thread(token):
    try:
        answer = refresh(token)
        return answer.status_code, answer.json()["code"]
    finally:
        connections.close_all()
