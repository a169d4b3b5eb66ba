"""Requests that meet over HTTP, in workers of their own; counted in the database."""

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest

from accounts.links import make_link, state_of
from tests.accounts.asking import is_waiting
from tests.conftest import PASSWORD, make_member
from tests.faults.test_revocation import call
from tests.project.launching import eventually
from tests.project.test_gunicorn import running

ROUNDS = 5


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    with running(tmp_path_factory.mktemp("web") / "log", WEB_WORKERS="4") as server:
        yield server


def at_once(*calls):
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(*each) for each in calls]]


def invitations(web, person, amount):
    """Calls, each for a guest of its own."""
    for number in range(amount):
        guest = {"email": f"guest{number}@else.example"}
        yield call, web, "POST", "/orgs/invitations", person.access_token, guest


def owners(connection):
    return connection.execute(
        "SELECT count(*) FROM accounts_user WHERE role = 'owner' AND deactivated_at IS NULL"
    ).fetchone()[0]


@pytest.mark.parametrize("turn", range(ROUNDS))
def test_two_owners_who_demote_each_other_leave_one(web, alice, owner_connection, turn):
    olga = make_member(alice.organization_id, "olga@acme.example", role="owner")
    answers = at_once(
        (call, web, "PATCH", f"/users/org/{olga.user.id}", alice.access_token, {"role": "member"}),
        (call, web, "PATCH", f"/users/org/{alice.user.id}", olga.access_token, {"role": "member"}),
    )
    assert sorted(status for status, _ in answers) == [200, 403]
    assert owners(owner_connection) == 1


@pytest.mark.parametrize("turn", range(ROUNDS))
def test_two_owners_who_leave_at_once_leave_one(web, alice, owner_connection, turn):
    olga = make_member(alice.organization_id, "olga@acme.example", role="owner")
    answers = at_once(
        *((call, web, "DELETE", f"/users/org/{each.user.id}", each.access_token) for each in (alice, olga))
    )
    assert sorted(status for status, _ in answers) == [204, 409]
    assert owners(owner_connection) == 1


def test_an_invitation_that_is_accepted_eight_times_makes_one_member(web, alice, owner_connection):
    owner_connection.execute("UPDATE accounts_user SET email_verified_at = now()")
    status, invited = call(
        web, "POST", "/orgs/invitations", alice.access_token, {"email": "dora@else.example"}
    )
    assert status == 201, invited
    link = make_link("invitation", organization_id=alice.organization_id, subject_id=UUID(invited["id"]))
    body = {"token": link.partition("token=")[2], "password": PASSWORD}
    answers = at_once(*[(call, web, "POST", "/invitations/accept", None, body)] * 8)
    assert sorted(status for status, _ in answers) == [201] + [410] * 7
    assert owner_connection.execute("SELECT count(*) FROM accounts_user").fetchone()[0] == 2


def test_a_link_that_is_used_eight_times_sets_one_password(web, alice, owner_connection):
    link = make_link(
        "reset-password",
        organization_id=alice.organization_id,
        subject_id=alice.user.id,
        state=state_of(alice.user, alice.user.email),
    )
    token = link.partition("token=")[2]
    passwords = [f"a-fine-secret-{number}" for number in range(8)]
    answers = at_once(
        *[
            (call, web, "POST", "/auth/password/reset", None, {"token": token, "password": password})
            for password in passwords
        ]
    )
    assert sorted(status for status, _ in answers) == [200] + [422] * 7
    log_ins = [
        call(web, "POST", "/auth/login", None, {"email": alice.user.email, "password": password})[0]
        for password, (status, _) in zip(passwords, answers, strict=True)
        if status == 200
    ]
    assert log_ins == [200]
    mails = owner_connection.execute(
        "SELECT count(*) FROM tenancy_mail WHERE message = 'accounts/password_changed'"
    )
    assert mails.fetchone() == (1,)


@pytest.mark.parametrize("turn", range(ROUNDS))
def test_the_last_seat_is_given_once(web, alice, owner_connection, turn):
    owner_connection.execute("UPDATE accounts_user SET email_verified_at = now()")
    owner_connection.execute("UPDATE tenancy_organization SET seat_limit = 3")
    answers = at_once(*invitations(web, alice, 8))
    assert sorted(status for status, _ in answers) == [201] * 2 + [402] * 6
    assert owner_connection.execute("SELECT count(*) FROM accounts_invitation").fetchone() == (2,)


def test_seats_that_are_invited_and_given_back_at_once_are_never_too_many(web, alice, owner_connection):
    """One comes back while others are asked in."""
    owner_connection.execute("UPDATE accounts_user SET email_verified_at = now()")
    owner_connection.execute("UPDATE tenancy_organization SET seat_limit = 3")
    gone = make_member(alice.organization_id, "gone@acme.example")
    owner_connection.execute("UPDATE accounts_user SET deactivated_at = now() WHERE id = %s", [gone.user.id])
    answers = at_once(
        *[(call, web, "PATCH", f"/users/org/{gone.user.id}", alice.access_token, {"active": True})] * 2,
        *invitations(web, alice, 4),
    )
    assert {status for status, _ in answers} <= {200, 201, 402}
    members, invited = owner_connection.execute(
        "SELECT (SELECT count(*) FROM accounts_user WHERE deactivated_at IS NULL), "
        "(SELECT count(*) FROM accounts_invitation)"
    ).fetchone()
    assert members + invited == 3


def test_a_second_owner_who_leaves_while_the_first_hands_over(web, alice, owner_connection):
    olga = make_member(alice.organization_id, "olga@acme.example", role="owner")
    answers = at_once(
        (call, web, "DELETE", f"/users/org/{olga.user.id}", olga.access_token),
        (call, web, "PATCH", f"/users/org/{alice.user.id}", alice.access_token, {"role": "admin"}),
        (call, web, "PATCH", f"/users/org/{alice.user.id}", olga.access_token, {"active": False}),
    )
    assert {status for status, _ in answers} <= {200, 204, 401, 403, 404, 409}
    assert owners(owner_connection) >= 1


def test_one_address_that_registers_and_is_invited_at_once_has_one_account(web, alice, owner_connection):
    owner_connection.execute("UPDATE accounts_user SET email_verified_at = now()")
    _, invited = call(web, "POST", "/orgs/invitations", alice.access_token, {"email": "dora@else.example"})
    link = make_link("invitation", organization_id=alice.organization_id, subject_id=UUID(invited["id"]))
    accept = {"token": link.partition("token=")[2], "password": PASSWORD}
    register = {"email": "DORA@else.example", "password": PASSWORD, "org": "Else"}
    answers = at_once(
        *[(call, web, "POST", "/invitations/accept", None, accept)] * 3,
        *[(call, web, "POST", "/auth/register", None, register)] * 3,
    )
    assert [status for status, _ in answers].count(201) == 1
    assert {status for status, _ in answers} <= {201, 409, 410}
    found = owner_connection.execute(
        "SELECT count(*) FROM accounts_user WHERE email_key = 'dora@else.example'"
    )
    assert found.fetchone() == (1,)
    empty = (
        "SELECT count(*) FROM tenancy_organization o WHERE slug <> 'support' "
        "AND NOT EXISTS (SELECT FROM accounts_user u WHERE u.organization_id = o.id)"
    )
    assert owner_connection.execute(empty).fetchone() == (0,)


def test_a_session_that_a_new_password_ends_changes_no_address_any_more(web, alice, owner_connection):
    """A change that began before, and waited for the person's row meanwhile."""
    thief = {"email": "thief@evil.example", "name": "Thief"}
    with ThreadPoolExecutor(1) as pool:
        with owner_connection.transaction():
            owner_connection.execute("SELECT FROM accounts_user WHERE id = %s FOR UPDATE", [alice.user.id])
            change = pool.submit(call, web, "PATCH", "/users/me", alice.access_token, thief)
            assert eventually(lambda: is_waiting(owner_connection))
            owner_connection.execute("UPDATE accounts_session SET revoked_at = now()")
        status, answer = change.result()
    assert (status, answer["code"]) == (401, "invalid_token")
    found = owner_connection.execute("SELECT pending_email, name FROM accounts_user").fetchall()
    assert found == [("", "Alice")]
