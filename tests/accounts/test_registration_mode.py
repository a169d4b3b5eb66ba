"""REGISTRATION_MODE=verified: the answer tells nothing of an address, and nothing is made before the link is used."""

import pytest

from accounts.models import User
from accounts.passwords import verify_password
from saas.kit.rate_limits import MAILS_TO_AN_ADDRESS
from tenancy.context import org_context
from tenancy.models import SUPPORT_ORGANIZATION_ID, Mail
from tests.accounts.asking import assert_field_errors, assert_refused, count, jobs
from tests.accounts.lifecycle import do_what_was_asked, sent, token_in
from tests.conftest import PASSWORD, Api, make_owner

BODY = {"email": "nora@new.example", "password": PASSWORD, "org": "New", "name": "Nora"}


@pytest.fixture(autouse=True)
def verified_mode(settings):
    settings.REGISTRATION_MODE = "verified"


def register(**changes):
    return Api().post("/auth/register", BODY | changes)


def verify(mail):
    return Api().post("/auth/verify-email", {"token": token_in(mail, "verify-email")})


def log_in(password=PASSWORD):
    return Api().post("/auth/login", {"email": "nora@new.example", "password": password})


@pytest.fixture
def mails(mailoutbox, owner_connection):
    def fetch(organization_id=SUPPORT_ORGANIZATION_ID, message="accounts/finish_registration"):
        do_what_was_asked(owner_connection)
        return sent(mailoutbox, organization_id, message)

    return fetch


class TestVerifiedRegistration:
    def test_it_ends_in_a_log_in_after_the_link(self, mails, owner_connection):
        answer = register()
        assert (answer.status_code, answer.json()) == (202, {"status": "verification_sent"})
        [mail] = mails()
        assert mail.to == ["nora@new.example"]
        assert "wants to register New" in mail.body
        assert count(owner_connection, "accounts_user") == 0
        assert_refused(log_in(), 401, "invalid_credentials")
        assert verify(mail).status_code == 200
        me = Api(log_in().json()["access_token"]).get("/users/me").json()
        assert (me["name"], me["role"], me["email_verified"]) == ("Nora", "owner", True)
        assert me["org"]["name"] == "New"

    def test_who_registered_is_welcomed_without_a_further_link(self, mails, owner_connection):
        register()
        verify(mails()[0])
        [user] = owner_connection.execute("SELECT organization_id FROM accounts_user").fetchall()
        [mail] = mails(user[0], "accounts/welcome")
        assert "token=" not in mail.body
        assert "/login" in mail.body

    def test_the_link_works_once(self, mails):
        register()
        [mail] = mails()
        assert verify(mail).status_code == 200
        assert_refused(verify(mail), 409, "email_taken")

    def test_it_runs_out_after_three_days(self, mails, fake_clock, owner_connection):
        register()
        [mail] = mails()
        fake_clock.advance(days=3, seconds=1)
        assert_field_errors(verify(mail), ("#/token", "invalid_link"))
        assert count(owner_connection, "accounts_user") == 0

    def test_each_link_brings_its_own_registration(self, mails):
        """Whoever registers another's address gets nothing by it: the mailbox's owner uses their own link."""
        register(password="the-strangers-secret", org="Stranger")
        register()
        _, own = mails()
        assert verify(own).status_code == 200
        assert_refused(log_in("the-strangers-secret"), 401, "invalid_credentials")
        assert log_in().status_code == 200

    def test_the_owner_of_an_address_is_told(self, alice, mails, owner_connection):
        known, unknown = register(email="ALICE@acme.example"), register()
        assert (known.status_code, known.content) == (unknown.status_code, unknown.content)
        assert len(jobs(owner_connection, "mail_registration_link")) == 2
        [mail] = mails(alice.organization_id, "accounts/registered_again")
        assert mail.to == ["alice@acme.example"]
        with org_context(alice.organization_id):
            user = User.objects.get()
        assert (user.name, verify_password(PASSWORD, user.password)) == ("Alice", True)

    def test_nobody_gets_many_of_these_mails(self, alice, mails):
        for _ in range(MAILS_TO_AN_ADDRESS.amount + 2):
            assert register(email="alice@acme.example").status_code == 202
            assert register().status_code == 202
        assert len(mails(alice.organization_id, "accounts/registered_again")) == MAILS_TO_AN_ADDRESS.amount
        assert len(mails()) == MAILS_TO_AN_ADDRESS.amount

    def test_staff_are_not_reached(self, mails, staff):
        assert register(email=staff.email).status_code == 202
        mails()
        with org_context(SUPPORT_ORGANIZATION_ID):
            assert Mail.objects.count() == 0

    def test_the_password_is_nowhere_to_be_read(self, mails, owner_connection):
        register()
        everything = str(jobs(owner_connection, "mail_registration_link"))
        mails()
        everything += str(owner_connection.execute("SELECT facts FROM tenancy_mail").fetchall())
        assert "sealed" in everything
        assert "bcrypt" not in everything

    def test_bad_input_is_refused_at_once(self, owner_connection):
        assert_field_errors(register(password="password123"), ("#/password", "password_too_common"))
        assert jobs(owner_connection, "mail_registration_link") == []

    def test_who_registered_before_logs_in_as_before(self):
        make_owner("nora@new.example")
        assert log_in().status_code == 200
