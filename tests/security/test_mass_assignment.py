"""What a client may not set is refused by name on every route that takes a body, and nothing changes."""

import json

import pytest
from django.test import Client
from django.urls import get_resolver

from saas.kit.pages import is_page
from tests.accounts.asking import patterns
from tests.conftest import PASSWORD
from tests.isolation.test_routes import BY_ID, OWN, PUBLIC, ids_of
from tests.pages.browsing import browser_of

FORBIDDEN = {
    "id": "00000000-0000-4000-8000-000000000000",
    "organization_id": "00000000-0000-4000-8000-000000000001",
    "organization_name": "Globex",
    "is_staff": True,
    "is_superuser": True,
    "access": "full",
    "plan": "professional_plus",
    "seat_limit": 1000,
    "created_at": "2000-01-01T00:00:00Z",
    "email_verified_at": "2000-01-01T00:00:00Z",
    "deactivated_at": None,
    "user_id": "00000000-0000-4000-8000-000000000000",
    "refresh_generation": 9,
    "__proto__": {"role": "owner"},
}
# A body that is theirs alone, or none: providers sign it, and no serializer of ours reads it.
UNREAD = {"stripe_webhook", "logout"}
# What a route does take of these.
TAKEN = {"checkout": {"plan"}}
SNAPSHOT = """
    SELECT (SELECT json_agg(to_jsonb(u) - 'last_login_at' - 'updated_at' ORDER BY id) FROM accounts_user u),
           (SELECT json_agg(o ORDER BY id) FROM tenancy_organization o),
           (SELECT count(*) FROM accounts_invitation)
"""


def writing_routes():
    for pattern in patterns(get_resolver("saas.urls").url_patterns):
        methods = (PUBLIC | OWN).get(pattern.name) or (
            BY_ID[pattern.name][1] if pattern.name in BY_ID else []
        )
        for method in methods:
            if method in ("post", "patch", "put") and pattern.name not in UNREAD:
                yield pattern.name, method, "/" + str(pattern.pattern).replace("<uuid:id>", "{user}")


def state(owner):
    return json.dumps(owner.execute(SNAPSHOT).fetchone())


@pytest.mark.parametrize(("name", "method", "path"), list(writing_routes()))
def test_each_is_refused_by_name(name, method, path, alice, bob, owner_connection):
    path = path.replace("{user}", str(ids_of(bob)["user"]))
    sent = {key: value for key, value in FORBIDDEN.items() if key not in TAKEN.get(name, ())}
    before = state(owner_connection)
    answer = getattr(alice.api, method)(path, sent)
    assert answer.status_code == 422, answer.content
    unknown = {error["pointer"] for error in answer.json()["errors"] if error["code"] == "unknown_field"}
    assert unknown == {f"#/{key}" for key in sent}
    assert state(owner_connection) == before


@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"]
)
def test_a_form_is_not_taken(kind, alice, owner_connection):
    before = state(owner_connection)
    client = Client(headers={"Authorization": f"Bearer {alice.access_token}"})
    answer = client.patch("/users/me", "name=Mallory&role=owner&is_staff=1", content_type=kind)
    assert answer.status_code == 415
    assert state(owner_connection) == before


def test_a_page_takes_its_own_fields_alone(bob, owner_connection):
    browser = browser_of(bob)
    before = owner_connection.execute(
        "SELECT role, is_staff, organization_id, email FROM accounts_user WHERE id = %s", [bob.user.id]
    ).fetchone()
    more = {key: str(value) for key, value in FORBIDDEN.items()} | {"role": "owner", "password": PASSWORD}
    answer = browser.send("/account", {"name": "Robert", "locale": "en", "timezone": "UTC", **more})
    assert answer.status_code in (303, 422)
    after = owner_connection.execute(
        "SELECT role, is_staff, organization_id, email FROM accounts_user WHERE id = %s", [bob.user.id]
    ).fetchone()
    assert after == before


def test_routes_were_found():
    assert len({path for _, _, path in writing_routes()}) >= 12
    assert not [p for p in patterns(get_resolver().url_patterns) if is_page(p.callback) and p.name in OWN]
