"""A password is set anew with a mailed link or with the present one, and takes the other sessions with it."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from accounts import tasks
from accounts.models import Session
from accounts.services import passwords
from saas.kit.rate_limits import LOGIN_FAILURES, MAILS_TO_AN_ADDRESS
from tenancy.context import org_context
from tenancy.mails import queue_mail
from tenancy.retries import MisplacedJob
from tests.accounts.asking import assert_field_errors, assert_refused, in_thread, is_waiting, jobs
from tests.accounts.lifecycle import do_what_was_asked, sent, token_in
from tests.conftest import PASSWORD, Api, make_member
from tests.project.launching import eventually

NEW = "another-long-secret"


def log_in(email="alice@acme.example", password=PASSWORD):
    return Api().post("/auth/login", {"email": email, "password": password})


def second_session(person):
    return Api(log_in(person.user.email).json()["access_token"])


def forget(email="alice@acme.example"):
    return Api().post("/auth/password/forgot", {"email": email})


def reset(token, password=NEW):
    return Api().post("/auth/password/reset", {"token": token, "password": password})


@pytest.fixture
def reset_token(alice, mailoutbox, owner_connection):
    return fresh_token(alice, mailoutbox, owner_connection)


def fresh_token(alice, mailoutbox, owner_connection):
    assert forget().status_code == 202
    do_what_was_asked(owner_connection)
    [mail] = sent(mailoutbox, alice.organization_id, "accounts/reset_password")
    assert mail.to == ["alice@acme.example"]
    return token_in(mail, "reset-password")


class TestForgot:
    def test_every_address_gets_the_same_answer(self, alice, owner_connection):
        answers = [forget(email) for email in ("alice@acme.example", "nobody@acme.example", "no address")]
        assert {(answer.status_code, answer.content) for answer in answers} == {
            (202, b'{"status":"accepted"}')
        }

    def test_every_address_costs_the_same(self, alice, owner_connection):
        """One job whatever the address: what becomes of it is the background's."""
        forget("alice@acme.example")
        forget("nobody@acme.example")
        known, unknown = jobs(owner_connection, "mail_reset_link")
        assert known[0] == unknown[0]

    def test_who_is_deactivated_or_staff_gets_none(self, alice, bob, staff, owner_connection):
        alice.api.patch(f"/users/org/{bob.user.id}", {"active": False})
        for email in ("bob@acme.example", staff.email):
            forget(email)
        do_what_was_asked(owner_connection)
        messages = owner_connection.execute("SELECT message FROM tenancy_mail").fetchall()
        assert ("accounts/reset_password",) not in messages

    def test_an_address_gets_so_many_mails_and_no_more(self, alice, mailoutbox, owner_connection):
        for number in range(MAILS_TO_AN_ADDRESS.amount + 2):
            email = "alice@acme.example" if number % 2 else "ALICE@acme.example"
            assert forget(email).status_code == 202
        do_what_was_asked(owner_connection)
        mails = sent(mailoutbox, alice.organization_id, "accounts/reset_password")
        assert len(mails) == MAILS_TO_AN_ADDRESS.amount

    def test_other_mails_do_not_use_that_up(self, alice, mailoutbox, owner_connection):
        for _ in range(MAILS_TO_AN_ADDRESS.amount + 1):
            Api().post("/auth/verify-email/resend", {"email": "alice@acme.example"})
        do_what_was_asked(owner_connection)
        fresh_token(alice, mailoutbox, owner_connection)

    def test_no_organization_can_ask_in_its_own_name(self, alice):
        """Injected SQL can enqueue for its own organization alone, and that is refused."""
        with pytest.raises(MisplacedJob):
            tasks.mail_reset_link.func.__wrapped__(alice.organization_id, email="charlie@globex.example")


class TestReset:
    def test_it_sets_the_password_and_ends_every_session(self, alice, reset_token):
        other = second_session(alice)
        answer = reset(reset_token)
        assert (answer.status_code, answer.json()) == (200, {"status": "password_changed"})
        assert_refused(alice.api.get("/users/me"), 401, "invalid_token")
        assert_refused(other.get("/users/me"), 401, "invalid_token")
        refreshed = Api().post("/auth/refresh", {"refresh_token": alice.refresh_token})
        assert_refused(refreshed, 401, "invalid_refresh_token")
        assert_refused(log_in(), 401, "invalid_credentials")
        assert log_in(password=NEW).status_code == 200

    def test_it_proves_the_address(self, alice, reset_token):
        reset(reset_token)
        new = Api(log_in(password=NEW).json()["access_token"])
        assert new.get("/users/me").json()["email_verified"] is True

    def test_the_person_is_told(self, alice, reset_token, mailoutbox):
        reset(reset_token)
        [mail] = sent(mailoutbox, alice.organization_id, "accounts/password_changed")
        assert mail.to == ["alice@acme.example"]

    def test_it_works_once(self, reset_token):
        assert reset(reset_token).status_code == 200
        assert_field_errors(reset(reset_token, "yet-another-secret"), ("#/token", "invalid_link"))

    def test_an_older_link_dies_with_a_new_password(self, alice, reset_token, mailoutbox, owner_connection):
        newer = fresh_token(alice, mailoutbox, owner_connection)
        assert reset(newer).status_code == 200
        assert_field_errors(reset(reset_token), ("#/token", "invalid_link"))

    def test_it_dies_with_another_address(self, reset_token, owner_connection):
        owner_connection.execute("UPDATE accounts_user SET email = 'alice@new.example'")
        assert_field_errors(reset(reset_token), ("#/token", "invalid_link"))

    def test_a_deactivated_person_is_refused(self, reset_token, owner_connection):
        owner_connection.execute("UPDATE accounts_user SET deactivated_at = now()")
        assert_field_errors(reset(reset_token), ("#/token", "invalid_link"))

    def test_the_row_decides_under_its_lock(self, reset_token, owner_connection):
        with ThreadPoolExecutor(1) as pool, psycopg.connect(os.environ["OWNER_DATABASE_URL"]) as other:
            other.execute("UPDATE accounts_user SET password = 'another one'")
            answer = pool.submit(in_thread, reset, reset_token)
            assert eventually(lambda: is_waiting(owner_connection))
            other.commit()
            assert_field_errors(answer.result(), ("#/token", "invalid_link"))

    def test_it_does_not_meet_a_reused_refresh_token_in_a_deadlock(
        self, alice, reset_token, owner_connection
    ):
        """The one holds the user and wants the session, the other the other way round: neither waits for ever."""
        holds_session = threading.Event()

        def reuse():
            with org_context(alice.organization_id):
                Session.objects.select_for_update(of=("self",)).get()
                holds_session.set()
                assert eventually(lambda: is_waiting(owner_connection))
                queue_mail("accounts/refresh_token_reused", user_id=alice.user.id)

        with ThreadPoolExecutor(1) as pool:
            reused = pool.submit(in_thread, reuse)
            assert holds_session.wait(20)
            assert reset(reset_token).status_code == 200
            reused.result()

    def test_it_runs_out_after_an_hour(self, reset_token, fake_clock):
        fake_clock.advance(hours=1, seconds=1)
        assert_field_errors(reset(reset_token), ("#/token", "invalid_link"))

    def test_a_bad_password_leaves_the_link_good(self, alice, reset_token):
        assert_field_errors(reset(reset_token, "password123"), ("#/password", "password_too_common"))
        assert_field_errors(reset(reset_token, "alice@acme"), ("#/password", "password_too_similar"))
        assert alice.api.get("/users/me").status_code == 200
        assert reset(reset_token).status_code == 200

    def test_two_at_once_set_one_password(self, alice, reset_token):
        """The link is looked at again under the user's lock: what was set meanwhile has used it up."""
        hashed = passwords.hash_password

        def hash_while_another_sets(password):
            encoded = hashed(password)
            if password == NEW:
                assert reset(reset_token, "the-quicker-secret").status_code == 200
            return encoded

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(passwords, "hash_password", hash_while_another_sets)
            assert_field_errors(reset(reset_token), ("#/token", "invalid_link"))
        assert log_in(password="the-quicker-secret").status_code == 200


class TestChange:
    def change(self, person, current=PASSWORD, new=NEW):
        body = {"current_password": current, "new_password": new}
        return person.api.post("/auth/password/change", body)

    def test_it_ends_the_other_sessions(self, alice):
        other = second_session(alice)
        answer = self.change(alice)
        assert (answer.status_code, answer.json()) == (200, {"status": "password_changed"})
        assert alice.api.get("/users/me").status_code == 200
        assert_refused(other.get("/users/me"), 401, "invalid_token")
        assert log_in(password=NEW).status_code == 200
        assert_refused(log_in(), 401, "invalid_credentials")

    def test_it_needs_the_present_one(self, alice):
        assert_field_errors(self.change(alice, current="wrong"), ("#/current_password", "wrong_password"))
        assert log_in().status_code == 200

    def test_guessing_is_stopped(self, alice):
        for _ in range(LOGIN_FAILURES.amount):
            assert self.change(alice, current="wrong").status_code == 422
        refused = self.change(alice)
        assert_refused(refused, 429, "too_many_attempts")
        assert int(refused.headers["Retry-After"]) <= 30
        # Of this person's password alone, and log-ins are counted apart.
        assert log_in().status_code == 200

    def test_one_that_was_changed_meanwhile_is_not_the_present_one(
        self, alice, monkeypatch, owner_connection
    ):
        hashed = passwords.hash_password

        def hash_while_another_sets(password):
            owner_connection.execute("UPDATE accounts_user SET password = 'another one'")
            return hashed(password)

        monkeypatch.setattr(passwords, "hash_password", hash_while_another_sets)
        assert_field_errors(self.change(alice), ("#/current_password", "wrong_password"))

    def test_a_bad_new_one_is_refused(self, alice):
        refused = self.change(alice, new="password123")
        assert_field_errors(refused, ("#/new_password", "password_too_common"))

    def test_it_works_while_suspended(self, alice, owner_connection):
        owner_connection.execute("UPDATE tenancy_organization SET access = 'read_only'")
        assert self.change(alice).status_code == 200

    def test_it_changes_nobody_else(self, alice):
        ben = make_member(alice.organization_id, "ben@acme.example")
        self.change(alice)
        assert log_in("ben@acme.example").status_code == 200
        assert ben.api.get("/users/me").status_code == 200

    def test_it_needs_a_token(self, anonymous):
        body = {"current_password": PASSWORD, "new_password": NEW}
        assert_refused(anonymous.post("/auth/password/change", body), 401, "not_authenticated")
