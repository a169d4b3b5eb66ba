"""What Redis repeats of a session saves queries, and its loss never revives a token."""

from dataclasses import replace

import pytest
from django_redis import get_redis_connection

from accounts.callers import load_caller
from accounts.models import User
from accounts.profiles import profile_of, to_facts
from accounts.tokens import verify_access_token
from saas.kit import gate
from saas.kit.gate import user_tag
from saas.kit.redis import cache_settings
from saas.kit.sealing import seal_bytes
from saas.launcher.processes import free_port
from tenancy.context import OrganizationContextConflict, org_context
from tenancy.services import change_organization
from tests.accounts.asking import assert_refused, queries


@pytest.fixture
def redis():
    return get_redis_connection("default")


@pytest.fixture
def redis_is_away(settings):
    settings.CACHES = {"default": cache_settings(f"redis://127.0.0.1:{free_port()}/0", max_connections=5)}


def facts_key(person):
    return f"{user_tag(person.organization_id, person.user.id)}:facts:{person.session_id}"


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

    def test_reading_the_profile_again_asks_nobody_else(self, alice):
        first = alice.api.get("/users/me")
        with queries() as found:
            again = alice.api.get("/users/me")
        assert found == []
        assert (again.json(), again.headers["ETag"]) == (first.json(), first.headers["ETag"])

    def test_they_live_for_30_seconds_at_most_and_are_not_prolonged(self, alice, redis):
        validate(alice)
        assert 0 < redis.ttl(facts_key(alice)) <= 30
        redis.expire(facts_key(alice), 7)
        validate(alice)
        assert redis.ttl(facts_key(alice)) <= 7

    def test_they_can_be_turned_off(self, alice, settings):
        settings.SESSION_FACTS_SECONDS = 0
        assert [len(validate(alice)[1]) for _ in range(2)] == [1, 1]

    def test_who_reads_redis_learns_nothing_of_the_person(self, alice, redis):
        validate(alice)
        facts = redis.get(facts_key(alice))
        assert facts
        for told in ("alice", "Acme", "owner", "full"):
            assert told.encode() not in facts

    def test_who_writes_redis_makes_nobody_an_owner(self, alice, bob, redis):
        """Facts count only where they were sealed for this session, under this SECRET_KEY."""
        validate(alice)
        validate(bob)
        redis.set(facts_key(bob), redis.get(facts_key(alice)))
        response, found = validate(bob)
        assert (response.json()["role"], len(found)) == ("member", 1)
        for forged in (b'{"role":"owner"}', b"x", bytes(60)):
            redis.set(facts_key(bob), forged)
            response, found = validate(bob)
            assert (response.json()["role"], len(found)) == ("member", 1)

    def test_facts_under_another_key_are_none(self, alice, settings):
        validate(alice)
        settings.SECRET_KEY = "another-one"
        response, found = validate(alice)
        assert (response.status_code, len(found)) == (200, 1)

    def test_facts_that_an_older_release_wrote_are_none(self, alice, redis):
        claims = verify_access_token(alice.access_token)
        place = f"{claims.cache_tag}:{claims.sid}"
        redis.set(
            facts_key(alice), seal_bytes("session-facts", b'{"organization":{},"role":"owner"}', place=place)
        )
        response, found = validate(alice)
        assert (response.status_code, len(found)) == (200, 1)


class TestReadYourWrites:
    """Whoever changed something sees it at once, in each of their sessions."""

    def test_a_persons_own_change(self, alice):
        alice.api.get("/users/me")
        assert (
            alice.api.patch("/users/me", {"name": "Alicia", "timezone": "Europe/Berlin"}).status_code == 200
        )
        found = alice.api.get("/users/me").json()
        assert (found["name"], found["timezone"]) == ("Alicia", "Europe/Berlin")

    def test_the_organizations_new_name_and_plan(self, alice, bob, charlie):
        for person in (alice, bob, charlie):
            person.api.get("/users/me")
        with org_context(alice.organization_id):
            change_organization(name="Acme & Sons", plan="pro", access="read_only")
        for person in (alice, bob):
            found = person.api.get("/users/me").json()["org"]
            assert (found["name"], found["plan"], found["access"]) == ("Acme & Sons", "pro", "read_only")
        with queries() as asked:
            assert charlie.api.get("/users/me").json()["org"]["name"] == "Globex"
        assert asked == []

    def test_what_a_slow_reader_remembers_after_the_change_does_not_count(self, alice, redis):
        claims = verify_access_token(alice.access_token)
        with org_context(alice.organization_id):
            before = load_caller(claims).profile
        redis.flushdb()
        with org_context(alice.organization_id):
            change_organization(name="Acme & Sons")
        gate.remember_facts(claims.cache_tag, alice.session_id, to_facts(before, claims))
        assert alice.api.get("/users/me").json()["org"]["name"] == "Acme & Sons"

    def test_a_change_that_was_rolled_back_is_no_reason_to_ask(self, alice):
        alice.api.get("/users/me")
        with pytest.raises(RuntimeError), org_context(alice.organization_id):
            change_organization(name="Never")
            raise RuntimeError
        with queries() as asked:
            alice.api.get("/users/me")
        assert asked == []

    def test_without_redis_the_change_is_made_all_the_same(self, alice, redis_is_away):
        with org_context(alice.organization_id):
            change_organization(name="Acme & Sons")
        assert alice.api.get("/users/me").json()["org"]["name"] == "Acme & Sons"


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
            user_tag(alice.organization_id, alice.user.id), alice.session_id, b'["owner","full",false]'
        )

        assert redis.get(facts_key(alice)) == b""
        assert_refused(alice.api.get("/users/me"), 401, "invalid_token")

    def test_a_changed_role_leaves_one_too(self, alice, bob, redis):
        validate(bob)
        alice.api.patch(f"/users/org/{bob.user.id}", {"role": "admin"})

        gate.remember_facts(
            user_tag(bob.organization_id, bob.user.id), bob.session_id, b'["member","full",false]'
        )

        assert redis.get(facts_key(bob)) == b""
        response, found = validate(bob)
        assert (response.json()["role"], len(found)) == ("admin", 1)

    def test_a_rolled_back_change_leaves_none(self, alice, redis):
        validate(alice)
        assert_refused(alice.api.patch(f"/users/org/{alice.user.id}", {"role": "member"}), 409, "last_owner")
        assert redis.get(facts_key(alice))


class TestLoadCaller:
    def test_it_asks_once_and_reads_no_password(self, alice):
        claims = verify_access_token(alice.access_token)
        with queries() as asked:
            caller = load_caller(claims)
        with org_context(alice.organization_id):
            assert caller.profile == profile_of(
                User.objects.select_related("organization").get(id=alice.user.id)
            )
        assert len(asked) == 1
        assert "password" not in asked[0]

    def test_it_knows_nobody_outside_the_organization(self, alice, charlie):
        claims = verify_access_token(charlie.access_token)
        elsewhere = replace(claims, org_id=alice.organization_id)

        with org_context(alice.organization_id):
            assert load_caller(elsewhere) is None
            with pytest.raises(OrganizationContextConflict):
                load_caller(claims)
        with org_context(charlie.organization_id):
            assert load_caller(claims).role == "owner"
        assert load_caller(elsewhere) is None
        assert load_caller(claims).role == "owner"
