"""The limits as clients meet them; how exact the window is, tests/kit shows."""

import pytest
from django.test import Client

from saas.kit.gate import address_tag, user_tag
from saas.kit.rate_limits import ANONYMOUS, AUTHENTICATED, LOG_OUTS, hit
from tests.accounts.asking import assert_refused
from tests.conftest import Api, make_member

HERE = "127.0.0.1"


def use_up(limit, tag, *, leave=0):
    for _ in range(limit.amount - leave):
        assert hit(limit, tag).allowed


def get(path="/users/me", address=HERE, **headers):
    return Client(REMOTE_ADDR=address).get(path, headers=headers)


class TestAnonymous:
    def test_100_a_minute_from_one_address(self):
        statuses = [get().status_code for _ in range(101)]

        assert statuses == [401] * 100 + [429]

    def test_the_answer_says_when_to_come_again(self):
        use_up(ANONYMOUS, address_tag(HERE))

        response = get()

        assert_refused(response, 429, "rate_limited")
        assert 1 <= int(response.headers["Retry-After"]) <= 60
        assert response.headers["RateLimit-Policy"] == '"anonymous";q=100;w=60'
        assert response.headers["RateLimit"].startswith('"anonymous";r=0;t=')

    def test_a_denied_request_does_not_prolong_it(self):
        use_up(ANONYMOUS, address_tag(HERE))
        waits = [int(get().headers["Retry-After"]) for _ in range(20)]
        assert waits == sorted(waits, reverse=True)

    @pytest.mark.parametrize(
        "header",
        ["X-Forwarded-For", "X-Real-Ip", "Forwarded", "X-Client-Ip", "True-Client-Ip", "Cf-Connecting-Ip"],
    )
    def test_a_spoofed_header_changes_nothing(self, header):
        use_up(ANONYMOUS, address_tag(HERE), leave=3)
        statuses = [get(**{header: f"198.51.100.{number}"}).status_code for number in range(4)]
        assert statuses == [401, 401, 401, 429]

    def test_a_spoofed_entry_before_the_proxys_changes_nothing(self, settings):
        settings.TRUSTED_PROXY_COUNT = 1
        use_up(ANONYMOUS, address_tag("203.0.113.9"))

        for number in range(3):
            spoofed = f"198.51.100.{number}, 203.0.113.9"
            assert get(**{"X-Forwarded-For": spoofed}).status_code == 429
        assert get(**{"X-Forwarded-For": "203.0.113.9, 203.0.113.10"}).status_code == 401

    def test_another_address_has_its_own(self):
        use_up(ANONYMOUS, address_tag(HERE))

        assert get(address="127.0.0.2").status_code == 401

    def test_an_ipv6_network_counts_as_one(self):
        use_up(ANONYMOUS, address_tag("2001:db8::1"))

        assert get(address="2001:db8::ffff:1").status_code == 429
        assert get(address="2001:db8:0:1::1").status_code == 401

    def test_a_wrong_token_is_no_way_around(self, alice):
        use_up(ANONYMOUS, address_tag(HERE), leave=2)

        assert Api("rubbish").get("/users/me").status_code == 401
        assert Api(alice.refresh_token).get("/users/me").status_code == 401
        assert Api("other").get("/users/me").status_code == 429

    def test_nor_is_a_revoked_one(self, alice):
        alice.api.post("/auth/logout")
        use_up(ANONYMOUS, address_tag(HERE))

        assert_refused(alice.api.get("/users/me"), 429, "rate_limited")

    def test_paths_that_do_not_exist_count(self):
        assert get("/nowhere").headers["RateLimit"].startswith('"anonymous";r=99;')
        assert get("/healthy").headers["RateLimit"].startswith('"anonymous";r=98;')


class TestAuthenticated:
    def test_1000_a_minute_for_a_user(self, alice):
        use_up(AUTHENTICATED, user_tag(alice.organization_id, alice.user.id), leave=1)

        last, denied = alice.api.get("/users/me"), alice.api.get("/users/me")

        assert last.status_code == 200
        assert last.headers["RateLimit-Policy"] == '"authenticated";q=1000;w=60'
        assert last.headers["RateLimit"].startswith('"authenticated";r=0;t=')
        assert "Retry-After" not in last.headers
        assert_refused(denied, 429, "rate_limited")
        assert 1 <= int(denied.headers["Retry-After"]) <= 60

    def test_all_sessions_of_a_user_share_it(self, alice):
        log_in = {"email": "alice@acme.example", "password": "a-long-enough-secret"}
        other = Api().post("/auth/login", log_in).json()
        use_up(AUTHENTICATED, user_tag(alice.organization_id, alice.user.id))

        assert_refused(Api(other["access_token"]).get("/users/me"), 429, "rate_limited")

    def test_a_user_who_used_it_up_can_still_log_out(self, alice):
        use_up(AUTHENTICATED, user_tag(alice.organization_id, alice.user.id))

        response = alice.api.post("/auth/logout", {"scope": "global"})

        assert response.status_code == 200
        assert response.headers["RateLimit-Policy"] == '"log-outs";q=60;w=60'
        assert Api().post("/auth/refresh", {"refresh_token": alice.refresh_token}).status_code == 401

    def test_log_outs_have_a_limit_too(self, alice):
        use_up(LOG_OUTS, user_tag(alice.organization_id, alice.user.id))

        assert_refused(alice.api.post("/auth/logout"), 429, "rate_limited")

    def test_others_behind_the_same_address_are_not_held_up(self, alice, bob):
        use_up(AUTHENTICATED, user_tag(alice.organization_id, alice.user.id))
        use_up(ANONYMOUS, address_tag(HERE))

        assert bob.api.get("/users/me").status_code == 200
        assert make_member(alice.organization_id).api.get("/users/me").status_code == 200


class TestExempt:
    @pytest.mark.parametrize(
        "path", ["/health", "/health/live", "/health/ready", "/metrics", "/.well-known/jwks.json"]
    )
    def test_these_paths_are_not_limited(self, path):
        use_up(ANONYMOUS, address_tag(HERE))

        response = get(path)

        assert response.status_code == 200
        assert "RateLimit" not in response.headers
        assert "RateLimit-Policy" not in response.headers
