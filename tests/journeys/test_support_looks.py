"""A staff member looks as the customer, in a real browser: banner, refusal, end, and what the owner reads of it."""

import re

import pytest

from tests.conftest import PASSWORD, make_staff
from tests.journeys.visiting import NARROWEST, shoot, violations
from tests.support.desk import Desk, rows_of_audit

pytestmark = pytest.mark.soak


@pytest.fixture
def desk():
    return Desk(make_staff()).log_in()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_look(visit, owner, desk, owner_connection, theme):
    staff = visit(color_scheme=theme)
    staff.page.goto("/admin/login")
    staff.fill(email=desk.user.email, password=PASSWORD)
    staff.page.locator("input[type=submit]").click()
    staff.page.locator("input[name=code]").fill(desk.code(steps=1))
    staff.page.locator("input[type=submit]").click()
    staff.page.wait_for_url("**/admin")

    staff.page.goto(f"/admin/organizations/{owner.organization_id}")
    staff.page.locator("input[name=reason]").fill("ticket 9")
    staff.page.locator("input[type=submit]").click()
    staff.page.goto(f"/admin/organizations/{owner.organization_id}/users/{owner.user.id}")
    button = staff.page.get_by_role("button", name=re.compile("^Look as"))
    shoot(staff.page, f"look-in-the-admin-{theme}")
    assert violations(staff.page) == []
    form = staff.page.locator("form", has=button)
    form.locator("input[name=reason]").fill("ticket 9: a page is empty")
    button.click()
    staff.page.wait_for_url("**/look?*")
    assert violations(staff.page) == []
    shoot(staff.page, f"look-{theme}")
    staff.press("Begin").at("/account").reads("You look as olive@example.com of Example.")
    assert violations(staff.page) == []
    shoot(staff.page, f"look-banner-{theme}")
    staff.page.set_viewport_size({"width": NARROWEST, "height": 640})
    assert staff.page.evaluate("document.documentElement.scrollWidth") <= NARROWEST

    staff.fill(name="Changed by support").press("Save")
    staff.reads("You look as a customer")
    shoot(staff.page, f"look-refused-{theme}")
    assert violations(staff.page) == []
    staff.page.goto("/account")
    assert staff.page.locator("input[name=name]").input_value() == "Olive"
    staff.press("End the look").at("/")
    assert [row[1] for row in rows_of_audit(owner_connection)][-2:] == ["begin_look", "end_look"]

    customer = visit(color_scheme=theme)
    customer.page.goto("/organization/support")
    customer.fill(email=owner.user.email, password=PASSWORD).press("Log in")
    customer.reads("Look as the customer", "ticket 9: a page is empty", "End the look")
    shoot(customer.page, f"look-in-the-organization-{theme}")
    assert staff.problems == []
