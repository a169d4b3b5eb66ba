import sys
import threading

import pytest
from django.core.cache import cache
from django_redis import get_redis_connection
from prometheus_client import REGISTRY
from redis.connection import BlockingConnectionPool
from redis.exceptions import ResponseError

from saas.kit.breaker import State
from saas.kit.redis import (
    BlockingSentinelPool,
    RedisUnavailable,
    Script,
    cache_settings,
    call,
    ping,
    pool_status,
)


def get(redis):
    return redis.get("key")


def fail_to_get():
    with pytest.raises(RedisUnavailable):
        call(get, name="test")


@pytest.fixture
def switch_often():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


class TestCall:
    def test_it_works(self, redis, calls):
        redis.set("key", "value")
        assert call(get, name="test") == b"value"
        assert calls("answered") == 1

    def test_it_raises_when_nothing_listens(self, no_redis, calls):
        fail_to_get()
        assert calls("failed") == 1

    def test_a_frozen_redis_is_asked_three_times_and_then_left_alone(self, server, clock, calls):
        server.freeze()
        for _ in range(50):
            fail_to_get()
        assert (calls("failed"), calls("refused")) == (3, 47)

    def test_a_timeout_is_not_tried_again(self, server, redis):
        connections = redis.info("stats")["total_connections_received"]
        server.freeze()
        fail_to_get()
        server.thaw()
        assert redis.info("stats")["total_connections_received"] == connections + 1

    def test_it_recovers_within_a_second_of_a_frozen_redis(self, server, clock, breaker):
        server.freeze()
        for _ in range(3):
            fail_to_get()
        server.thaw()
        clock.advance(1)
        assert call(get, name="test") is None
        assert breaker.state is State.CLOSED

    def test_a_frozen_redis_does_not_hold_many_threads(self, server, calls):
        server.freeze()
        fail_to_get()
        start = threading.Barrier(16)

        def get_at_once():
            start.wait()
            fail_to_get()

        threads = [threading.Thread(target=get_at_once) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert calls("failed") <= 3

    def test_a_replica_is_an_outage(self, server, redis, breaker):
        redis.replicaof("127.0.0.1", "1")
        with pytest.raises(RedisUnavailable):
            call(lambda redis: redis.set("key", "value"), name="test")
        assert breaker.state is State.HALF_OPEN

    def test_a_full_redis_is_an_outage(self, redis, breaker):
        redis.config_set("maxmemory", 1)
        with pytest.raises(RedisUnavailable):
            call(lambda redis: redis.set("key", "value"), name="test")
        assert breaker.state is State.HALF_OPEN

    def test_a_fault_of_the_operation_is_not_an_outage(self, redis, breaker):
        redis.set("key", "value")
        with pytest.raises(ResponseError):
            call(lambda redis: redis.lpush("key", "value"), name="test")
        assert breaker.state is State.CLOSED

    def test_any_other_error_passes_and_says_nothing_about_redis(self, redis, breaker):
        with pytest.raises(ZeroDivisionError):
            call(lambda _: 1 / 0, name="test")
        assert breaker.state is State.CLOSED

    def test_an_exhausted_pool_is_an_outage_with_a_metric_of_its_own(self, server, settings):
        url = server.url.replace("/0", "/1")
        settings.CACHES = {"default": cache_settings(url, max_connections=1, pool_timeout=0.01)}
        failures = REGISTRY.get_sample_value("saas_redis_pool_failures_total")
        pool = get_redis_connection("default").connection_pool
        connection = pool.get_connection()
        try:
            fail_to_get()
        finally:
            pool.release(connection)
        assert REGISTRY.get_sample_value("saas_redis_pool_failures_total") == failures + 1


class TestScript:
    def test_it_survives_a_script_flush(self, redis):
        script = Script("return ARGV[1]")
        assert script(redis, [], ["a"]) == b"a"
        redis.script_flush()
        assert script(redis, [], ["b"]) == b"b"


class TestPoolStatus:
    def test_it_counts_the_connections_in_use(self, redis):
        pool = redis.connection_pool
        idle = pool_status()
        connection = pool.get_connection()
        busy = pool_status()
        pool.release(connection)
        assert (idle.max_connections, idle.in_use, idle.available) == (20, 0, 20)
        assert (busy.in_use, busy.available, busy.utilization_percent) == (1, 19, 5.0)

    def test_it_works_without_redis(self, no_redis):
        assert pool_status().in_use == 0


class TestPing:
    def test_it_measures(self, redis):
        assert ping() > 0

    def test_it_raises_when_nothing_listens(self, no_redis):
        with pytest.raises(RedisUnavailable):
            ping()


class TestCacheSettings:
    def test_the_cache_works(self, server):
        cache.set("key", {"a": 1}, 10)
        assert cache.get("key") == {"a": 1}

    def test_connections_are_as_promised(self, redis):
        pool = redis.connection_pool
        connection = pool.make_connection()
        assert type(pool) is BlockingConnectionPool
        assert connection.health_check_interval == 30
        assert connection.retry.get_retries() == 3
        assert connection.socket_keepalive
        assert connection.socket_timeout == connection.socket_connect_timeout == 0.2

    def test_threads_share_one_pool(self, server, settings, switch_often):
        settings.CACHES = {"default": cache_settings(server.url.replace("/0", "/2"), max_connections=20)}
        pools, start = [], threading.Barrier(16)

        def connect():
            start.wait()
            pools.append(get_redis_connection("default").connection_pool)

        threads = [threading.Thread(target=connect) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(pools) == 16
        assert len(set(map(id, pools))) == 1

    def test_sentinel(self, settings, breaker):
        url = "redis+sentinel://app:p%40ss@s1:26379,s2:26380/main/3"
        settings.CACHES = {"default": cache_settings(url, max_connections=7)}
        pool = get_redis_connection("default").connection_pool
        assert isinstance(pool, BlockingSentinelPool)
        assert (pool.service_name, pool.max_connections, pool.is_master) == ("main", 7, True)
        assert pool.connection_kwargs["db"] == 3
        assert (pool.connection_kwargs["username"], pool.connection_kwargs["password"]) == ("app", "p@ss")
        sentinels = [each.connection_pool.connection_kwargs for each in pool.sentinel_manager.sentinels]
        assert [(each["host"], each["port"]) for each in sentinels] == [("s1", 26379), ("s2", 26380)]
        assert all(each["socket_timeout"] == 0.1 for each in sentinels)

    def test_sentinel_with_tls(self, settings, breaker):
        settings.CACHES = {"default": cache_settings("rediss+sentinel://s1:26379/tls/0", max_connections=7)}
        pool = get_redis_connection("default").connection_pool
        assert pool.connection_class.__name__ == "SentinelManagedSSLConnection"

    def test_it_refuses_a_sentinel_without_a_port(self):
        with pytest.raises(ValueError, match="host:port"):
            cache_settings("redis+sentinel://s1/main/0", max_connections=7)
