"""What an organization sees of the support staff, and its switch: whoever may, and nobody else."""

import re
from uuid import uuid4

import pytest

from accounts.services.members import RoleTooLow, set_support_allowed
from tenancy.context import org_context
from tenancy.models import Organization, Role
from tests.accounts.asking import queries
from tests.conftest import make_member
from tests.pages.browsing import assert_page, browser_of
from tests.support.conftest import acme, desk, sam  # noqa: F401 (fixtures)

PAGE = "/organization/support"
SWITCHED_OFF = {"is_allowed": "false"}
WRITE = """
INSERT INTO tenancy_supportaudit
    (id, at, staff_id, staff_email, action, organization_id, reason, target, details, transaction_number)
SELECT gen_random_uuid(), now() - n * interval '1 minute', %s, 'sue@support.example', 'open_access', %s,
    'reason-' || n || '.', '', '{}', 1
FROM generate_series(1, %s) n
"""


def is_allowed(person):
    with org_context(person.organization_id):
        return Organization.objects.get().support_allowed


@pytest.fixture
def admin(alice):
    return make_member(alice.organization_id, "ada@acme.example", Role.ADMIN, "Ada")


class TestAccesses:
    def test_none_is_told(self, alice):
        assert_page(browser_of(alice).get(PAGE), 200, "Support has never looked in here.")

    @pytest.mark.parametrize("role", ["owner", "admin"])
    def test_they_say_who_what_and_why(self, role, alice, admin, bob, desk, acme):  # noqa: F811
        assert desk.act(acme, "end_sessions", bob.user.id, reason="<b>lost</b> phone").status_code == 302
        page = browser_of(alice if role == "owner" else admin).get(PAGE)
        assert_page(
            page, 200, "Open access", "ticket 7", "by sam@support.example", "End all sessions", "· Bob<"
        )
        assert "&lt;b&gt;lost&lt;/b&gt; phone" in page.text
        assert page.text.index("End all sessions") < page.text.index("Open access")

    def test_who_was_removed_is_named_by_their_id(self, alice, bob, desk, acme):  # noqa: F811
        desk.act(acme, "deactivate_user", bob.user.id)
        assert alice.api.delete(f"/users/org/{bob.user.id}").status_code == 204
        assert_page(browser_of(alice).get(PAGE), 200, str(bob.user.id))

    def test_a_target_that_is_no_id_is_shown_as_it_is(self, alice, owner_connection):
        """As SQL injected into the admin could write it; the owners' page shows it all the same."""
        owner_connection.execute(WRITE, [uuid4(), alice.organization_id, 1])
        owner_connection.execute(
            """UPDATE tenancy_supportaudit SET target = 'no id', details = '{"user_id": "x"}'"""
        )
        assert_page(browser_of(alice).get(PAGE), 200, "no id")

    def test_they_are_ones_own_organizations_alone(self, alice, charlie, desk, acme):  # noqa: F811
        desk.open(charlie.organization_id, reason="about globex")
        assert "about globex" not in browser_of(alice).get(PAGE).text
        page = browser_of(charlie).get(PAGE)
        assert_page(page, 200, "about globex")
        assert "ticket 7" not in page.text

    def test_the_latest_50_are_shown_with_as_many_queries_as_one(self, alice, owner_connection):
        browser = browser_of(alice)
        owner_connection.execute(WRITE, [uuid4(), alice.organization_id, 1])
        with queries() as few:
            browser.get(PAGE)
        owner_connection.execute(WRITE, [uuid4(), alice.organization_id, 51])
        with queries() as many:
            page = browser.get(PAGE)
        assert page.text.count("by sue@support.example") == 50
        assert "reason-1." in page.text
        assert "reason-51." not in page.text
        assert len(many) == len(few)

    def test_none_is_pushed_out_of_sight(self, alice, owner_connection):
        browser = browser_of(alice)
        owner_connection.execute(WRITE, [uuid4(), alice.organization_id, 51])
        (older,) = re.findall(r'href="(\?before=[^"]+)"', browser.get(PAGE).text)
        page = browser.get(f"{PAGE}{older}")
        assert "reason-51." in page.text
        assert "reason-50." not in page.text
        assert browser.get(f"{PAGE}?before=x").status_code == 404

    def test_they_are_german_for_who_reads_german(self, alice, acme):  # noqa: F811
        assert alice.api.patch("/users/me", {"locale": "de"}).status_code == 200
        page = browser_of(alice).get(PAGE)
        assert_page(page, 200, "Zugriff geöffnet", "von sam@support.example")


class TestSwitch:
    def test_off_and_on(self, alice, charlie):
        browser = browser_of(alice)
        response = browser.send(PAGE, SWITCHED_OFF)
        assert (response.status_code, response.headers["Location"]) == (303, PAGE)
        assert_page(browser.get(PAGE), 200, "Support access is switched off.", "Allow it")
        assert (is_allowed(alice), is_allowed(charlie)) == (False, True)
        assert browser.send(PAGE, {"is_allowed": "true"}).status_code == 303
        assert_page(browser.get(PAGE), 200, "Support access is allowed.", "Switch it off")
        assert is_allowed(alice)

    def test_off_closes_what_is_open_at_once(self, alice, desk, acme):  # noqa: F811
        assert desk.get(f"/admin/organizations/{acme}/users").status_code == 200
        browser_of(alice).send(PAGE, SWITCHED_OFF)
        assert desk.get(f"/admin/organizations/{acme}/users").status_code == 403
        assert desk.open(acme).status_code == 409

    def test_on_again_it_is_opened_anew(self, alice, desk, acme):  # noqa: F811
        browser = browser_of(alice)
        browser.send(PAGE, SWITCHED_OFF)
        browser.send(PAGE, {"is_allowed": "true"})
        assert desk.get(f"/admin/organizations/{acme}/users").status_code == 403
        desk.open(acme)
        assert desk.get(f"/admin/organizations/{acme}/users").status_code == 200

    def test_it_works_while_a_payment_is_due(self, alice):
        with org_context(alice.organization_id):
            Organization.objects.update(access="read_only")
        assert browser_of(alice).send(PAGE, SWITCHED_OFF).status_code == 303
        assert not is_allowed(alice)

    def test_an_admin_sees_it_and_can_not_press_it(self, alice, admin):
        browser = browser_of(admin)
        page = browser.get(PAGE)
        assert_page(page, 200, "Owners can switch it.")
        assert 'name="is_allowed"' not in page.text
        assert_page(browser.send(PAGE, SWITCHED_OFF, page="/account"), 403, "An owner of your organization")
        assert is_allowed(alice)

    def test_a_member_gets_neither_page_nor_switch(self, alice, bob):
        browser = browser_of(bob)
        assert_page(browser.get(PAGE), 403)
        assert_page(browser.send(PAGE, SWITCHED_OFF, page="/account"), 403)
        assert is_allowed(alice)

    @pytest.mark.parametrize("role", [Role.ADMIN, Role.MEMBER])
    def test_an_owner_who_was_demoted_meanwhile_can_not_finish(self, role, alice):
        """The page saw an owner; the service asks again under the organization's lock."""
        demoted = make_member(alice.organization_id, "dan@acme.example", role)
        with org_context(alice.organization_id), pytest.raises(RoleTooLow):
            set_support_allowed(is_allowed=False, by=demoted.user.id)
        assert is_allowed(alice)

    @pytest.mark.parametrize("data", [{}, {"is_allowed": "perhaps"}])
    def test_a_choice_that_is_none_is_refused(self, data, alice):
        assert browser_of(alice).send(PAGE, data, page="/account").status_code == 422
        assert is_allowed(alice)
