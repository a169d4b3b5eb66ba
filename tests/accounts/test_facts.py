"""What Redis repeats of a session saves queries, and its loss never revives a token."""

import pytest
from django_redis import get_redis_connection

from accounts.callers import load_caller
from accounts.tokens import cache_tag, verify_access_token
from saas.kit import gate
from tenancy.context import org_context
from tests.accounts.asking import assert_refused, queries


@pytest.fixture
def redis():
    return get_redis_connection("default")


def facts_key(person):
    return f"{{{person.organization_id}:{person.user.id}}}:facts:{person.session_id}"


def validate(person):
    """The cheapest request that needs a caller."""
    with queries() as found:
        response = person.api.post("/auth/validate")
    return response, found


class TestCachedFacts:
    def test_the_first_request_asks_postgresql_and_the_next_does_not(self, alice):
        response, first = validate(alice)
        assert (response.status_code, len(first)) == (200, 1)

        response, second = validate(alice)
        assert (response.status_code, second) == (200, [])

    def test_reading_the_profile_costs_one_query(self, alice):
        alice.api.get("/users/me")
        with queries() as found:
            alice.api.get("/users/me")
        assert len(found) == 1

    def test_they_live_for_30_seconds_at_most_and_are_not_prolonged(self, alice, redis):
        validate(alice)
        assert 0 < redis.ttl(facts_key(alice)) <= 30
        redis.expire(facts_key(alice), 7)
        validate(alice)
        assert redis.ttl(facts_key(alice)) <= 7

    def test_they_can_be_turned_off(self, alice, settings):
        settings.SESSION_FACTS_SECONDS = 0
        assert [len(validate(alice)[1]) for _ in range(2)] == [1, 1]

    def test_they_hold_neither_address_nor_name(self, alice, redis):
        validate(alice)
        assert redis.get(facts_key(alice)) == b'["owner",false]'


class TestWhenRedisForgets:
    def test_postgresql_is_asked_again(self, alice, redis):
        validate(alice)
        redis.flushdb()

        response, found = validate(alice)

        assert (response.status_code, len(found)) == (200, 1)

    def test_a_revoked_session_stays_revoked(self, alice, redis):
        validate(alice)
        alice.api.post("/auth/logout")
        redis.flushdb()

        for _ in range(2):
            assert_refused(alice.api.get("/users/me"), 401, "invalid_token")
        assert redis.get(facts_key(alice)) is None

    @pytest.mark.parametrize("pattern", ["*:revoked:*", "*:facts:*"])
    def test_one_evicted_key_revives_nothing(self, alice, redis, pattern):
        validate(alice)
        alice.api.post("/auth/logout")
        evicted = list(redis.scan_iter(pattern))
        assert evicted
        redis.delete(*evicted)

        assert_refused(alice.api.get("/users/me"), 401, "invalid_token")

    def test_somebody_deactivated_stays_out(self, alice, bob, redis):
        validate(bob)
        alice.api.patch(f"/users/org/{bob.user.id}", {"active": False})
        redis.flushdb()

        assert_refused(bob.api.get("/users/me"), 401, "invalid_token")

    def test_somebody_removed_stays_out(self, alice, bob, redis):
        validate(bob)
        alice.api.delete(f"/users/org/{bob.user.id}")
        redis.flushdb()

        assert_refused(bob.api.get("/users/me"), 401, "invalid_token")

    def test_a_session_that_ran_out_is_over(self, alice, owner_connection):
        owner_connection.execute("UPDATE accounts_session SET expires_at = now()")

        assert_refused(alice.api.get("/users/me"), 401, "invalid_token")


class TestTombstone:
    def test_facts_read_before_a_revocation_are_not_remembered_after_it(self, alice, redis):
        """A slow request loads its caller; meanwhile the session ends; then the request writes what it saw."""
        alice.api.post("/auth/logout")

        gate.remember_facts(
            cache_tag(alice.organization_id, alice.user.id), alice.session_id, b'["owner","full",false]'
        )

        assert redis.get(facts_key(alice)) == b""
        assert_refused(alice.api.get("/users/me"), 401, "invalid_token")

    def test_a_changed_role_leaves_one_too(self, alice, bob, redis):
        validate(bob)
        alice.api.patch(f"/users/org/{bob.user.id}", {"role": "admin"})

        gate.remember_facts(
            cache_tag(bob.organization_id, bob.user.id), bob.session_id, b'["member","full",false]'
        )

        assert redis.get(facts_key(bob)) == b""
        response, found = validate(bob)
        assert (response.json()["role"], len(found)) == ("admin", 1)

    def test_a_rolled_back_change_leaves_none(self, alice, redis):
        validate(alice)
        assert_refused(alice.api.patch(f"/users/org/{alice.user.id}", {"role": "member"}), 409, "last_owner")
        assert redis.get(facts_key(alice))


class TestLoadCaller:
    def test_it_knows_nobody_outside_the_organization(self, alice, charlie):
        claims = verify_access_token(charlie.access_token)

        with org_context(alice.organization_id):
            assert load_caller(claims) is None
        with org_context(charlie.organization_id):
            assert load_caller(claims).role == "owner"
