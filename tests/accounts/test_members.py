import os
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import psycopg
import pytest
from django.db import connections

from accounts.models import User
from accounts.services.members import RoleTooLow, change_member, remove_member
from tenancy.context import org_context
from tenancy.models import Role
from tests.accounts.asking import assert_field_errors, assert_refused, is_waiting, queries
from tests.conftest import Api, make_member, make_owner
from tests.project.launching import eventually


def make_admin(alice):
    return make_member(alice.organization_id, "ada@acme.example", role=Role.ADMIN, name="Ada")


def make_people(alice, amount):
    with org_context(alice.organization_id):
        User.objects.bulk_create(
            User(email=f"p{number}@acme.example", name=f"P{number}", password="!") for number in range(amount)
        )


def assert_parameter_refused(response, parameter, code):
    assert_refused(response, 422, "validation_failed")
    [error] = response.json()["errors"]
    assert (error["parameter"], error["code"]) == (parameter, code)


def path(person):
    return f"/users/org/{person.user.id}"


class TestListMembers:
    def emails(self, api, query=""):
        response = api.get(f"/users/org{query}")
        assert response.status_code == 200, response.content
        return [member["email"] for member in response.json()["data"]]

    def test_it_works(self, alice, bob, charlie):
        response = alice.api.get("/users/org")

        assert response.status_code == 200
        listed = response.json()
        assert (listed["next_cursor"], listed["has_more"]) == (None, False)
        assert [member["id"] for member in listed["data"]] == [str(alice.user.id), str(bob.user.id)]
        second = listed["data"][1]
        assert set(second) == {
            "id",
            "email",
            "email_verified",
            "name",
            "role",
            "active",
            "created_at",
            "last_login_at",
        }
        assert (second["email"], second["role"], second["active"]) == ("bob@acme.example", "member", True)

    def test_admins_may_see_it(self, alice):
        assert len(self.emails(make_admin(alice).api)) == 2

    def test_members_may_not(self, bob, anonymous):
        assert_refused(bob.api.get("/users/org"), 403, "insufficient_role")
        assert_refused(anonymous.get("/users/org"), 401, "not_authenticated")

    def test_filters(self, alice, bob):
        make_admin(alice)
        alice.api.patch(path(bob), {"active": False})

        assert self.emails(alice.api, "?role=admin") == ["ada@acme.example"]
        assert self.emails(alice.api, "?status=deactivated") == ["bob@acme.example"]
        assert self.emails(alice.api, "?status=active") == ["alice@acme.example", "ada@acme.example"]
        assert self.emails(alice.api, "?status=active&role=owner") == ["alice@acme.example"]
        assert self.emails(alice.api, "?q=BOB") == ["bob@acme.example"]
        assert self.emails(alice.api, "?q=Ada") == ["ada@acme.example"]
        assert self.emails(alice.api, "?q=%25") == []
        assert self.emails(alice.api, "?q=_lice") == []

    @pytest.mark.parametrize("limit", [1, 2, 100])
    def test_pages_join_without_a_gap(self, alice, limit):
        # Made by one statement: many have the same moment, so the id has to decide.
        make_people(alice, 7)
        seen, query = [], f"?limit={limit}"
        while True:
            answer = alice.api.get(f"/users/org{query}").json()
            assert len(answer["data"]) <= limit
            seen += [member["id"] for member in answer["data"]]
            assert answer["has_more"] is (answer["next_cursor"] is not None)
            if not answer["has_more"]:
                break
            query = f"?limit={limit}&cursor={answer['next_cursor']}"
        assert len(seen) == len(set(seen)) == 8

    def test_a_page_that_is_just_full_has_no_next(self, alice, bob):
        assert alice.api.get("/users/org?limit=2").json()["has_more"] is False

    def test_25_are_a_page_unless_told_otherwise(self, alice):
        make_people(alice, 30)

        assert len(self.emails(alice.api)) == 25

    @pytest.mark.parametrize(
        ("query", "parameter", "code"),
        [
            ("limit=0", "limit", "min_value"),
            ("limit=101", "limit", "max_value"),
            ("limit=ten", "limit", "invalid"),
            ("limit=", "limit", "invalid"),
            ("limit=1_0", "limit", "invalid"),
            ("limit=%D9%A5", "limit", "invalid"),
            ("limit=+5", "limit", "invalid"),
            ("limit=%2B5", "limit", "invalid"),
            ("limit=5%0A", "limit", "invalid"),
            ("limit=5.0", "limit", "invalid"),
            ("limit=1&limit=2", "limit", "repeated"),
            ("role=king", "role", "invalid_choice"),
            ("status=gone", "status", "invalid_choice"),
            ("q=" + "x" * 201, "q", "max_length"),
            ("q=%00", "q", "control_character"),
            ("offset=5", "offset", "unknown_field"),
            ("cursor=rubbish", "cursor", "invalid"),
            ("cursor=WzEsMl0=", "cursor", "invalid"),
            ("cursor=%C3%BC", "cursor", "invalid"),
            ("cursor=e30=", "cursor", "invalid"),
            # ["2026-01-01T00:00:00", "<uuid>"]: no time zone.
            (
                "cursor=WyIyMDI2LTAxLTAxVDAwOjAwOjAwIiwiMDAwMDAwMDAtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAxIl0=",
                "cursor",
                "invalid",
            ),
            # ["0001-01-01T00:00:00+14:00", "<uuid>"]: before all time in UTC.
            (
                "cursor=WyIwMDAxLTAxLTAxVDAwOjAwOjAwKzE0OjAwIiwiMDAwMDAwMDAtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAxIl0=",
                "cursor",
                "invalid",
            ),
        ],
    )
    def test_it_refuses_a_bad_parameter(self, alice, query, parameter, code):
        assert_parameter_refused(alice.api.get(f"/users/org?{query}"), parameter, code)

    def test_a_foreign_cursor_shows_nothing_foreign(self, alice, charlie):
        make_people(charlie, 3)
        cursor = charlie.api.get("/users/org?limit=1").json()["next_cursor"]

        assert set(self.emails(alice.api, f"?cursor={cursor}")) <= {"alice@acme.example"}

    def test_more_rows_cost_no_more_queries(self, alice):
        alice.api.get("/users/org")
        with queries() as few:
            alice.api.get("/users/org?limit=100")
        make_people(alice, 20)
        with queries() as many:
            alice.api.get("/users/org?limit=100")
        assert len(few) == len(many) == 1


class TestChangeMember:
    def test_a_role_counts_on_the_very_next_request(self, alice, bob):
        assert_refused(bob.api.get("/users/org"), 403, "insufficient_role")

        response = alice.api.patch(path(bob), {"role": "admin"})

        assert (response.status_code, response.json()["role"]) == (200, "admin")
        assert bob.api.get("/users/org").status_code == 200
        alice.api.patch(path(bob), {"role": "member"})
        assert_refused(bob.api.get("/users/org"), 403, "insufficient_role")
        assert bob.api.post("/auth/validate").json()["role"] == "member"

    def test_deactivation_kills_sessions_at_once(self, alice, bob):
        assert bob.api.get("/users/me").status_code == 200

        response = alice.api.patch(path(bob), {"active": False})

        assert (response.status_code, response.json()["active"]) == (200, False)
        assert_refused(bob.api.get("/users/me"), 401, "invalid_token")
        alice.api.patch(path(bob), {"active": True})
        assert_refused(bob.api.get("/users/me"), 401, "invalid_token")
        log_in = {"email": "bob@acme.example", "password": "a-long-enough-secret"}
        assert Api().post("/auth/login", log_in).status_code == 200

    def test_an_empty_change_changes_nothing(self, alice, bob):
        response = alice.api.patch(path(bob), {})

        assert (response.status_code, response.json()["role"], response.json()["active"]) == (
            200,
            "member",
            True,
        )

    def test_ownership_can_be_handed_over(self, alice, bob):
        assert alice.api.patch(path(bob), {"role": "owner"}).status_code == 200
        assert alice.api.patch(path(alice), {"role": "member"}).status_code == 200

        assert_refused(alice.api.get("/users/org"), 403, "insufficient_role")
        assert_refused(bob.api.patch(path(bob), {"role": "admin"}), 409, "last_owner")

    @pytest.mark.parametrize("change", [{"role": "member"}, {"role": "admin"}, {"active": False}])
    def test_it_refuses_to_lose_the_last_owner(self, alice, bob, change):
        assert_refused(alice.api.patch(path(alice), change), 409, "last_owner")

        assert alice.api.get("/users/me").json()["role"] == "owner"

    def test_a_deactivated_owner_counts_for_none(self, alice, bob):
        alice.api.patch(path(bob), {"role": "owner"})
        alice.api.patch(path(bob), {"active": False})

        assert_refused(alice.api.patch(path(alice), {"role": "member"}), 409, "last_owner")
        assert_refused(alice.api.delete(path(alice)), 409, "last_owner")

    def test_admins_change_neither_owners_nor_make_them(self, alice, bob):
        ada = make_admin(alice)

        assert ada.api.patch(path(bob), {"role": "admin"}).status_code == 200
        assert_refused(ada.api.patch(path(bob), {"role": "owner"}), 403, "insufficient_role")
        assert_refused(ada.api.patch(path(alice), {"role": "member"}), 403, "insufficient_role")
        assert_refused(ada.api.patch(path(alice), {"active": False}), 403, "insufficient_role")
        assert_refused(ada.api.patch(path(ada), {"role": "owner"}), 403, "insufficient_role")

    def test_members_change_nobody(self, alice, bob, anonymous):
        assert_refused(bob.api.patch(path(bob), {"role": "owner"}), 403, "insufficient_role")
        assert_refused(bob.api.patch(path(alice), {"active": False}), 403, "insufficient_role")
        assert_refused(anonymous.patch(path(bob), {"role": "owner"}), 401, "not_authenticated")

    def test_it_hides_other_organizations(self, alice, charlie):
        foreign, missing = (
            alice.api.patch(place, {"role": "admin"}) for place in (path(charlie), f"/users/org/{uuid4()}")
        )

        assert_refused(foreign, 404, "not_found")
        assert_refused(missing, 404, "not_found")
        assert foreign.json()["detail"] == missing.json()["detail"]
        assert charlie.api.get("/users/me").json()["role"] == "owner"

    @pytest.mark.parametrize(
        ("change", "pointer", "code"),
        [
            ({"role": "king"}, "#/role", "invalid_choice"),
            ({"role": None}, "#/role", "null"),
            ({"role": ["owner"]}, "#/role", "invalid_choice"),
            ({"active": "false"}, "#/active", "invalid"),
            ({"active": 0}, "#/active", "invalid"),
            ({"email": "x@y.example"}, "#/email", "unknown_field"),
        ],
    )
    def test_it_refuses(self, alice, bob, change, pointer, code):
        assert_field_errors(alice.api.patch(path(bob), change), (pointer, code))


class TestRemoveMember:
    def test_it_works(self, alice, bob):
        assert bob.api.get("/users/me").status_code == 200

        response = alice.api.delete(path(bob))

        assert (response.status_code, response.content) == (204, b"")
        assert "Content-Length" not in response.headers
        assert_refused(bob.api.get("/users/me"), 401, "invalid_token")
        assert_refused(alice.api.delete(path(bob)), 404, "not_found")
        log_in = {"email": "bob@acme.example", "password": "a-long-enough-secret"}
        assert_refused(Api().post("/auth/login", log_in), 401, "invalid_credentials")

    def test_the_address_is_free_again(self, alice, bob):
        alice.api.delete(path(bob))

        assert make_owner("bob@acme.example", "Bobs").organization_id != alice.organization_id

    def test_it_refuses_the_last_owner(self, alice, bob):
        assert_refused(alice.api.delete(path(alice)), 409, "last_owner")

    def test_admins_do_not_remove_owners(self, alice):
        ada = make_admin(alice)
        second = make_member(alice.organization_id, "oscar@acme.example", role=Role.OWNER)

        assert_refused(ada.api.delete(path(second)), 403, "insufficient_role")
        assert alice.api.delete(path(second)).status_code == 204

    def test_it_hides_other_organizations(self, alice, charlie):
        assert_refused(alice.api.delete(path(charlie)), 404, "not_found")
        assert charlie.api.get("/users/me").status_code == 200

    def test_members_remove_nobody(self, alice, bob):
        assert_refused(bob.api.delete(path(alice)), 403, "insufficient_role")


class TestRaceWithALogIn:
    """A log-in holds the member's row and then refers to the organization's; a change must not wait crosswise."""

    @pytest.mark.parametrize("method", ["patch", "delete"])
    def test_the_change_waits_for_the_log_in_and_ends_its_session(self, method, alice, bob, owner_connection):
        with psycopg.connect(os.environ["OWNER_DATABASE_URL"]) as login:
            login.execute("SELECT id FROM accounts_user WHERE id = %s FOR UPDATE", [bob.user.id])
            with ThreadPoolExecutor() as pool:
                body = {"active": False} if method == "patch" else {}
                change = pool.submit(change_member_over_http, alice, method, bob, body)
                assert eventually(lambda: is_waiting(owner_connection))
                login.execute(
                    "INSERT INTO accounts_session (id, organization_id, user_id, created_at, last_seen_at, expires_at, "
                    "user_agent, refresh_generation, recent_rotations, revoke_reason) VALUES (gen_random_uuid(), %s, %s, "
                    "now(), now(), now() + interval '1 day', '', 1, '[]', '')",
                    [bob.organization_id, bob.user.id],
                )
                login.commit()
                assert change.result(timeout=30) in (200, 204)
        live = owner_connection.execute(
            "SELECT count(*) FROM accounts_session WHERE user_id = %s AND revoked_at IS NULL", [bob.user.id]
        )
        assert live.fetchone() == (0,)


class TestTwoOwnersAtOnce:
    def test_the_second_waits_and_then_is_the_last(self, alice, owner_connection):
        dora = make_member(alice.organization_id, "dora@acme.example", role=Role.OWNER)
        with psycopg.connect(os.environ["OWNER_DATABASE_URL"]) as other, ThreadPoolExecutor() as pool:
            other.execute(
                "SELECT id FROM tenancy_organization WHERE id = %s FOR NO KEY UPDATE", [alice.organization_id]
            )
            other.execute("UPDATE accounts_user SET role = 'member' WHERE id = %s", [dora.user.id])
            change = pool.submit(change_member_over_http, alice, "patch", alice, {"role": "member"})
            assert eventually(lambda: is_waiting(owner_connection) or change.done())
            assert not change.done()
            other.commit()
            assert change.result(timeout=30) == 409
        owners = owner_connection.execute("SELECT count(*) FROM accounts_user WHERE role = 'owner'")
        assert owners.fetchone() == (1,)


def change_member_over_http(alice, method, bob, body):
    try:
        path = f"/users/org/{bob.user.id}"
        return (alice.api.patch(path, body) if method == "patch" else alice.api.delete(path)).status_code
    finally:
        connections.close_all()


class TestCallerWhoWasDemoted:
    """What counts is the role under the lock, not the one that the request began with."""

    def test_a_former_owner_removes_no_owner(self, alice):
        dora = make_member(alice.organization_id, "dora@acme.example", role=Role.OWNER)
        with org_context(alice.organization_id):
            User.objects.filter(id=dora.user.id).update(role=Role.MEMBER)
            with pytest.raises(RoleTooLow):
                remove_member(user_id=alice.user.id, by=dora.user.id)
            with pytest.raises(RoleTooLow):
                change_member(user_id=dora.user.id, by=dora.user.id, role=Role.OWNER)
            assert User.objects.filter(id=alice.user.id).exists()

    def test_a_deactivated_one_does_nothing(self, alice, bob):
        dora = make_member(alice.organization_id, "dora@acme.example", role=Role.OWNER)
        with org_context(alice.organization_id):
            User.objects.filter(id=dora.user.id).update(deactivated_at=dora.user.created_at)
            with pytest.raises(RoleTooLow):
                remove_member(user_id=bob.user.id, by=dora.user.id)
