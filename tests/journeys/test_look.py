"""Every page in a real browser, in both themes: axe finds nothing, nothing is wider than a small phone, all is light."""

import pytest

from tests.conftest import PASSWORD, make_owner
from tests.journeys.visiting import shoot, violations

PUBLIC = ["/", "/login", "/register", "/forgot-password", "/mail-sent", "/verify-email", "/reset-password"]
OWN = [
    "/account",
    "/account/email",
    "/account/password",
    "/account/sessions",
    "/organization",
    "/organization/members",
    "/organization/invitations",
]
THEMES = ("light", "dark")
NARROWEST = 320
MOST_BYTES = 100 * 1024
MOST_REQUESTS = 10


def name_of(path):
    return path.strip("/").replace("/", "-") or "landing"


@pytest.fixture
def owner():
    return make_owner("olive@example.com")


def logged_in(visitor, person):
    visitor.open("/login").fill(email=person.user.email, password=PASSWORD).press("Log in")
    visitor.page.wait_for_url("**/account")
    return visitor


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("path", [*PUBLIC, *OWN])
def test_a_page(visit, owner, path, theme):
    visitor = visit(color_scheme=theme)
    if path in OWN:
        logged_in(visitor, owner)
    sizes = []
    visitor.page.on("requestfinished", lambda request: sizes.append(sum(request.sizes().values())))
    visitor.open(path)
    visitor.page.wait_for_load_state("networkidle")
    assert len(sizes) <= MOST_REQUESTS
    assert sum(sizes) <= MOST_BYTES
    assert violations(visitor.page) == []
    shoot(visitor.page, f"{name_of(path)}-{theme}")
    visitor.page.set_viewport_size({"width": NARROWEST, "height": 640})
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= NARROWEST
    visitor.has_no_problems()
