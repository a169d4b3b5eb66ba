import pytest
from django.test import Client
from django_redis import get_redis_connection

from tests.accounts.asking import assert_field_errors, assert_refused, jobs
from tests.conftest import PASSWORD, Api

OUT = {"status": "logged_out"}


def log_in(person):
    return Api().post("/auth/login", {"email": person.user.email, "password": PASSWORD}).json()


def works(tokens):
    return Api(tokens["access_token"]).get("/users/me").status_code == 200


class TestLogout:
    def test_it_ends_the_session_at_once(self, alice, owner_connection):
        assert alice.api.get("/users/me").status_code == 200

        response = alice.api.post("/auth/logout")

        assert (response.status_code, response.json()) == (200, OUT)
        assert_refused(alice.api.get("/users/me"), 401, "invalid_token")
        [(organization_id, arguments)] = jobs(owner_connection, "blacklist_sessions")
        assert organization_id == alice.organization_id
        assert arguments == {"sessions": {str(alice.user.id): [alice.session_id]}}

    def test_it_needs_no_body(self, alice):
        response = Client().generic("POST", "/auth/logout", headers=alice.api.headers)
        assert (response.status_code, response.json()) == (200, OUT)

    def test_it_is_idempotent(self, alice):
        for _ in range(3):
            response = alice.api.post("/auth/logout")
            assert (response.status_code, response.json()) == (200, OUT)

    def test_it_leaves_other_sessions_alone(self, alice, bob):
        other = log_in(alice)

        alice.api.post("/auth/logout")

        assert works(other)
        assert bob.api.get("/users/me").status_code == 200

    def test_it_takes_a_refresh_token(self, anonymous, alice):
        response = anonymous.post("/auth/logout", {"refresh_token": alice.refresh_token})

        assert (response.status_code, response.json()) == (200, OUT)
        assert_refused(alice.api.get("/users/me"), 401, "invalid_token")

    def test_it_ends_the_sessions_of_both_tokens(self, alice):
        other = log_in(alice)

        alice.api.post("/auth/logout", {"refresh_token": other["refresh_token"]})

        assert not works(other)
        assert_refused(alice.api.get("/users/me"), 401, "invalid_token")

    def test_it_accepts_an_expired_token(self, alice, fake_clock):
        fake_clock.advance(minutes=16)
        assert_refused(alice.api.get("/users/me"), 401, "invalid_token")

        assert alice.api.post("/auth/logout").json() == OUT

        refreshed = Api().post("/auth/refresh", {"refresh_token": alice.refresh_token})
        assert_refused(refreshed, 401, "invalid_refresh_token")

    def test_an_expired_token_blacklists_the_session_for_as_long_as_another(self, alice, fake_clock):
        fake_clock.advance(minutes=16)

        alice.api.post("/auth/logout")

        redis = get_redis_connection("default")
        assert redis.ttl(f"{{{alice.organization_id}}}:{alice.user.id}:revoked:sid:{alice.session_id}") > 890

    @pytest.mark.parametrize("garbage", ["rubbish", "a.b.c", "x" * 4096])
    def test_it_accepts_garbage(self, anonymous, garbage):
        assert Api(garbage).post("/auth/logout").json() == OUT
        assert anonymous.post("/auth/logout", {"refresh_token": garbage}).json() == OUT

    def test_it_verifies_the_signature_of_what_it_revokes(self, alice):
        head, body, signature = alice.access_token.split(".")

        assert Api(f"{head}.{body}.{signature[::-1]}").post("/auth/logout").json() == OUT

        assert alice.api.get("/users/me").status_code == 200


class TestScope:
    def test_others(self, alice):
        first, second = log_in(alice), log_in(alice)

        assert alice.api.post("/auth/logout", {"scope": "others"}).json() == OUT

        assert not works(first)
        assert not works(second)
        assert alice.api.get("/users/me").status_code == 200

    def test_global(self, alice, bob):
        other = log_in(alice)

        assert alice.api.post("/auth/logout", {"scope": "global"}).json() == OUT

        assert not works(other)
        assert_refused(alice.api.get("/users/me"), 401, "invalid_token")
        assert bob.api.get("/users/me").status_code == 200

    @pytest.mark.parametrize("scope", ["others", "global"])
    def test_they_need_a_valid_session(self, anonymous, alice, scope):
        other = log_in(alice)
        alice.api.post("/auth/logout")

        assert_refused(alice.api.post("/auth/logout", {"scope": scope}), 401, "invalid_token")
        assert_refused(Api("rubbish").post("/auth/logout", {"scope": scope}), 401, "invalid_token")
        by_refresh = anonymous.post("/auth/logout", {"scope": scope, "refresh_token": alice.refresh_token})
        assert_refused(by_refresh, 401, "invalid_token")
        assert works(other)


class TestRefusals:
    def test_nothing_presented(self, anonymous):
        assert_refused(anonymous.post("/auth/logout"), 401, "not_authenticated")
        assert_refused(anonymous.post("/auth/logout", {"scope": "global"}), 401, "not_authenticated")

    def test_an_unacceptable_body(self, alice):
        response = alice.api.post("/auth/logout", {"scope": "all", "refresh_token": 5, "force": True})

        assert_field_errors(
            response,
            ("#/refresh_token", "invalid"),
            ("#/scope", "invalid_choice"),
            ("#/force", "unknown_field"),
        )
        assert alice.api.get("/users/me").status_code == 200
