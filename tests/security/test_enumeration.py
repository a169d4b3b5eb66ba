"""Whether an address has an account: neither the answer nor the work behind it tells (docs/security.md)."""

import pytest
from django.test import Client

from tests.conftest import PASSWORD, make_member, make_owner
from tests.pages.browsing import TOKEN
from tests.security.watching import address_of_nobody_yet, counting, said, watched

__all__ = ["counting"]

WRONG = "not-the-right-one"
PEOPLE = {
    "an owner": "alice@acme.example",
    "in capitals": "ALICE@Acme.Example",
    "unverified": "una@acme.example",
    "deactivated": "dora@acme.example",
    "without a password": "will@acme.example",
    "in a suspended organization": "sue@initech.example",
    "invited": "ines@acme.example",
    "staff": "sam@support.example",
}
NOBODY = "nobody@acme.example"
# Who may not log in even with the right password.
SHUT_OUT = ["deactivated", "without a password", "staff"]


@pytest.fixture
def everybody(alice, staff, charlie, owner_connection):
    owner_connection.execute("UPDATE accounts_user SET email_verified_at = now()")
    owner_connection.execute("UPDATE tenancy_organization SET seat_limit = 50")
    for name in ("una", "dora", "will"):
        make_member(alice.organization_id, f"{name}@acme.example")
    sue = make_member(charlie.organization_id, PEOPLE["in a suspended organization"])
    for change in (
        "UPDATE accounts_user SET deactivated_at = now() WHERE email LIKE 'dora@%'",
        "UPDATE accounts_user SET password = '!' WHERE email LIKE 'will@%'",
    ):
        owner_connection.execute(change)
    assert alice.api.post("/orgs/invitations", {"email": PEOPLE["invited"]}).status_code == 201
    owner_connection.execute(
        "UPDATE tenancy_organization SET access = 'read_only' WHERE id = %s", [sue.organization_id]
    )


def api(path, **more):
    def ask(email):
        client = Client(raise_request_exception=False, REMOTE_ADDR=address_of_nobody_yet())
        return client.post(path, {"email": email, **more}, content_type="application/json")

    return ask


def page(path, **more):
    def ask(email):
        client = Client(enforce_csrf_checks=True, REMOTE_ADDR=address_of_nobody_yet())
        token = TOKEN.search(client.get(path).text)
        return client.post(path, {"email": email, "csrfmiddlewaretoken": token[1], **more})

    return ask


def staffs_log_in(email):
    client = Client(REMOTE_ADDR=address_of_nobody_yet())
    return client.post("/admin/login", {"email": email, "password": WRONG})


WAYS = {
    "log-in": api("/auth/login", password=WRONG),
    "log-in page": page("/login", password=WRONG),
    "staff's log-in": staffs_log_in,
    "forgotten password": api("/auth/password/forgot"),
    "its page": page("/forgot-password"),
    "verification again": api("/auth/verify-email/resend"),
}
NEW = {"password": PASSWORD, "org": "Initrode"}
REGISTRATION = {"registration": api("/auth/register", **NEW), "its page": page("/register", **NEW)}


def assert_alike(ask, others, statuses):
    """What each of `others` is told, and what it costs, is what it is with nobody's address."""
    ask("warming@up.example")
    with watched() as expected:
        answer = ask(NOBODY)
    assert answer.status_code in statuses, answer.content
    # Or nothing was looked at.
    assert {"COMMIT", "EVALSHA"} <= set(expected)
    for who, email in others.items():
        with watched() as work:
            other = ask(email)
        assert said(other, email) == said(answer, NOBODY), who
        assert work == expected, who


@pytest.mark.parametrize("way", WAYS)
def test_nobody_learns_who_is_here(way, everybody, counting):
    assert_alike(WAYS[way], PEOPLE, {202, 303, 401, 403})


def test_nor_by_a_right_password_that_opens_nothing(everybody, counting):
    ask = api("/auth/login", password=PASSWORD)
    assert_alike(ask, {who: PEOPLE[who] for who in SHUT_OUT}, {401})


@pytest.mark.parametrize("way", REGISTRATION)
def test_nor_by_registering_where_addresses_are_verified_first(way, everybody, counting, settings):
    settings.REGISTRATION_MODE = "verified"
    assert_alike(REGISTRATION[way], PEOPLE, {202, 303})


def test_an_instant_registration_tells_that_and_nothing_else(everybody, counting):
    """As documented: 409, the same whoever it is."""
    answers = {who: api("/auth/register", **NEW)(email) for who, email in PEOPLE.items() if who != "invited"}
    assert {answer.status_code for answer in answers.values()} == {409}
    assert len({str(said(answer)) for answer in answers.values()}) == 1


class TestMembersOfAnotherOrganization:
    """Who is logged in learns no more than a stranger."""

    @pytest.fixture
    def mallory(self, everybody, owner_connection):
        mallory = make_owner("mallory@umbrella.example", "Umbrella", "Mallory")
        owner_connection.execute("UPDATE accounts_user SET email_verified_at = now() WHERE name = 'Mallory'")
        owner_connection.execute("UPDATE tenancy_organization SET seat_limit = 50")
        return mallory

    def test_by_inviting(self, mallory, counting):
        # But for whom was invited just now: Redis counts mails to an address, whoever sends them. It tells nobody.
        others = {who: email for who, email in PEOPLE.items() if who not in ("in capitals", "invited")}
        assert_alike_for_a_member(
            lambda email: mallory.api.post("/orgs/invitations", {"email": email}), others, 201
        )

    def test_by_wanting_the_address(self, mallory, counting):
        others = {who: PEOPLE[who] for who in ("an owner", "deactivated", "staff")}
        assert_alike_for_a_member(lambda email: mallory.api.patch("/users/me", {"email": email}), others, 202)


def assert_alike_for_a_member(ask, others, status):
    """Ids and times are of what was just made."""
    ask("warming@up.example")
    with watched() as expected:
        assert ask(NOBODY).status_code == status
    for who, email in others.items():
        with watched() as work:
            answer = ask(email)
        assert answer.status_code == status, (who, answer.content)
        assert work == expected, who
