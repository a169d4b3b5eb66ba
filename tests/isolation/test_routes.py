"""Every route with another organization's ids; a route that is new fails here until it is covered."""

import pytest
from django.urls import get_resolver

PUBLIC = {
    "register", "login", "refresh", "logout", "jwks",
    "health", "health_live", "health_ready", "health_redis", "metrics", "openapi", "docs",
    "mail_reports", "plans", "stripe_webhook",
    # In development alone; this machine's mails, of all organizations.
    "mail_catcher", "caught_mail", "caught_mail_html",
}  # fmt: skip
OWN = {
    "validate", "sessions", "me", "members", "subscription", "checkout", "portal",
}  # fmt: skip
BY_ID = {
    "session": ("/auth/sessions/{session}", ["delete"]),
    "member": ("/users/org/{user}", ["patch", "delete"]),
}


def route_names():
    resolver = get_resolver()
    names = set()
    for pattern in resolver.url_patterns:
        names |= {inner.name for inner in getattr(pattern, "url_patterns", [pattern])}
    return names


def test_every_route_is_covered():
    assert route_names() == PUBLIC | OWN | BY_ID.keys()


@pytest.mark.parametrize("name", BY_ID)
def test_anothers_id_is_not_found(name, alice, charlie):
    path, methods = BY_ID[name]
    own = path.format(session=alice.session_id, user=alice.user.id)
    foreign = path.format(session=charlie.session_id, user=charlie.user.id)
    missing = path.format(
        session="0" * 8 + "-0000-4000-8000-" + "0" * 12, user="0" * 8 + "-0000-4000-8000-" + "0" * 12
    )
    for method in methods:
        answers = [getattr(alice.api, method)(each) for each in (foreign, missing)]
        bodies = [{k: v for k, v in a.json().items() if k not in ("instance", "request_id")} for a in answers]
        assert [answer.status_code for answer in answers] == [404, 404]
        assert bodies[0] == bodies[1]
    assert charlie.api.get("/users/me").status_code == 200
    assert getattr(alice.api, methods[0])(own).status_code != 404


@pytest.mark.parametrize("path", ["/users/org", "/auth/sessions", "/users/me"])
def test_lists_hold_ones_own_alone(path, alice, bob, charlie):
    assert "acme.example" in alice.api.get("/users/org").content.decode()
    answer = alice.api.get(path)
    assert answer.status_code == 200
    text = answer.content.decode()
    for secret in ("globex", str(charlie.organization_id), str(charlie.user.id), charlie.session_id):
        assert secret not in text.lower()


def test_a_foreign_token_is_no_more_than_inactive(alice, charlie):
    assert alice.api.post("/auth/validate", {"token": alice.access_token}).json()["active"]
    assert alice.api.post("/auth/validate", {"token": charlie.access_token}).json() == {"active": False}
