"""REGISTRATION_MODE=verified: the answer tells nothing of an address, and nobody gets in before it is verified."""

import pytest

from accounts.models import User
from accounts.passwords import verify_password
from tenancy.context import org_context
from tests.accounts.asking import assert_field_errors, assert_refused, count, jobs
from tests.accounts.lifecycle import do_what_was_asked, sent, token_in
from tests.conftest import PASSWORD, Api

BODY = {"email": "nora@new.example", "password": PASSWORD, "org": "New", "name": "Nora"}


@pytest.fixture(autouse=True)
def verified_mode(settings):
    settings.REGISTRATION_MODE = "verified"


def log_in(email="nora@new.example"):
    return Api().post("/auth/login", {"email": email, "password": PASSWORD})


def organization_of(owner, email):
    return owner.execute("SELECT organization_id FROM accounts_user WHERE email = %s", [email]).fetchone()[0]


class TestVerifiedRegistration:
    def test_it_ends_in_a_log_in_after_the_link(self, anonymous, mailoutbox, owner_connection):
        answer = anonymous.post("/auth/register", BODY)
        assert (answer.status_code, answer.json()) == (202, {"status": "verification_sent"})
        assert count(owner_connection, "accounts_user") == 0
        do_what_was_asked(owner_connection)
        assert_refused(log_in(), 401, "invalid_credentials")
        organization_id = organization_of(owner_connection, BODY["email"])
        [mail] = sent(mailoutbox, organization_id, "accounts/verify_email")
        token = token_in(mail, "verify-email")
        assert anonymous.post("/auth/verify-email", {"token": token}).status_code == 200
        me = Api(log_in().json()["access_token"]).get("/users/me").json()
        assert (me["role"], me["email_verified"], me["org"]["name"]) == ("owner", True, "New")

    def test_the_owner_of_an_address_is_told(self, alice, anonymous, mailoutbox, owner_connection):
        known = anonymous.post("/auth/register", BODY | {"email": "ALICE@acme.example"})
        unknown = anonymous.post("/auth/register", BODY)
        assert (known.status_code, known.content) == (unknown.status_code, unknown.content)
        assert len(jobs(owner_connection, "register_unverified")) == 2
        do_what_was_asked(owner_connection)
        [mail] = sent(mailoutbox, alice.organization_id, "accounts/registered_again")
        assert mail.to == ["alice@acme.example"]
        assert count(owner_connection, "accounts_user") == 2
        with org_context(alice.organization_id):
            user = User.objects.get()
        assert (user.name, verify_password(PASSWORD, user.password)) == ("Alice", True)

    def test_once_more_makes_one_organization(self, anonymous, owner_connection):
        for _ in range(2):
            anonymous.post("/auth/register", BODY)
        do_what_was_asked(owner_connection)
        assert count(owner_connection, "accounts_user") == 1
        assert count(owner_connection, "tenancy_organization") == 2

    def test_bad_input_is_refused_at_once(self, anonymous, owner_connection):
        refused = anonymous.post("/auth/register", BODY | {"password": "password123"})
        assert_field_errors(refused, ("#/password", "password_too_common"))
        assert jobs(owner_connection, "register_unverified") == []

    def test_who_forgot_to_verify_can_ask_for_the_link_again(self, anonymous, mailoutbox, owner_connection):
        anonymous.post("/auth/register", BODY)
        do_what_was_asked(owner_connection)
        anonymous.post("/auth/verify-email/resend", {"email": BODY["email"]})
        do_what_was_asked(owner_connection)
        organization_id = organization_of(owner_connection, BODY["email"])
        _first, second = sent(mailoutbox, organization_id, "accounts/verify_email")
        assert (
            anonymous.post("/auth/verify-email", {"token": token_in(second, "verify-email")}).status_code
            == 200
        )
        assert log_in().status_code == 200
