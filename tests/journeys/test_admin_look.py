"""Every screen of the admin in a real browser, in both themes: axe finds nothing, nothing is wider than a small phone."""

import pytest

from tenancy.context import org_context
from tenancy.models import Mail
from tests.conftest import PASSWORD, make_owner, make_staff
from tests.isolation.test_models import make_one_of_each
from tests.isolation.test_support_screens import SCREENS
from tests.journeys.visiting import NARROWEST, shoot, violations
from tests.support.desk import Desk

pytestmark = pytest.mark.soak


@pytest.fixture
def olive():
    return make_owner("olive@example.com")


@pytest.fixture
def staff(visit, olive):
    """Enrolled, logged in, and with Olive's organization open."""

    def staff(theme):
        desk = Desk(make_staff()).log_in()
        visitor = visit(color_scheme=theme)
        visitor.page.goto("/admin/login")
        assert violations(visitor.page) == []
        shoot(visitor.page, f"admin-log-in-{theme}")
        visitor.fill(email=desk.user.email, password=PASSWORD)
        visitor.page.locator("input[type=submit]").click()
        visitor.page.locator("input[name=code]").wait_for()
        assert violations(visitor.page) == []
        visitor.page.locator("input[name=code]").fill(desk.code(steps=1))
        visitor.page.locator("input[type=submit]").click()
        visitor.page.wait_for_url("**/admin")
        visitor.page.goto(f"/admin/organizations/{olive.organization_id}")
        assert violations(visitor.page) == []
        shoot(visitor.page, f"admin-closed-{theme}")
        visitor.page.locator("input[name=reason]").fill("ticket 9")
        visitor.page.locator("input[type=submit]").click()
        visitor.page.get_by_text("Open access").first.wait_for()
        return visitor

    return staff


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_screens(staff, olive, theme):
    with org_context(olive.organization_id):
        make_one_of_each(olive.user.email)
        mail = Mail.objects.first()
    visitor = staff(theme)
    ids = {
        "organization": olive.organization_id,
        "user": olive.user.id,
        "event": f"evt_{olive.user.email}",
        "mail": mail.id,
    }
    for name, path in SCREENS.items():
        visitor.page.set_viewport_size({"width": 1280, "height": 900})
        visitor.open(path.format(**ids) + ("?q=exa" if name == "index" else ""))
        assert violations(visitor.page) == [], name
        shoot(visitor.page, f"admin-{name}-{theme}")
        visitor.page.set_viewport_size({"width": NARROWEST, "height": 640})
        assert visitor.page.evaluate("document.documentElement.scrollWidth") <= NARROWEST, name
    visitor.has_no_problems()
