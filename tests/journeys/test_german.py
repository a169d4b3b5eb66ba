"""Every page in German in a real browser: no English is left, and no long word is wider than a small phone."""

from datetime import timedelta

import pytest

from billing.models import Customer, Subscription
from saas.kit import clock
from tenancy.context import org_context
from tenancy.models import Organization
from tests.journeys.test_look import NARROWEST
from tests.journeys.visiting import open_page, shoot
from tests.pages.test_defence import READ

# Names, and what is called the same.
SAME = {
    "SaaS platform",
    "Starter",
    "Professional",
    "Olive",
    "Example",
    "Max",
    "tests",
    "English",
    "Deutsch",
    "Admin",
    "Name",
    "Support",
}


def texts(page):
    """What is read, seen or not."""
    return page.evaluate(
        """() => {
            const walk = document.createTreeWalker(document.documentElement, NodeFilter.SHOW_TEXT);
            const found = new Set();
            while (walk.nextNode()) found.add(walk.currentNode.data.trim());
            for (const name of ["aria-label", "placeholder", "alt", "title"])
                document.querySelectorAll(`[${name}]`).forEach((each) => found.add(each.getAttribute(name)));
            document.querySelectorAll("#timezone option").forEach((each) => found.delete(each.text));
            const cut = [...found].map((text) => text.replace(/^: | · SaaS platform$/, ""));
            return cut.filter((text) => /\\p{L}{2}/u.test(text) && !text.includes("@"));
        }"""
    )


def assert_german(visit, owner, pattern, shot):
    read = {}
    for language, log_in in (("en", "Log in"), ("de", "Anmelden")):
        owner.api.patch("/users/me", {"locale": language})
        visitor = visit(locale=language)
        open_page(visitor, pattern, owner, log_in=log_in)
        assert visitor.page.locator("html").get_attribute("lang") == language
        read[language] = set(texts(visitor.page))
    assert read["de"] & read["en"] <= SAME
    shoot(visitor.page, f"german-{shot}")
    visitor.page.set_viewport_size({"width": NARROWEST, "height": 640})
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= NARROWEST


@pytest.mark.parametrize("pattern", READ, ids=lambda pattern: pattern.name)
def test_a_page_in_german(visit, owner, pattern):
    assert_german(visit, owner, pattern, pattern.name)


@pytest.mark.parametrize(
    ("status", "access", "cancels"),
    [
        ("trialing", "full", False),
        ("active", "full", False),
        ("active", "full", True),
        ("past_due", "read_only", False),
        ("paused", "read_only", False),
    ],
)
def test_a_plans_states_in_german(visit, owner, status, access, cancels):
    until = clock.now() + timedelta(days=20)
    with org_context(owner.organization_id):
        customer = Customer.objects.create(stripe_id="cus_olive")
        Subscription.objects.create(
            customer=customer,
            stripe_id="sub_olive",
            status=status,
            plan="starter",
            period_end=until,
            trial_end=until,
            cancel_at_period_end=cancels,
        )
        Organization.objects.update(plan="starter", access=access)
    [billing] = [pattern for pattern in READ if pattern.name == "billing"]
    assert_german(visit, owner, billing, f"billing-{status}{'-cancels' * cancels}")
