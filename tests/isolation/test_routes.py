"""Every route with another organization's ids; a route that is new fails here until it is covered."""

from datetime import timedelta

import pytest
from django.urls import get_resolver

from accounts.models import Invitation
from saas.kit import clock
from saas.kit.pages import is_page
from tenancy.context import org_context
from tests.accounts.asking import patterns
from tests.isolation import test_support_screens as support_screens

# What takes any method is a function; nothing behind it belongs to an organization that a token names.
ANY_METHOD = None
PUBLIC = {
    "register": ["post"], "login": ["post"], "refresh": ["post"], "logout": ["post"], "jwks": ["get"],
    "health": ["get"], "health_live": ["get"], "health_ready": ["get"], "health_redis": ["get"],
    "metrics": ANY_METHOD, "openapi": ANY_METHOD, "docs": ANY_METHOD, "mail_reports": ANY_METHOD,
    "verify_email": ["post"], "resend_verification": ["post"], "forgot_password": ["post"],
    "reset_password": ["post"], "accept_invitation": ["post"], "begin_look": ["post"],
    "plans": ["get"], "stripe_webhook": ["post"],
    # In development alone; this machine's mails, of all organizations.
    "mail_catcher": ANY_METHOD, "caught_mail": ANY_METHOD, "caught_mail_html": ANY_METHOD,
}  # fmt: skip
# Pages have tests of their own, of every role and both organizations: tests/pages/test_isolation.py.
PAGES = {
    pattern.name for pattern in patterns(get_resolver("saas.urls").url_patterns) if is_page(pattern.callback)
}
OWN = {
    "validate": ["post"], "sessions": ["get"], "me": ["get", "patch"], "members": ["get"],
    "change_password": ["post"], "invitations": ["get", "post"],
    "subscription": ["get"], "checkout": ["post"], "portal": ["post"],
}  # fmt: skip
# Of the support's admin, where a token counts for nothing: tests/isolation/test_support_screens.py.
SUPPORT = dict.fromkeys(support_screens.ROUTES, ANY_METHOD)
BY_ID = {
    "session": ("/auth/sessions/{session}", ["delete"]),
    "member": ("/users/org/{user}", ["patch", "delete"]),
    "invitation": ("/orgs/invitations/{invitation}", ["delete"]),
}


def routes():
    for pattern in patterns(get_resolver().url_patterns):
        if pattern.name not in PAGES:
            yield pattern.name, methods_of(pattern.callback)


def ids_of(person):
    with org_context(person.organization_id):
        expires_at = clock.now() + timedelta(days=1)
        invited, _ = Invitation.objects.get_or_create(
            email="x@x.example", defaults={"expires_at": expires_at}
        )
    return {"session": person.session_id, "user": person.user.id, "invitation": invited.id}


def methods_of(view):
    kind = getattr(view, "cls", None) or getattr(view, "view_class", None)
    if kind is None:
        return ANY_METHOD
    answered = getattr(view, "actions", None) or {
        name for name in kind.http_method_names if hasattr(kind, name)
    }
    return sorted(set(answered) - {"head", "options"})


def test_every_route_and_method_is_covered():
    by_id = {name: sorted(methods) for name, (_, methods) in BY_ID.items()}
    found = list(routes())
    assert dict(found) == PUBLIC | OWN | SUPPORT | by_id
    assert len(found) == len(dict(found))


@pytest.mark.parametrize("name", BY_ID)
def test_anothers_id_is_not_found(name, alice, charlie):
    path, methods = BY_ID[name]
    own, foreign = path.format(**ids_of(alice)), path.format(**ids_of(charlie))
    missing = path.format(**dict.fromkeys(ids_of(alice), "00000000-0000-4000-8000-000000000000"))
    for method in methods:
        answers = [getattr(alice.api, method)(each) for each in (foreign, missing)]
        bodies = [{k: v for k, v in a.json().items() if k not in ("instance", "request_id")} for a in answers]
        assert [answer.status_code for answer in answers] == [404, 404]
        assert bodies[0] == bodies[1]
    assert charlie.api.get("/users/me").status_code == 200
    for method in methods:
        assert getattr(alice.api, method)(own).status_code != 404


@pytest.mark.parametrize("path", ["/users/org", "/auth/sessions", "/users/me"])
def test_lists_hold_ones_own_alone(path, alice, bob, charlie):
    answer = alice.api.get(path)
    assert answer.status_code == 200
    text = answer.content.decode()
    assert str(alice.user.id) in text or alice.session_id in text
    for secret in ("globex", str(charlie.organization_id), str(charlie.user.id), charlie.session_id):
        assert secret not in text.lower()


def test_a_foreign_token_is_no_more_than_inactive(alice, charlie):
    assert alice.api.post("/auth/validate", {"token": alice.access_token}).json()["active"]
    assert alice.api.post("/auth/validate", {"token": charlie.access_token}).json() == {"active": False}
