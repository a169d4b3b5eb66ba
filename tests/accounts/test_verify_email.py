"""Addresses are confirmed by links that are mailed to them, and changed in the same way."""

import os
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from accounts.links import make_link, state_of
from accounts.models import User
from saas.kit.rate_limits import ADDRESS_CHANGES, MAILS_TO_AN_ADDRESS
from tenancy.context import org_context
from tests.accounts.asking import assert_field_errors, assert_refused, in_thread, is_waiting, jobs
from tests.accounts.lifecycle import do_what_was_asked, sent, token_in
from tests.conftest import PASSWORD, Api
from tests.project.launching import eventually

INVALID = ("#/token", "invalid_link")


def me(person):
    return person.api.get("/users/me").json()


@pytest.fixture
def welcome_token(alice, mailoutbox):
    [mail] = sent(mailoutbox, alice.organization_id, "accounts/welcome")
    return token_in(mail, "verify-email")


@pytest.fixture
def new_token(alice, mailoutbox):
    assert alice.api.patch("/users/me", {"email": "alice@new.example"}).status_code == 202
    [mail] = sent(mailoutbox, alice.organization_id, "accounts/confirm_new_email")
    assert mail.to == ["alice@new.example"]
    return token_in(mail, "verify-email")


def verify(token):
    return Api().post("/auth/verify-email", {"token": token})


class TestVerifyEmail:
    def test_it_works(self, alice, welcome_token):
        assert me(alice)["email_verified"] is False
        answer = verify(welcome_token)
        assert (answer.status_code, answer.json()) == (200, {"status": "verified"})
        assert me(alice)["email_verified"] is True

    def test_again_is_harmless(self, alice, welcome_token):
        assert [verify(welcome_token).status_code for _ in range(2)] == [200, 200]

    def test_it_runs_out_after_three_days(self, alice, welcome_token, fake_clock):
        fake_clock.advance(days=3, seconds=1)
        assert_field_errors(verify(welcome_token), INVALID)
        assert User.objects.count() == 0  # Nothing is in force.
        with org_context(alice.organization_id):
            assert User.objects.get().email_verified_at is None

    def test_a_deactivated_person_is_refused(self, alice, bob):
        link = make_link(
            "verify-email",
            organization_id=bob.organization_id,
            subject_id=bob.user.id,
            state=state_of(bob.user, "bob@acme.example"),
        )
        alice.api.patch(f"/users/org/{bob.user.id}", {"active": False})
        assert_field_errors(verify(link.partition("token=")[2]), INVALID)

    @pytest.mark.parametrize(
        "change", [lambda t: t[:-1], lambda t: "x" + t, lambda t: "", lambda t: t.upper()]
    )
    def test_a_forged_one_is_refused(self, alice, welcome_token, change):
        answer = verify(change(welcome_token))
        assert_refused(answer, 422, "validation_failed")
        assert answer.json()["errors"][0]["pointer"] == "#/token"
        assert me(alice)["email_verified"] is False

    def test_a_link_for_another_purpose_is_refused(self, alice):
        for purpose in ("reset-password", "invitation"):
            link = make_link(
                purpose,
                organization_id=alice.organization_id,
                subject_id=alice.user.id,
                state=state_of(alice.user, "alice@acme.example"),
            )
            assert_field_errors(verify(link.partition("token=")[2]), INVALID)

    def test_a_link_names_its_organization_and_no_other(self, alice, charlie):
        link = make_link(
            "verify-email",
            organization_id=charlie.organization_id,
            subject_id=alice.user.id,
            state=state_of(alice.user, "alice@acme.example"),
        )
        assert_field_errors(verify(link.partition("token=")[2]), INVALID)


class TestResend:
    def test_the_caller_gets_another_link(self, alice, mailoutbox, owner_connection):
        answer = alice.api.post("/auth/verify-email/resend")
        assert (answer.status_code, answer.json()) == (202, {"status": "accepted"})
        [mail] = sent(mailoutbox, alice.organization_id, "accounts/verify_email")
        assert mail.to == ["alice@acme.example"]
        assert verify(token_in(mail, "verify-email")).status_code == 200

    def test_an_address_gets_one_without_a_token(self, alice, anonymous, mailoutbox, owner_connection):
        body = {"email": "ALICE@acme.example"}
        assert anonymous.post("/auth/verify-email/resend", body).status_code == 202
        do_what_was_asked(owner_connection)
        assert len(sent(mailoutbox, alice.organization_id, "accounts/verify_email")) == 1

    def test_who_is_verified_gets_none(self, alice, welcome_token, mailoutbox, owner_connection):
        verify(welcome_token)
        assert alice.api.post("/auth/verify-email/resend").status_code == 202
        do_what_was_asked(owner_connection)
        assert sent(mailoutbox, alice.organization_id, "accounts/verify_email") == []

    def test_the_caller_gets_both_that_are_due(self, alice, new_token, mailoutbox):
        alice.api.post("/auth/verify-email/resend")
        assert len(sent(mailoutbox, alice.organization_id, "accounts/verify_email")) == 1
        [mail] = sent(mailoutbox, alice.organization_id, "accounts/confirm_new_email")
        assert mail.to == ["alice@new.example"]

    def test_a_stranger_causes_no_mail_to_the_new_address(
        self, alice, new_token, mailoutbox, owner_connection
    ):
        Api().post("/auth/verify-email/resend", {"email": "alice@acme.example"})
        do_what_was_asked(owner_connection)
        assert sent(mailoutbox, alice.organization_id, "accounts/confirm_new_email") == []

    def test_an_unknown_address_gets_the_same_answer(self, alice, anonymous, owner_connection):
        answers = [
            anonymous.post("/auth/verify-email/resend", {"email": email})
            for email in ("alice@acme.example", "nobody@acme.example")
        ]
        assert answers[0].content == answers[1].content
        assert {answer.status_code for answer in answers} == {202}
        assert len(jobs(owner_connection, "mail_verification_link")) == 2
        do_what_was_asked(owner_connection)

    def test_it_asks_for_somebody(self, anonymous):
        assert_refused(anonymous.post("/auth/verify-email/resend"), 401, "not_authenticated")


class TestChangeEmail:
    def test_it_counts_once_the_link_is_used(self, alice, new_token, mailoutbox):
        assert (me(alice)["email"], me(alice)["email_verified"]) == ("alice@acme.example", False)
        assert verify(new_token).status_code == 200
        assert (me(alice)["email"], me(alice)["email_verified"]) == ("alice@new.example", True)
        log_in = Api().post("/auth/login", {"email": "alice@new.example", "password": PASSWORD})
        assert log_in.status_code == 200
        old = Api().post("/auth/login", {"email": "alice@acme.example", "password": PASSWORD})
        assert_refused(old, 401, "invalid_credentials")

    def test_the_old_address_is_told_twice(self, alice, new_token, mailoutbox):
        [started] = sent(mailoutbox, alice.organization_id, "accounts/email_change_started")
        assert (started.to, "alice@new.example" in started.body) == (["alice@acme.example"], True)
        verify(new_token)
        [changed] = sent(mailoutbox, alice.organization_id, "accounts/email_changed")
        assert (changed.to, "alice@new.example" in changed.body) == (["alice@acme.example"], True)

    def test_other_changes_count_at_once(self, alice):
        answer = alice.api.patch("/users/me", {"email": "alice@new.example", "name": "Al"})
        assert (answer.status_code, answer.json()["name"]) == (202, "Al")
        assert answer.json()["email"] == "alice@acme.example"

    def test_the_present_address_takes_it_back(self, alice, new_token):
        assert alice.api.patch("/users/me", {"email": "alice@acme.example"}).status_code == 200
        assert_field_errors(verify(new_token), INVALID)
        assert me(alice)["email"] == "alice@acme.example"

    def test_a_later_wish_replaces_it(self, alice, new_token):
        alice.api.patch("/users/me", {"email": "alice@other.example"})
        assert_field_errors(verify(new_token), INVALID)

    def test_it_changes_once(self, alice, new_token):
        verify(new_token)
        alice.api.patch("/users/me", {"email": "alice@other.example"})
        assert verify(new_token).status_code == 200  # The address is still theirs, and nothing else happens.
        assert me(alice)["email"] == "alice@new.example"

    def test_a_new_password_keeps_whoever_asked_for_it_out(
        self, alice, new_token, mailoutbox, owner_connection
    ):
        """A thief of a token asks for an address of theirs; the owner sets a new password by mail."""
        Api().post("/auth/password/forgot", {"email": "alice@acme.example"})
        do_what_was_asked(owner_connection)
        [mail] = sent(mailoutbox, alice.organization_id, "accounts/reset_password")
        body = {"token": token_in(mail, "reset-password"), "password": "another-long-secret"}
        assert Api().post("/auth/password/reset", body).status_code == 200
        assert_field_errors(verify(new_token), INVALID)
        with org_context(alice.organization_id):
            assert User.objects.get().pending_email == ""

    def test_a_deactivation_forgets_it(self, alice, bob):
        bob.api.patch("/users/me", {"email": "bob@new.example"})
        alice.api.patch(f"/users/org/{bob.user.id}", {"active": False})
        with org_context(alice.organization_id):
            assert User.objects.get(id=bob.user.id).pending_email == ""

    def test_the_row_decides_under_its_lock(self, alice, new_token, owner_connection):
        with ThreadPoolExecutor(1) as pool, psycopg.connect(os.environ["OWNER_DATABASE_URL"]) as other:
            other.execute("UPDATE accounts_user SET pending_email = 'alice@later.example'")
            answer = pool.submit(in_thread, verify, new_token)
            assert eventually(lambda: is_waiting(owner_connection))
            other.commit()
            assert_field_errors(answer.result(), INVALID)

    def test_another_persons_address_is_refused_only_at_the_link(self, alice, charlie, mailoutbox):
        assert alice.api.patch("/users/me", {"email": "charlie@globex.example"}).status_code == 202
        [mail] = sent(mailoutbox, alice.organization_id, "accounts/confirm_new_email")
        assert_refused(verify(token_in(mail, "verify-email")), 409, "email_taken")
        assert me(alice)["email"] == "alice@acme.example"
        assert me(charlie)["email"] == "charlie@globex.example"

    def test_the_welcome_link_does_not_confirm_the_new_address(self, alice, welcome_token, new_token):
        assert verify(welcome_token).status_code == 200
        assert me(alice)["email"] == "alice@acme.example"
        assert verify(new_token).status_code == 200

    def test_a_person_asks_for_so_many_and_no_more(self, alice):
        answers = [
            alice.api.patch("/users/me", {"email": f"p{number}@else.example"})
            for number in range(ADDRESS_CHANGES.amount + 1)
        ]
        assert [answer.status_code for answer in answers[:-1]] == [202] * ADDRESS_CHANGES.amount
        assert_refused(answers[-1], 429, "rate_limited")
        assert answers[-1].headers["RateLimit-Policy"] == '"address-changes";q=5;w=3600'

    def test_an_address_gets_so_many_mails_whoever_asks(self, alice, bob, mailoutbox):
        for person in (alice, bob):
            for spelling in ("victim@else.example", "VICTIM@else.example", "Victim@Else.example"):
                assert person.api.patch("/users/me", {"email": spelling}).status_code == 202
        mails = sent(mailoutbox, alice.organization_id, "accounts/confirm_new_email")
        assert len(mails) == MAILS_TO_AN_ADDRESS.amount
