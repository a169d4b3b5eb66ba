"""Every page in a real browser, in both themes: axe finds nothing, nothing is wider than a small phone, all is light."""

import pytest

from tests.journeys.visiting import GIVEN_PASSWORD, NARROWEST, open_page, shoot, violations
from tests.pages.test_defence import READ

pytestmark = pytest.mark.soak

THEMES = ("light", "dark")
MOST_BYTES = 100 * 1024
MOST_REQUESTS = 10


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("pattern", READ, ids=lambda pattern: pattern.name)
def test_a_page(visit, owner, pattern, theme):
    visitor = visit(color_scheme=theme)
    open_page(visitor, pattern, owner)
    sizes = []
    visitor.page.on("requestfinished", lambda request: sizes.append(sum(request.sizes().values())))
    visitor.page.reload()
    visitor.page.wait_for_load_state("networkidle")
    assert 0 < len(sizes) <= MOST_REQUESTS
    assert sum(sizes) <= MOST_BYTES
    assert violations(visitor.page) == []
    shoot(visitor.page, f"{pattern.name}-{theme}")
    visitor.page.set_viewport_size({"width": NARROWEST, "height": 640})
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= NARROWEST
    visitor.has_no_problems()


def test_what_is_hard_to_undo_asks_first(visit, owner):
    """Without a script too: the question opens by itself."""
    visitor = visit(java_script_enabled=False)
    path = f"/organization/members/{owner.member.user.id}"
    visitor.page.goto(path)
    visitor.fill(email=owner.user.email, password=GIVEN_PASSWORD).press("Log in")
    sure = visitor.page.get_by_role("button", name="Yes: Remove for good")
    assert not sure.is_visible()
    visitor.page.get_by_text("Remove for good", exact=True).click()
    visitor.reads("The account of Max is deleted.")
    shoot(visitor.page, "member-asked")
    sure.click()
    visitor.at("/organization/members").reads("The member is removed.")
