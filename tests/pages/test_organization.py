"""The organization's pages: its name, its members, its invitations."""

import re

import pytest

from accounts.models import Invitation, User
from saas.kit import clock
from tenancy.context import org_context
from tenancy.models import Organization, Role
from tests.accounts.asking import queries
from tests.conftest import make_member
from tests.pages.browsing import assert_page, browser_of


def person(of):
    with org_context(of.organization_id):
        return User.objects.filter(id=of.user.id).first()


def member_path(of, action=""):
    return f"/organization/members/{of.user.id}{action}"


def verify(of):
    with org_context(of.organization_id):
        User.objects.filter(id=of.user.id).update(email_verified_at=clock.now())


@pytest.fixture
def admin(alice):
    return make_member(alice.organization_id, "ada@acme.example", Role.ADMIN, "Ada")


class TestName:
    def test_it_is_changed(self, alice):
        browser = browser_of(alice)
        response = browser.send("/organization", {"name": "Acme & Sons"})
        assert (response.status_code, response.headers["Location"]) == (303, "/organization")
        assert_page(browser.get("/organization"), 200, "Acme &amp; Sons", "The new name is saved.")

    def test_an_empty_one_is_refused(self, alice):
        assert_page(browser_of(alice).send("/organization", {"name": " "}), 422, 'aria-invalid="true"')

    def test_a_member_can_neither_see_the_form_nor_send_it(self, alice, bob):
        browser = browser_of(bob)
        page = browser.get("/organization")
        assert_page(page, 200, "You are a member", "Acme")
        assert 'name="name"' not in page.text
        response = browser.send("/organization", {"name": "Bobs"}, page="/account")
        assert_page(response, 403, "An owner or admin")
        with org_context(alice.organization_id):
            assert Organization.objects.get().name == "Acme"


class TestMembers:
    def test_they_are_listed_with_their_roles(self, alice, bob, charlie):
        page = browser_of(alice).get("/organization/members")
        assert_page(page, 200, "Alice", "Owner", "Bob", "Member")
        assert "Charlie" not in page.text

    def test_they_can_be_searched(self, alice, bob):
        browser = browser_of(alice)
        page = browser.get("/organization/members?q=BOB@")
        assert "Bob</strong>" in page.text
        assert "Alice</strong> <span" not in page.text
        assert_page(browser.get("/organization/members?q=nobody"), 200, "Nobody fits.")
        assert_page(browser.get("/organization/members?q="), 200, "Bob</strong>")

    def test_they_are_shown_page_by_page(self, alice, bob):
        browser = browser_of(alice)
        first = browser.get("/organization/members?limit=1").text
        assert "Alice</strong> <span" in first
        assert "Bob</strong>" not in first
        cursor = first.partition('href="?cursor=')[2].partition('"')[0]
        second = browser.get(f"/organization/members?limit=1&cursor={cursor}").text
        assert "Bob</strong>" in second
        assert "Next page" not in second

    def test_the_next_page_is_of_the_same_list(self, alice, bob):
        page = browser_of(alice).get("/organization/members?limit=1&status=active").text
        assert re.search(r'href="\?cursor=[^"]+&amp;limit=1&amp;status=active"', page)

    def test_a_cursor_of_nobody_is_refused(self, alice):
        assert browser_of(alice).get("/organization/members?cursor=x").status_code == 422

    def test_more_of_them_cost_no_more_queries(self, alice):
        browser = browser_of(alice)
        with queries() as few:
            browser.get("/organization/members")
        for number in range(10):
            make_member(alice.organization_id, f"member{number}@acme.example")
        with queries() as many:
            browser.get("/organization/members")
        assert len(many) == len(few) == 2


class TestMember:
    def test_the_role_is_changed(self, alice, bob):
        browser = browser_of(alice)
        response = browser.send(member_path(bob), {"role": "admin"})
        assert (response.status_code, response.headers["Location"]) == (303, member_path(bob))
        assert person(bob).role == "admin"

    def test_a_form_without_a_role_changes_nothing_and_says_so(self, alice, bob):
        response = browser_of(alice).send(member_path(bob), {})
        assert response.status_code == 422
        assert "The new role is saved" not in response.text

    def test_an_admin_makes_no_owners(self, admin, bob):
        browser = browser_of(admin)
        page = browser.get(member_path(bob))
        assert 'value="admin"' in page.text
        assert 'value="owner"' not in page.text
        assert_page(browser.send(member_path(bob), {"role": "owner"}), 403, "Only owners may change owners")
        assert person(bob).role == "member"

    def test_an_admin_does_not_change_an_owner(self, alice, admin):
        browser = browser_of(admin)
        assert_page(browser.get(member_path(alice)), 200, "Only an owner can change an owner.")
        for action in ("/deactivate", "/remove"):
            response = browser.send(member_path(alice, action), page="/account")
            assert_page(response, 403, "Only owners may change owners")
        assert person(alice).is_active

    def test_deactivated_and_back(self, alice, bob):
        own, browser = browser_of(bob), browser_of(alice)
        browser.send(member_path(bob, "/deactivate"), page=member_path(bob))
        assert not person(bob).is_active
        assert own.get("/account").status_code == 303
        assert_page(browser.get(member_path(bob)), 200, "Reactivate")
        browser.send(member_path(bob, "/reactivate"), page=member_path(bob))
        assert person(bob).is_active

    def test_back_only_to_a_free_seat(self, alice, bob):
        browser = browser_of(alice)
        browser.send(member_path(bob, "/deactivate"), page=member_path(bob))
        with org_context(alice.organization_id):
            Organization.objects.update(seat_limit=1)
        response = browser.send(member_path(bob, "/reactivate"), page=member_path(bob))
        assert_page(response, 402, "choose a larger plan")

    def test_removed(self, alice, bob):
        response = browser_of(alice).send(member_path(bob, "/remove"), page=member_path(bob))
        assert response.headers["Location"] == "/organization/members"
        assert person(bob) is None

    def test_the_last_owner_stays(self, alice):
        browser = browser_of(alice)
        for path, data in [
            (member_path(alice), {"role": "member"}),
            (member_path(alice, "/deactivate"), {}),
            (member_path(alice, "/remove"), {}),
        ]:
            response = browser.send(path, data, page="/account")
            assert_page(response, 409, "at least one active owner")
        assert (person(alice).role, person(alice).is_active) == ("owner", True)


class TestHandOver:
    def test_another_becomes_owner_and_oneself_admin(self, alice, bob):
        browser = browser_of(alice)
        response = browser.send(member_path(bob, "/hand-over"), page=member_path(bob))
        assert (response.status_code, response.headers["Location"]) == (303, member_path(bob))
        assert (person(alice).role, person(bob).role) == ("admin", "owner")
        assert alice.api.patch(f"/users/org/{bob.user.id}", {"role": "member"}).status_code == 403

    def test_only_an_owner_has_it_to_give(self, admin, bob):
        browser = browser_of(admin)
        assert "Hand over" not in browser.get(member_path(bob)).text
        assert_page(browser.send(member_path(bob, "/hand-over"), page="/account"), 403)
        assert person(bob).role == "member"

    def test_not_to_oneself_nor_to_somebody_deactivated(self, alice, bob):
        browser = browser_of(alice)
        browser.send(member_path(bob, "/deactivate"), page=member_path(bob))
        for unfit in (alice, bob):
            response = browser.send(member_path(unfit, "/hand-over"), page="/account")
            assert_page(response, 409, "another person, who is active")
        assert (person(alice).role, person(bob).role) == ("owner", "member")


class TestInvitations:
    def test_one_is_sent_listed_and_taken_back(self, alice):
        verify(alice)
        browser = browser_of(alice)
        assert_page(browser.get("/organization/invitations"), 200, "No invitation is open.")
        fields = {"email": "dave@acme.example", "role": "admin"}
        assert browser.send("/organization/invitations", fields).status_code == 303
        assert_page(browser.get("/organization/invitations"), 200, "dave@acme.example", "by Alice", "Admin")
        with org_context(alice.organization_id):
            invitation = Invitation.objects.get()
        path = f"/organization/invitations/{invitation.id}/withdraw"
        assert browser.send(path, page="/organization/invitations").status_code == 303
        with org_context(alice.organization_id):
            assert not Invitation.objects.exists()

    def test_ones_own_address_comes_first(self, alice):
        browser = browser_of(alice)
        page = browser.get("/organization/invitations")
        assert_page(page, 200, "First confirm your own address")
        response = browser.send("/organization/invitations", {"email": "dave@acme.example"}, page="/account")
        assert_page(response, 403, "Confirm your own address first")

    def test_what_is_refused_is_told_with_what_was_typed(self, alice, bob):
        verify(alice)
        browser = browser_of(alice)
        member = browser.send("/organization/invitations", {"email": bob.user.email, "role": "member"})
        assert_page(member, 409, "a member already", f'value="{bob.user.email}"')
        with org_context(alice.organization_id):
            Organization.objects.update(seat_limit=2)
        full = browser.send("/organization/invitations", {"email": "dave@acme.example", "role": "member"})
        assert_page(full, 402, "choose a larger plan")

    def test_more_of_them_cost_no_more_queries(self, alice):
        browser = browser_of(alice)
        with queries() as few:
            browser.get("/organization/invitations")
        with org_context(alice.organization_id):
            for number in range(10):
                Invitation.objects.create(
                    email=f"guest{number}@acme.example",
                    invited_by=alice.user,
                    expires_at=clock.now().replace(year=2100),
                )
        with queries() as many:
            browser.get("/organization/invitations")
        assert len(many) == len(few) == 2


class TestReadOnly:
    def test_a_suspended_organization_is_read_and_a_persons_own_things_go_on(self, alice, bob):
        browser = browser_of(alice)
        with org_context(alice.organization_id):
            Organization.objects.update(access="read_only")
        assert browser.get("/organization/members").status_code == 200
        response = browser.send(member_path(bob), {"role": "admin"})
        assert_page(response, 402, "A payment is due", "Nothing is lost")
        assert person(bob).role == "member"
        assert browser.send("/account", {"name": "Al"}).status_code == 303
        assert browser.send("/logout", page="/account").status_code == 303
