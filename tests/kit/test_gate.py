from uuid import UUID

import pytest
from redis.crc import key_slot

from saas.kit.breaker import State
from saas.kit.gate import (
    KEYS_AT_ONCE,
    address_tag,
    check,
    forget_facts,
    forget_organization,
    remember_facts,
    revoke,
    user_tag,
)
from saas.kit.rate_limits import MINUTE, Limit
from saas.kit.redis import RedisUnavailable
from tests.project.launching import eventually

LIMIT = Limit("authenticated", 3, per=MINUTE)
ALICE = user_tag(UUID(int=1), "0190f3a2-alice")


def look(sid="s1", jti="j1", tag=ALICE):
    return check(limit=LIMIT, tag=tag, sid=sid, jti=jti)


class TestCheck:
    def test_it_works(self, redis):
        remember_facts(ALICE, "s1", b"facts")
        passage = look()
        assert passage.decision.allowed
        assert passage.decision.remaining == 2
        assert passage.facts == b"facts"
        assert not passage.revoked
        assert passage.redis_answered

    def test_it_is_one_call(self, redis, calls):
        look()
        evaluated = redis.info("commandstats")["cmdstat_evalsha"]["calls"]
        look()
        assert redis.info("commandstats")["cmdstat_evalsha"]["calls"] == evaluated + 1
        assert calls("answered") == 2

    def test_it_denies_past_the_limit(self, redis):
        assert [look().decision.allowed for _ in range(5)] == [True, True, True, False, False]

    def test_it_needs_no_session(self, redis):
        passage = check(limit=LIMIT, tag="ip:192.0.2.1")
        assert passage.decision.remaining == 2
        assert passage.facts is None

    def test_it_refuses_a_jti_without_a_sid(self, redis):
        with pytest.raises(ValueError, match="sid"):
            check(limit=LIMIT, tag=ALICE, jti="j1")

    def test_its_keys_share_a_slot(self, redis):
        look()
        remember_facts(ALICE, "s1", b"facts")
        revoke(ALICE, ["s1"], ["j1"], 900)
        forget_organization(UUID(int=1))
        assert len(redis.keys("*")) == 5
        assert len({key_slot(key) for key in redis.keys("*")}) == 1

    def test_every_key_runs_out(self, redis):
        look()
        remember_facts(ALICE, "s2", b"facts")
        revoke(ALICE, ["s1"], ["j1"], 900)
        assert all(redis.ttl(key) > 0 for key in redis.keys("*"))


class TestRevoke:
    def test_a_session_is_revoked(self, redis):
        revoke(ALICE, ["s1"], [], 900)
        assert look().revoked
        assert not look(sid="s2").revoked

    def test_a_single_token_is_revoked(self, redis):
        revoke(ALICE, [], ["j1"], 900)
        assert look().revoked
        assert not look(jti="j2").revoked

    def test_its_facts_are_gone_at_once(self, redis):
        remember_facts(ALICE, "s1", b"facts")
        revoke(ALICE, ["s1"], [], 900)
        assert look().facts is None

    def test_it_lasts_as_long_as_the_token(self, redis):
        revoke(ALICE, ["s1"], ["j1"], 900)
        assert 890 < redis.ttl(f"{ALICE}:revoked:sid:s1") <= 900
        assert 890 < redis.ttl(f"{ALICE}:revoked:jti:j1") <= 900

    def test_a_revoked_token_does_not_use_the_limit_up(self, redis):
        revoke(ALICE, ["s1"], [], 900)
        assert [look().decision.remaining for _ in range(5)] == [3] * 5
        assert look(sid="s2").decision.remaining == 2

    def test_however_many_sessions_a_person_has(self, redis, calls):
        sids = [f"s{number}" for number in range(5_000)]
        revoke(ALICE, sids, [], 900)
        # Two keys each. One script for all of them would keep Redis from everybody else.
        assert calls("answered") == 2 * len(sids) / KEYS_AT_ONCE
        assert look(sid=sids[0]).revoked
        assert look(sid=sids[-1]).revoked

    def test_nothing_to_revoke_asks_nobody(self, redis, calls):
        revoke(ALICE, [], [], 900)
        assert calls("answered") == 0


class TestFacts:
    def test_they_last_30_seconds_and_are_not_refreshed(self, redis):
        remember_facts(ALICE, "s1", b"facts")
        redis.expire(f"{ALICE}:facts:s1", 5)
        remember_facts(ALICE, "s1", b"newer")
        assert look().facts == b"facts"
        assert redis.ttl(f"{ALICE}:facts:s1") <= 5

    def test_after_a_failure_none_are_believed_for_a_minute(self, server, redis, clock):
        """What was revoked meanwhile may not have reached Redis."""
        remember_facts(ALICE, "s1", b"facts")
        server.freeze()
        assert not look().redis_answered
        server.thaw()
        assert eventually(lambda: look().redis_answered)
        redis.set(f"{ALICE}:facts:s1", b"facts")
        assert look().facts is None
        clock.now += 61
        assert look().facts == b"facts"

    def test_a_slow_reader_cannot_put_forgotten_facts_back(self, redis):
        assert look().facts is None
        forget_facts(ALICE, ["s1"])
        remember_facts(ALICE, "s1", b"read before the change")
        assert look().facts is None

    def test_a_slow_reader_cannot_put_a_revoked_session_back(self, redis):
        revoke(ALICE, ["s1"], [], 900)
        redis.delete(f"{ALICE}:revoked:sid:s1")
        remember_facts(ALICE, "s1", b"read before the change")
        assert look().facts is None

    def test_the_tombstone_outlives_facts(self, redis):
        forget_facts(ALICE, ["s1"])
        assert redis.ttl(f"{ALICE}:facts:s1") > 30

    def test_they_can_be_remembered_after_the_tombstone(self, redis):
        forget_facts(ALICE, ["s1"])
        redis.delete(f"{ALICE}:facts:s1")
        remember_facts(ALICE, "s1", b"facts")
        assert look().facts == b"facts"

    def test_those_of_a_whole_organization_are_forgotten_at_once(self, redis):
        other = user_tag(UUID(int=2), "charlie")
        for tag in (ALICE, other):
            remember_facts(tag, "s1", b"facts")
        forget_organization(UUID(int=1))
        remember_facts(ALICE, "s2", b"read before the change")
        assert [look().facts, look(sid="s2").facts, look(tag=other).facts] == [None, None, b"facts"]
        assert redis.ttl(f"{{{UUID(int=1)}}}:changed") > 30
        assert not look().revoked

    def test_forgetting_does_not_revoke(self, redis):
        forget_facts(ALICE, ["s1", "s2"])
        assert not look().revoked

    @pytest.mark.parametrize("seconds", [0, 31])
    def test_they_are_not_kept_longer_than_a_tombstone_guards(self, redis, seconds):
        with pytest.raises(ValueError, match="at most 30"):
            remember_facts(ALICE, "s1", b"facts", seconds)

    def test_empty_facts_are_refused(self, redis):
        with pytest.raises(ValueError, match="tombstone"):
            remember_facts(ALICE, "s1", b"")


class TestLosingRedis:
    """Whatever Redis forgets, it never says that a revoked session is alive: it gives no facts."""

    def test_a_flush_takes_the_facts_too(self, redis):
        remember_facts(ALICE, "s1", b"facts")
        revoke(ALICE, ["s1"], ["j1"], 900)
        redis.flushall()
        passage = look()
        assert passage.redis_answered
        assert passage.facts is None

    def test_an_evicted_blacklist_entry_leaves_no_facts(self, redis):
        remember_facts(ALICE, "s1", b"facts")
        revoke(ALICE, ["s1"], ["j1"], 900)
        redis.delete(f"{ALICE}:revoked:sid:s1", f"{ALICE}:revoked:jti:j1")
        assert look().facts is None

    def test_forgotten_scripts_are_sent_again(self, redis):
        look()
        redis.script_flush()
        assert look().redis_answered

    def test_without_redis_the_process_counts_and_postgresql_is_asked(self, no_redis):
        passages = [look() for _ in range(5)]
        assert [passage.decision.allowed for passage in passages] == [True, True, True, False, False]
        assert not any(passage.redis_answered or passage.revoked or passage.facts for passage in passages)

    def test_a_frozen_redis_is_asked_three_times(self, server, calls):
        server.freeze()
        assert not any(look().redis_answered for _ in range(20))
        assert (calls("failed"), calls("refused")) == (3, 17)

    def test_it_is_asked_again_a_second_later(self, server, clock):
        server.freeze()
        for _ in range(3):
            look()
        server.thaw()
        clock.advance(1)
        assert look().redis_answered

    def test_a_replica_does_not_answer(self, redis):
        remember_facts(ALICE, "s1", b"facts")
        redis.replicaof("127.0.0.1", "1")
        passage = look()
        assert not passage.redis_answered
        assert passage.facts is None

    def test_with_no_memory_left_it_remembers_nothing(self, redis):
        redis.config_set("maxmemory", 1)
        with pytest.raises(RedisUnavailable):
            remember_facts(ALICE, "s1", b"facts")

    def test_with_no_memory_left_it_still_forgets(self, redis):
        for sid in ("s1", "s2", "s3"):
            remember_facts(ALICE, sid, b"facts")
        redis.config_set("maxmemory", 1)
        forget_facts(ALICE, ["s1"])
        revoke(ALICE, ["s2"], ["j1"], 900)
        redis.config_set("maxmemory", 0)
        assert [look(sid=sid).facts for sid in ("s1", "s3")] == [None, b"facts"]
        assert look(sid="s2").revoked
        assert look(sid="s3", jti="j1").revoked

    @pytest.mark.parametrize(
        "write",
        [
            lambda: remember_facts(ALICE, "s1", b"facts"),
            lambda: forget_facts(ALICE, ["s1"]),
            lambda: revoke(ALICE, ["s1"], ["j1"], 900),
        ],
    )
    class TestWritesThatDidNotLand:
        def test_without_redis(self, no_redis, write):
            with pytest.raises(RedisUnavailable):
                write()

        def test_on_a_replica(self, redis, write):
            redis.replicaof("127.0.0.1", "1")
            with pytest.raises(RedisUnavailable):
                write()

        def test_while_it_is_frozen(self, server, write):
            server.freeze()
            with pytest.raises(RedisUnavailable):
                write()


class TestAddressTag:
    @pytest.mark.parametrize(
        ("ip", "tag"),
        [
            ("192.0.2.7", "ip:192.0.2.7"),
            ("::ffff:192.0.2.7", "ip:192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "ip:2001:db8:1:2::/64"),
            ("2001:db8:1:2::1", "ip:2001:db8:1:2::/64"),
            ("fe80::1%eth0", "ip:fe80::/64"),
        ],
    )
    def test_it_works(self, ip, tag):
        assert address_tag(ip) == tag

    def test_it_refuses_what_is_no_address(self):
        with pytest.raises(ValueError, match="address"):
            address_tag("localhost")


class TestOpenBreaker:
    """A process that still shuns Redis must not keep a revocation to itself: other processes go on asking it."""

    @pytest.fixture(autouse=True)
    def open_breaker(self, server, breaker):
        server.freeze()
        while breaker.state is not State.OPEN:
            check(limit=LIMIT, tag="u1", sid="s1", jti="j1")
        server.thaw()
        assert not check(limit=LIMIT, tag="u1", sid="s1", jti="j1").redis_answered

    def test_a_revocation_is_written_all_the_same(self, redis):
        revoke("u1", ["s1"], ["j1"], 60)
        assert redis.exists("u1:revoked:sid:s1", "u1:revoked:jti:j1") == 2
        assert redis.get("u1:facts:s1") == b""

    def test_so_are_facts_forgotten(self, redis):
        forget_facts("u1", ["s1"])
        assert redis.get("u1:facts:s1") == b""

    def test_what_is_no_revocation_waits(self):
        with pytest.raises(RedisUnavailable):
            remember_facts("u1", "s1", b"facts")
