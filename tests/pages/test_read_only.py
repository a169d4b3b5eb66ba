"""Over every page: a suspended organization can't write what is its own, and everything else works as before."""

import pytest

from tenancy.context import org_context
from tenancy.models import Organization
from tests.pages.browsing import TOKEN, assert_page, browser_of
from tests.pages.test_isolation import pages, path_of

# A person's own things, the ways in and out, and the way to pay. Whatever is added is refused without being named.
GO_ON = {
    "sign_up", "log_in", "log_out", "verify_email_page", "forgot_password_page", "reset_password_page",
    "account", "account_email", "send_verification_again", "account_password",
    "end_session", "end_other_sessions", "organization_support", "billing_checkout", "billing_portal",
    # It looks at the organization that it leads to.
    "invitation_page",
    # Of the support's staff.
    "look",
}  # fmt: skip


@pytest.fixture
def suspended(alice):
    browser = browser_of(alice)
    with org_context(alice.organization_id):
        Organization.objects.update(access="read_only")
    return browser


def test_every_page_can_be_read(suspended, alice):
    for pattern in pages():
        if "get" in pattern.callback.methods:
            assert suspended.get(path_of(pattern, alice.user.id)).status_code < 500, pattern.name


def test_every_write_of_the_organization_is_refused(suspended, alice):
    token = TOKEN.search(suspended.get("/account").text)[1]
    written = {each.name: each for each in pages() if "post" in each.callback.methods}
    assert written.keys() > GO_ON
    for name in sorted(written.keys() - GO_ON):
        answer = suspended.post(path_of(written[name], alice.user.id), {"csrfmiddlewaretoken": token})
        assert_page(answer, 402, "A payment is due", 'href="/billing"')


def test_a_persons_own_things_go_on(suspended):
    assert suspended.send("/account", {"name": "Al"}).status_code == 303
    assert_page(suspended.send("/account/password", {}), 422)
    assert_page(suspended.send("/billing/portal", page="/billing"), 409)
    assert suspended.send("/logout", page="/account").status_code == 303
