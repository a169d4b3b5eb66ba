"""Bodies that no client of ours sends, on every route that takes one: refused, with the field named where there is one."""

import json

import pytest
from django.test import Client

from tests.accounts.asking import assert_field_errors
from tests.conftest import PASSWORD
from tests.isolation.test_routes import ids_of
from tests.security.test_mass_assignment import state, writing_routes

ROUTES = list(writing_routes())
MALFORMED = {
    "invalid UTF-8": b'{"name": "\xff\xfe"}',
    "a BOM": b'\xef\xbb\xbf{"name": "x"}',
    "UTF-16": '{"name": "x"}'.encode("utf-16"),
    "half a surrogate pair": rb'{"name": "\ud800"}',
    "NUL": rb'{"name": "a\u0000b"}',
    "a name twice": b'{"name": "x", "name": "y"}',
    "NaN": b'{"name": NaN}',
    "Infinity": b'{"name": -Infinity}',
    "a huge number": b'{"name": ' + b"9" * 6000 + b"}",
    "60,000 levels": b"[" * 60_000,
    "a list": b"[]",
}
# Where a text stands in a body, what it is read as must be the same for everybody who reads it.
TEXTS = {
    "a direction override": "a\u202egpj.exe",
    "a line break": "a\r\nBcc: all@example.com",
    "a web address": "https://evil.example/login",
    "too long": "x" * 30_000,
    "a control character": "a\x1b[2Jb",
}
EMAILS = {
    "a homoglyph": "\u0430lice@acme.example",
    "composed otherwise": "e\u0301va@acme.example",
    "composed": "\xe9va@acme.example",
    "a path": "../../etc/passwd",
    "a line break": "a@acme.example\r\nBcc: all@example.com",
    "full width": "\uff41lice@acme.example",
    "two": "a@acme.example,b@acme.example",
    "a name around it": "Alice <a@acme.example>",
    "zero width": "al\u200bice@acme.example",
    "too long": "a" * 300 + "@acme.example",
}


def send(person, method, path, body, content_type="application/json"):
    client = Client(raise_request_exception=False, headers={"Authorization": f"Bearer {person.access_token}"})
    return client.generic(method.upper(), path, body, content_type=content_type)


@pytest.mark.parametrize(("name", "method", "path"), ROUTES)
def test_what_is_no_json_is_refused(name, method, path, alice, bob, owner_connection):
    path = path.replace("{user}", str(ids_of(bob)["user"]))
    before = state(owner_connection)
    for what, body in MALFORMED.items():
        answer = send(alice, method, path, body)
        assert answer.status_code == 400, (what, answer.status_code, answer.content)
        assert answer.json()["code"] == "malformed_request"
    answer = send(alice, method, path, json.dumps({"name": "x" * (1 << 20)}))
    assert answer.status_code == 413
    for content_type in ("application/json; charset=utf-16", "application/json; charset=latin-1"):
        answer = send(alice, method, path, '{"name": "é"}'.encode("latin-1"), content_type)
        assert answer.status_code in (400, 415), answer.content
    assert state(owner_connection) == before


def test_what_is_sent_is_decoded_once(alice, bob):
    """A text that could be decoded again stays as it is, in a body and in a path."""
    for text in ("%41%2541", "&amp;amp;", r"\u0041", "QQ=="):
        body = json.dumps({"name": text})
        assert send(alice, "patch", "/users/me", body).json()["name"] == text
        assert alice.api.get("/users/me").json()["name"] == text
    # The client decodes the path once, as a server does.
    user = str(ids_of(bob)["user"])
    encoded = "".join(f"%{ord(character):x}" for character in user)
    for path, status in ((user, 200), (encoded, 200), (encoded.replace("%", "%25"), 404)):
        answer = send(alice, "patch", f"/users/org/{path}", '{"role": "member"}')
        assert answer.status_code == status, (path, answer.content)


NAMES = [
    ("post", "/auth/register", "org", {"email": "new@new.example", "password": PASSWORD}),
    ("post", "/auth/register", "name", {"email": "new@new.example", "password": PASSWORD, "org": "New"}),
    ("patch", "/users/me", "name", {}),
]


@pytest.mark.parametrize(("method", "path", "field", "rest"), NAMES)
@pytest.mark.parametrize("text", TEXTS)
def test_a_name_that_reads_otherwise_is_refused(method, path, field, rest, text, alice, owner_connection):
    before = state(owner_connection)
    answer = send(alice, method, path, json.dumps({**rest, field: TEXTS[text]}))
    assert answer.status_code == 422, answer.content
    assert {error["pointer"] for error in answer.json()["errors"]} == {f"#/{field}"}
    assert state(owner_connection) == before


def test_a_name_that_does_not_show_is_refused(anonymous):
    body = {"email": "new@new.example", "password": PASSWORD, "org": "\u200b\u200d\u2060"}
    assert_field_errors(anonymous.post("/auth/register", body), ("#/org", "blank"))


@pytest.mark.parametrize("text", EMAILS)
@pytest.mark.parametrize(
    ("method", "path", "rest"),
    [
        ("post", "/auth/register", {"password": PASSWORD, "org": "New"}),
        ("post", "/orgs/invitations", {}),
        ("patch", "/users/me", {}),
    ],
)
def test_an_address_that_looks_like_another_is_refused(method, path, rest, text, alice, owner_connection):
    owner_connection.execute("UPDATE accounts_user SET email_verified_at = now()")
    before = state(owner_connection)
    answer = send(alice, method, path, json.dumps({**rest, "email": EMAILS[text]}))
    assert answer.status_code == 422, answer.content
    assert {error["pointer"] for error in answer.json()["errors"]} == {"#/email"}
    assert state(owner_connection) == before
