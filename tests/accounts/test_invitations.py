"""People come in by invitation alone, each to the organization that sent it, and no more than its plan has seats."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from accounts.models import User
from accounts.services import invitations
from saas.kit.rate_limits import INVITATIONS, MAILS_TO_AN_ADDRESS
from tenancy.context import org_context
from tenancy.models import Role
from tests.accounts.asking import assert_field_errors, assert_refused, count, in_thread, is_waiting, queries
from tests.accounts.lifecycle import sent, token_in
from tests.conftest import PASSWORD, Api, make_member
from tests.project.launching import eventually

DORA = "dora@else.example"


@pytest.fixture(autouse=True)
def verified(alice, owner_connection):
    owner_connection.execute("UPDATE accounts_user SET email_verified_at = now()")
    give_seats(owner_connection, 10)


def give_seats(owner, seats):
    owner.execute("UPDATE tenancy_organization SET seat_limit = %s", [seats])


def invite(person, email=DORA, **body):
    return person.api.post("/orgs/invitations", {"email": email, **body})


def accept(token, api=None, **body):
    return (api or Api()).post("/invitations/accept", {"token": token, "password": PASSWORD, **body})


@pytest.fixture
def token(alice, mailoutbox):
    return invited_token(alice, mailoutbox)


def invited_token(person, mailoutbox, email=DORA, **body):
    answer = invite(person, email, **body)
    assert answer.status_code == 201, answer.content
    [mail] = sent(mailoutbox, person.organization_id, "accounts/invitation")
    assert mail.to == [email]
    return token_in(mail, "invitation")


class TestInvite:
    def test_it_works(self, alice, mailoutbox):
        answer = invite(alice, role="admin")
        assert answer.status_code == 201
        body = answer.json()
        assert (body["email"], body["role"]) == (DORA, "admin")
        assert body["invited_by"] == {
            "id": str(alice.user.id),
            "name": "Alice",
            "email": "alice@acme.example",
        }
        assert "token" not in body
        [mail] = sent(mailoutbox, alice.organization_id, "accounts/invitation")
        assert (mail.subject, mail.to) == ("Alice invites you to Acme", [DORA])

    def test_it_needs_a_verified_address(self, alice, owner_connection):
        owner_connection.execute("UPDATE accounts_user SET email_verified_at = NULL")
        assert_refused(invite(alice), 403, "email_not_verified")

    def test_members_may_not(self, bob):
        assert_refused(invite(bob), 403, "insufficient_role")
        assert_refused(bob.api.get("/orgs/invitations"), 403, "insufficient_role")

    def test_an_admin_invites_no_owner(self, alice, owner_connection):
        admin = make_member(alice.organization_id, "ada@acme.example", role=Role.ADMIN)
        owner_connection.execute("UPDATE accounts_user SET email_verified_at = now()")
        assert_refused(invite(admin, role="owner"), 403, "insufficient_role")
        assert invite(admin, role="admin").status_code == 201

    def test_a_member_is_not_invited_again(self, alice, bob):
        assert_refused(invite(alice, "BOB@acme.example"), 409, "already_member")

    def test_that_an_address_has_an_account_elsewhere_stays_unknown(self, alice, charlie):
        keys = [set(invite(alice, email).json()) for email in ("charlie@globex.example", DORA)]
        assert keys[0] == keys[1]

    def test_seats_count_members_and_invitations(self, alice, bob, owner_connection):
        give_seats(owner_connection, 3)
        assert invite(alice).status_code == 201
        assert_refused(invite(alice, "eve@else.example"), 402, "limit_exceeded")
        assert invite(alice).status_code == 201  # The same one again takes no further seat.

    def test_a_deactivated_member_takes_no_seat_and_needs_one_to_come_back(
        self, alice, bob, owner_connection
    ):
        give_seats(owner_connection, 2)
        path = f"/users/org/{bob.user.id}"
        alice.api.patch(path, {"active": False})
        assert invite(alice).status_code == 201
        assert_refused(alice.api.patch(path, {"active": True}), 402, "limit_exceeded")

    def test_a_suspended_organization_invites_nobody(self, alice, owner_connection):
        owner_connection.execute("UPDATE tenancy_organization SET access = 'read_only'")
        assert_refused(invite(alice), 402, "subscription_required")

    @pytest.mark.parametrize(
        ("body", "pointer", "code"),
        [
            ({"email": "no address"}, "#/email", "invalid"),
            ({"email": 5}, "#/email", "invalid"),
            ({"email": DORA, "role": "king"}, "#/role", "invalid_choice"),
            ({"email": DORA, "organization": "x"}, "#/organization", "unknown_field"),
        ],
    )
    def test_it_refuses(self, alice, body, pointer, code):
        assert_field_errors(alice.api.post("/orgs/invitations", body), (pointer, code))

    def test_an_address_gets_so_many_mails_and_no_more(self, alice, mailoutbox):
        for _ in range(MAILS_TO_AN_ADDRESS.amount + 1):
            assert invite(alice).status_code == 201
        mails = sent(mailoutbox, alice.organization_id, "accounts/invitation")
        assert len(mails) == MAILS_TO_AN_ADDRESS.amount

    def test_two_at_once_take_one_seat(self, alice, owner_connection):
        give_seats(owner_connection, 2)
        emails = [f"p{number}@else.example" for number in range(6)]
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda email: in_thread(invite, alice, email), emails))
        assert sorted(answer.status_code for answer in answers) == [201] + [402] * 5
        assert count(owner_connection, "accounts_invitation") == 1

    def test_an_admin_leaves_an_owners_invitation_alone(self, alice, owner_connection):
        invitation = invite(alice, role="owner").json()
        admin = make_member(alice.organization_id, "ada@acme.example", role=Role.ADMIN)
        owner_connection.execute("UPDATE accounts_user SET email_verified_at = now()")
        assert_refused(invite(admin), 403, "insufficient_role")
        withdrawn = admin.api.delete(f"/orgs/invitations/{invitation['id']}")
        assert_refused(withdrawn, 403, "insufficient_role")

    def test_an_organization_sends_so_many_and_no_more(self, alice, owner_connection):
        give_seats(owner_connection, None)
        answers = [invite(alice, f"p{n}@else.example") for n in range(INVITATIONS.amount + 1)]
        assert {answer.status_code for answer in answers[:-1]} == {201}
        assert_refused(answers[-1], 429, "rate_limited")


class TestList:
    def test_it_shows_what_is_open(self, alice, fake_clock, owner_connection):
        for email in ("a@else.example", "b@else.example", "c@else.example"):
            invite(alice, email)
        first = alice.api.get("/orgs/invitations?limit=2").json()
        assert [each["email"] for each in first["data"]] == ["a@else.example", "b@else.example"]
        rest = alice.api.get(f"/orgs/invitations?cursor={first['next_cursor']}").json()
        assert [each["email"] for each in rest["data"]] == ["c@else.example"]
        assert (first["has_more"], rest["has_more"]) == (True, False)
        fake_clock.advance(days=7, seconds=1)
        fresh = Api(
            Api()
            .post("/auth/login", {"email": "alice@acme.example", "password": PASSWORD})
            .json()["access_token"]
        )
        assert fresh.get("/orgs/invitations").json()["data"] == []

    def test_ten_more_cost_no_more_queries(self, alice, owner_connection):
        give_seats(owner_connection, None)
        invite(alice, "a@else.example")
        with queries() as few:
            alice.api.get("/orgs/invitations")
        for number in range(10):
            invite(alice, f"p{number}@else.example")
        with queries() as many:
            assert len(alice.api.get("/orgs/invitations").json()["data"]) == 11
        assert len(many) <= len(few)


class TestWithdraw:
    def test_the_link_leads_nowhere(self, alice, token):
        [invitation] = alice.api.get("/orgs/invitations").json()["data"]
        assert alice.api.delete(f"/orgs/invitations/{invitation['id']}").status_code == 204
        assert_refused(accept(token), 410, "invitation_expired")
        assert_refused(alice.api.delete(f"/orgs/invitations/{invitation['id']}"), 404, "not_found")

    def test_it_waits_for_who_is_coming_in_just_now(self, alice, token, monkeypatch, owner_connection):
        [invitation] = alice.api.get("/orgs/invitations").json()["data"]
        create, withdrawals = invitations.create_user, []

        with ThreadPoolExecutor(1) as pool:

            def create_while_it_is_withdrawn(**facts):
                path = f"/orgs/invitations/{invitation['id']}"
                withdrawals.append(pool.submit(in_thread, alice.api.delete, path))
                assert eventually(lambda: is_waiting(owner_connection))
                return create(**facts)

            monkeypatch.setattr(invitations, "create_user", create_while_it_is_withdrawn)
            assert accept(token).status_code == 201
            assert_refused(withdrawals[0].result(), 404, "not_found")

    def test_an_invitation_outlives_its_inviter(self, alice, mailoutbox, owner_connection):
        admin = make_member(alice.organization_id, "ada@acme.example", role=Role.ADMIN)
        owner_connection.execute("UPDATE accounts_user SET email_verified_at = now()")
        token = invited_token(admin, mailoutbox)
        assert alice.api.delete(f"/users/org/{admin.user.id}").status_code == 204
        [invitation] = alice.api.get("/orgs/invitations").json()["data"]
        assert invitation["invited_by"] is None
        assert accept(token).status_code == 201


class TestAccept:
    def test_it_makes_a_member_who_is_logged_in(self, alice, mailoutbox):
        token = invited_token(alice, mailoutbox, role="admin")
        answer = accept(token, name="Dora")
        assert answer.status_code == 201
        me = Api(answer.json()["access_token"]).get("/users/me").json()
        assert (me["email"], me["name"], me["role"], me["email_verified"]) == (DORA, "Dora", "admin", True)
        assert me["org"]["id"] == str(alice.organization_id)
        assert alice.api.get("/orgs/invitations").json()["data"] == []

    def test_it_works_once(self, token):
        assert accept(token).status_code == 201
        assert_refused(accept(token), 410, "invitation_expired")

    def test_two_at_once_make_one_member(self, alice, token, owner_connection):
        with ThreadPoolExecutor(8) as pool:
            answers = pool.map(lambda _: in_thread(accept, token), range(8))
            statuses = sorted(answer.status_code for answer in answers)
        assert statuses == [201] + [410] * 7
        assert count(owner_connection, "accounts_user") == 2

    def test_it_runs_out_after_seven_days(self, token, fake_clock):
        fake_clock.advance(days=7, seconds=1)
        assert_refused(accept(token), 410, "invitation_expired")

    def test_a_later_one_voids_an_earlier(self, alice, token, mailoutbox):
        newer = invited_token(alice, mailoutbox)
        assert_refused(accept(token), 410, "invitation_expired")
        assert accept(newer).status_code == 201

    def test_a_forged_one_is_refused(self, token):
        assert_field_errors(accept(token[:-1]), ("#/token", "invalid_link"))

    def test_a_bad_password_leaves_it_good(self, token):
        assert_field_errors(accept(token, password="password123"), ("#/password", "password_too_common"))
        assert accept(token).status_code == 201

    def test_who_is_logged_in_with_another_address_is_told(self, token, charlie):
        assert_refused(accept(token, charlie.api), 403, "email_mismatch")

    def test_who_has_an_account_is_told(self, alice, charlie, mailoutbox):
        token = invited_token(alice, mailoutbox, "charlie@globex.example")
        assert_refused(accept(token, charlie.api), 409, "email_taken")
        assert_refused(accept(token), 409, "email_taken")
        assert charlie.api.get("/users/me").json()["org"]["name"] == "Globex"
        with org_context(alice.organization_id):
            assert User.objects.count() == 1

    def test_the_seat_must_still_be_there(self, alice, token, owner_connection):
        give_seats(owner_connection, 1)
        assert_refused(accept(token), 402, "limit_exceeded")
        give_seats(owner_connection, 2)
        assert accept(token).status_code == 201

    def test_a_suspended_organization_takes_nobody_in(self, alice, token, owner_connection):
        owner_connection.execute("UPDATE tenancy_organization SET access = 'read_only'")
        assert_refused(accept(token), 402, "subscription_required")
