"""Requests that meet over HTTP, in workers of their own; counted in the database."""

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest

from accounts.links import make_link
from tests.conftest import PASSWORD, make_member
from tests.faults.test_revocation import call
from tests.project.test_gunicorn import running

ROUNDS = 5


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    with running(tmp_path_factory.mktemp("web") / "log", WEB_WORKERS="4") as server:
        yield server


def at_once(*calls):
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(*each) for each in calls]]


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
