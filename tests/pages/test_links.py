"""What mailed links lead to: a GET changes nothing, the POST acts, and the token goes nowhere else."""

import pytest
from django.core import mail as outbox_of

from accounts.models import Invitation, User
from accounts.services.addresses import send_own_links
from accounts.services.invitations import invite_member
from accounts.services.requests import mail_reset_link
from saas.kit import clock
from tenancy.context import org_context
from tests.accounts.lifecycle import do_what_was_asked, sent, token_in
from tests.conftest import PASSWORD, make_member
from tests.pages.browsing import assert_page, browser_of

NEW_PASSWORD = "another-long-secret"


def person(of):
    with org_context(of.organization_id):
        return User.objects.get(id=of.user.id)


def mailed(of, message, purpose):
    return token_in(sent(outbox_of.outbox, of.organization_id, message)[-1], purpose)


@pytest.fixture
def verification(alice):
    with org_context(alice.organization_id):
        send_own_links(user_id=alice.user.id)
    return mailed(alice, "accounts/verify_email", "verify-email")


@pytest.fixture
def reset(alice):
    mail_reset_link(alice.user.email)
    return mailed(alice, "accounts/reset_password", "reset-password")


@pytest.fixture
def invitation(alice):
    with org_context(alice.organization_id):
        User.objects.filter(id=alice.user.id).update(email_verified_at=clock.now())
        invite_member(email="dave@acme.example", role="member", by=alice.user.id)
    return mailed(alice, "accounts/invitation", "invitation")


class TestVerifyEmail:
    def test_opening_the_link_confirms_nothing(self, browser, alice, verification):
        assert_page(browser.get(f"/verify-email?token={verification}"), 200, "Confirm")
        assert person(alice).email_verified_at is None

    def test_the_button_does(self, browser, alice, verification):
        page = f"/verify-email?token={verification}"
        response = browser.send("/verify-email", {"token": verification}, page=page)
        assert (response.status_code, response.headers["Location"]) == (303, "/login")
        assert person(alice).email_verified_at is not None
        assert_page(browser.get("/login"), 200, "Your address is confirmed.")

    @pytest.mark.parametrize("token", ["", "rubbish"])
    def test_a_wrong_link_says_what_to_do(self, browser, token):
        response = browser.send("/verify-email", {"token": token}, page="/verify-email?token=rubbish")
        assert response.status_code == 422
        assert "Get a new one" in response.text


class TestTokensStayHere:
    @pytest.mark.parametrize("path", ["verify-email", "reset-password"])
    def test_no_referer_shows_them(self, browser, path):
        headers = browser.get(f"/{path}?token=secret").headers
        assert headers["Referrer-Policy"] == "strict-origin"
        assert headers["Cache-Control"] == "no-store"

    def test_they_are_in_no_log(self, browser, caplog):
        browser.get("/verify-email?token=secret-token")
        assert "/verify-email" in caplog.text
        assert "secret-token" not in caplog.text


class TestForgotPassword:
    def test_the_answer_is_the_same_for_every_address(self, browser, alice, owner_connection):
        for email in (alice.user.email, "nobody@acme.example"):
            response = browser.send("/forgot-password", {"email": email})
            assert (response.status_code, response.headers["Location"]) == (303, "/mail-sent")
        do_what_was_asked(owner_connection)
        assert len(sent(outbox_of.outbox, alice.organization_id, "accounts/reset_password")) == 1

    def test_nothing_is_asked_for_nobody(self, browser):
        assert_page(browser.send("/forgot-password", {"email": ""}), 422, 'aria-invalid="true"')


class TestResetPassword:
    def test_it_sets_the_password_and_ends_every_session(self, browser, alice, reset):
        other = browser_of(alice)
        page = f"/reset-password?token={reset}"
        assert_page(browser.get(page), 200, "Set a new password")
        response = browser.send("/reset-password", {"token": reset, "password": NEW_PASSWORD}, page=page)
        assert (response.status_code, response.headers["Location"]) == (303, "/login")
        assert other.get("/account").status_code == 303
        browser.log_in(alice, password=NEW_PASSWORD)

    def test_a_bad_password_keeps_the_link(self, browser, alice, reset):
        response = browser.send(
            "/reset-password",
            {"token": reset, "password": "password123"},
            page=f"/reset-password?token={reset}",
        )
        assert_page(response, 422, "too common", f'value="{reset}"')
        assert "password123" not in response.text

    def test_it_works_once(self, browser, reset):
        page = f"/reset-password?token={reset}"
        for expected in (303, 422):
            response = browser.send("/reset-password", {"token": reset, "password": NEW_PASSWORD}, page=page)
            assert response.status_code == expected
        assert "not valid any more" in response.text


class TestInvitation:
    def test_it_makes_a_member_and_logs_them_in(self, browser, alice, invitation):
        page = f"/invitation?token={invitation}"
        assert_page(browser.get(page), 200, "Join Acme", "dave@acme.example")
        fields = {"token": invitation, "name": "Dave", "password": PASSWORD}
        response = browser.send("/invitation", fields, page=page)
        assert (response.status_code, response.headers["Location"]) == (303, "/account")
        assert_page(browser.get("/account"), 200, "Dave", "Acme")

    def test_one_that_was_taken_back_is_gone(self, browser, alice, invitation):
        with org_context(alice.organization_id):
            Invitation.objects.all().delete()
        assert_page(browser.get(f"/invitation?token={invitation}"), 410, "Ask whoever invited you")

    def test_a_forged_link_is_told_too(self, browser):
        assert_page(browser.get("/invitation?token=x"), 422, "not valid any more")

    def test_who_is_logged_in_as_somebody_else_is_told(self, charlie, invitation):
        fields = {"token": invitation, "password": PASSWORD}
        response = browser_of(charlie).send("/invitation", fields, page=f"/invitation?token={invitation}")
        assert_page(response, 403, "Log out first")

    def test_a_bad_password_is_told(self, browser, invitation):
        fields = {"token": invitation, "password": "short"}
        response = browser.send("/invitation", fields, page=f"/invitation?token={invitation}")
        assert_page(response, 422, "at least 8 characters", "dave@acme.example")


class TestEmailChange:
    def test_it_counts_once_the_link_is_used(self, alice, browser):
        own = browser_of(alice)
        response = own.send("/account/email", {"email": "alice@new.example"})
        assert response.status_code == 303
        assert_page(own.get("/account/email"), 200, "It is to become", "alice@new.example")
        assert person(alice).email == "alice@acme.example"
        token = mailed(alice, "accounts/confirm_new_email", "verify-email")
        browser.send("/verify-email", {"token": token}, page=f"/verify-email?token={token}")
        assert person(alice).email == "alice@new.example"

    def test_the_wish_can_be_taken_back(self, alice):
        own = browser_of(alice)
        own.send("/account/email", {"email": "alice@new.example"})
        own.send("/account/email", {"email": alice.user.email})
        assert_page(own.get("/account/email"), 200, "stays as it is")
        assert person(alice).pending_email == ""

    def test_what_is_no_address_is_refused(self, alice):
        response = browser_of(alice).send("/account/email", {"email": "no address"})
        assert_page(response, 422, 'value="no address"')

    def test_the_link_can_be_sent_again(self, alice, owner_connection):
        own = browser_of(alice)
        response = own.send("/account/email/send-again", page="/account/email")
        assert response.headers["Location"] == "/account/email"
        do_what_was_asked(owner_connection)
        assert len(sent(outbox_of.outbox, alice.organization_id, "accounts/verify_email")) == 1


class TestPassword:
    def test_a_new_one_ends_the_other_sessions(self, alice):
        own, other = browser_of(alice), browser_of(alice)
        fields = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
        response = own.send("/account/password", fields)
        assert (response.status_code, response.headers["Location"]) == (303, "/account/password")
        assert_page(own.get("/account/password"), 200, "Your new password is set")
        assert other.get("/account").status_code == 303
        assert alice.api.get("/users/me").status_code == 401

    def test_the_present_one_must_be_right(self, alice):
        fields = {"current_password": "wrong-password", "new_password": NEW_PASSWORD}
        response = browser_of(alice).send("/account/password", fields)
        assert_page(response, 422, "not your present password")
        assert NEW_PASSWORD not in response.text
        assert "wrong-password" not in response.text


def test_a_members_own_mails_work_as_well(alice, browser):
    bob = make_member(alice.organization_id, "bob@acme.example")
    mail_reset_link(bob.user.email)
    token = mailed(bob, "accounts/reset_password", "reset-password")
    fields = {"token": token, "password": NEW_PASSWORD}
    assert browser.send("/reset-password", fields, page=f"/reset-password?token={token}").status_code == 303
