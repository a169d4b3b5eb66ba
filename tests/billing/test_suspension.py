"""Over every route: a suspended organization can't write what is its own, and everything else works as before."""

import pytest
from django.urls import get_resolver

from saas.kit.pages import is_page
from support.urls import urlpatterns as support_urls
from tenancy.context import org_context
from tenancy.models import Organization
from tests.accounts.asking import assert_refused, patterns

# Writes that go on: a person's own, the way out, and what is no organization's.
GO_ON = {
    "register", "login", "refresh", "logout", "validate", "session", "me",
    "verify_email", "resend_verification", "forgot_password", "reset_password", "change_password",
    "checkout", "portal", "stripe_webhook", "mail_reports",
    # It looks at the organization that it leads to.
    "accept_invitation",
    # Of the support's staff.
    "begin_look",
}  # fmt: skip
# Those there are so far; whatever is added is refused without being named here.
ORGANIZATIONS_WRITES = {
    ("member", "patch"), ("member", "delete"), ("invitations", "post"), ("invitation", "delete"),
}  # fmt: skip
METHODS = ("post", "put", "patch", "delete")


def routes():
    """The API's. Pages have such a test of their own, tests/pages/test_read_only.py; the admin takes no token."""
    return {
        pattern.name: str(pattern.pattern)
        for pattern in patterns(get_resolver("saas.urls").url_patterns)
        if not is_page(pattern.callback) and pattern not in support_urls
    }


@pytest.fixture
def suspended(stripe, alice, bob):
    subscription = stripe.subscribe(alice)
    stripe.book.end_trial(subscription, succeeds=True)
    stripe.book.renew(subscription, succeeds=False)
    stripe.deliver_new()
    with org_context(alice.organization_id):
        assert Organization.objects.get().access == "read_only"
    return alice


def ask(person, other, name, method):
    return getattr(person.api, method)("/" + routes()[name].replace("<uuid:id>", str(other.user.id)))


def test_every_read_works(suspended, bob):
    for name in routes():
        answer = ask(suspended, bob, name, "get")
        assert answer.status_code != 402, name
        assert answer.status_code < 500 or answer.status_code == 503, name


def test_every_write_of_the_organization_is_refused(suspended, bob):
    for name in routes().keys() - GO_ON:
        for method in METHODS:
            answer = ask(suspended, bob, name, method)
            if answer.status_code in (404, 405):
                assert (name, method) not in ORGANIZATIONS_WRITES
            else:
                assert_refused(answer, 402, "subscription_required")


def test_no_other_write_is(suspended, bob):
    for name in GO_ON:
        for method in METHODS:
            assert ask(suspended, bob, name, method).status_code != 402, (name, method)


def test_the_refused_write_wrote_nothing(suspended, bob):
    suspended.api.delete(f"/users/org/{bob.user.id}")
    assert len(suspended.api.get("/users/org").json()["data"]) == 2


def test_the_document_says_which(alice):
    import yaml

    from saas.openapi import document

    paths = yaml.safe_load(document())["paths"]
    told = {
        (path, method)
        for path, operations in paths.items()
        for method, operation in operations.items()
        if "402" in operation["responses"]
    }
    assert told == {
        ("/users/org/{id}", "patch"),
        ("/users/org/{id}", "delete"),
        ("/orgs/invitations", "post"),
        ("/orgs/invitations/{id}", "delete"),
        ("/invitations/accept", "post"),
    }
