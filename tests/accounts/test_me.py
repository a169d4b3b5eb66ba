from datetime import datetime

import pytest
from django.test import Client

from tests.accounts.asking import assert_field_errors, assert_refused
from tests.conftest import Api


class TestReadMe:
    def test_it_works(self, alice):
        response = alice.api.get("/users/me")

        assert response.status_code == 200
        me = response.json()
        created, last_login = me.pop("created_at"), me.pop("last_login_at")
        assert datetime.fromisoformat(created).utcoffset() is not None
        assert datetime.fromisoformat(last_login).utcoffset() is not None
        assert me == {
            "id": str(alice.user.id),
            "email": "alice@acme.example",
            "email_verified": False,
            "name": "Alice",
            "role": "owner",
            "locale": "en",
            "timezone": "UTC",
            "org": {
                "id": str(alice.organization_id),
                "slug": "acme",
                "name": "Acme",
                "plan": "free",
                "access": "full",
            },
        }
        assert response.headers["Cache-Control"] == "no-store"

    def test_it_says_that_an_address_is_verified(self, alice, owner_connection):
        owner_connection.execute("UPDATE accounts_user SET email_verified_at = now()")

        assert alice.api.get("/users/me").json()["email_verified"] is True

    def test_it_needs_a_token(self, anonymous):
        assert_refused(anonymous.get("/users/me"), 401, "not_authenticated")
        assert_refused(Api("rubbish").get("/users/me"), 401, "invalid_token")


class TestEtag:
    def test_it_stays_until_something_changes(self, alice):
        first = alice.api.get("/users/me").headers["ETag"]
        assert alice.api.get("/users/me").headers["ETag"] == first

        changed = alice.api.patch("/users/me", {"name": "Alicia"}).headers["ETag"]

        assert changed != first
        assert alice.api.get("/users/me").headers["ETag"] == changed

    @pytest.mark.parametrize("wrapped", ["{}", "W/{}", '"other", {}'])
    def test_who_knows_it_gets_304(self, alice, wrapped):
        etag = alice.api.get("/users/me").headers["ETag"]

        response = alice.api.get("/users/me", **{"If-None-Match": wrapped.format(etag)})

        assert (response.status_code, response.content, response.headers["ETag"]) == (304, b"", etag)
        assert "Content-Length" not in response.headers

    @pytest.mark.parametrize("header", ['"other"', "other", "", '"'])
    def test_who_knows_another_gets_all(self, alice, header):
        assert alice.api.get("/users/me", **{"If-None-Match": header}).status_code == 200


class TestChangeMe:
    def test_it_works(self, alice):
        changes = {"name": "Alice Ä. <b>", "locale": "de", "timezone": "Europe/Berlin"}

        response = alice.api.patch("/users/me", changes)

        assert response.status_code == 200
        assert changes.items() <= response.json().items()
        assert changes.items() <= alice.api.get("/users/me").json().items()

    def test_it_leaves_what_is_not_named(self, alice):
        alice.api.patch("/users/me", {"locale": "de"})

        me = alice.api.patch("/users/me", {"timezone": "Asia/Tokyo"}).json()

        assert (me["name"], me["locale"], me["timezone"]) == ("Alice", "de", "Asia/Tokyo")

    def test_it_may_change_nothing(self, alice):
        before = alice.api.get("/users/me").json()

        assert alice.api.patch("/users/me", {}).json() == before

    def test_it_speaks_merge_patch(self, alice):
        response = Client().patch(
            "/users/me",
            '{"name": "Al"}',
            content_type="application/merge-patch+json",
            headers=alice.api.headers,
        )

        assert (response.status_code, response.json()["name"]) == (200, "Al")

    @pytest.mark.parametrize("name", ["", " Al ", "אליס\u200f", "A" * 200, "'; DROP TABLE accounts_user; --"])
    def test_it_stores_text_as_typed(self, alice, name):
        assert alice.api.patch("/users/me", {"name": name}).status_code == 200

        assert alice.api.get("/users/me").json()["name"] == name

    def test_it_changes_nobody_else(self, alice, bob):
        bob.api.patch("/users/me", {"name": "Robert"})

        assert alice.api.get("/users/me").json()["name"] == "Alice"

    @pytest.mark.parametrize(
        ("change", "pointer", "code"),
        [
            ({"name": 5}, "#/name", "invalid"),
            ({"name": None}, "#/name", "null"),
            ({"name": ["Al"]}, "#/name", "invalid"),
            ({"name": "x" * 201}, "#/name", "max_length"),
            ({"name": "a\tb"}, "#/name", "control_character"),
            ({"name": "Win http://evil.example"}, "#/name", "web_address"),
            ({"name": "WWW.evil.example"}, "#/name", "web_address"),
            ({"name": "a\u2028b"}, "#/name", "control_character"),
            ({"name": "a\u202eb"}, "#/name", "bidi_override"),
            ({"name": "a\u2066b"}, "#/name", "bidi_override"),
            ({"locale": "xx"}, "#/locale", "unknown_locale"),
            ({"locale": True}, "#/locale", "invalid"),
            ({"timezone": "Mars/Olympus"}, "#/timezone", "unknown_timezone"),
            ({"timezone": "../../etc/passwd"}, "#/timezone", "unknown_timezone"),
            ({"email": "no address"}, "#/email", "invalid"),
            ({"email": None}, "#/email", "null"),
            ({"email": "ä@acme.example"}, "#/email", "not_ascii"),
            ({"id": "x"}, "#/id", "unknown_field"),
            ({"role": "owner"}, "#/role", "unknown_field"),
            ({"org": {"plan": "pro"}}, "#/org", "unknown_field"),
        ],
    )
    def test_it_refuses(self, alice, change, pointer, code):
        before = alice.api.get("/users/me").json()

        assert_field_errors(
            alice.api.patch("/users/me", {"timezone": "Asia/Tokyo"} | change), (pointer, code)
        )

        assert alice.api.get("/users/me").json() == before

    def test_it_refuses_a_nul_character(self, alice):
        assert_refused(alice.api.patch("/users/me", {"name": "a\0b"}), 400, "malformed_request")
