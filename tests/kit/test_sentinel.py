import time

import pytest
from django_redis import get_redis_connection
from redis import Redis

from saas.kit.redis import RedisUnavailable, cache_settings, call, pool_status


@pytest.fixture
def cluster(start_server, breaker, settings):
    """A master and its replica, watched by one Sentinel."""
    master = start_server()
    replica = start_server("--replicaof", "127.0.0.1", str(master.port))
    sentinel = start_server("--sentinel")
    with Redis(port=sentinel.port) as client:
        client.sentinel_monitor("main", "127.0.0.1", master.port, 1)
        client.sentinel_set("main", "down-after-milliseconds", 300)
        wait_until(lambda: client.sentinel_slaves("main") and link_is_up(replica))
    url = f"redis+sentinel://127.0.0.1:{sentinel.port}/main/0"
    settings.CACHES = {"default": cache_settings(url, max_connections=3)}
    return master, replica


def link_is_up(replica):
    with Redis(port=replica.port) as client:
        return client.info("replication")["master_link_status"] == "up"


def wait_until(condition):
    for _ in range(300):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("it never came true")


class TestSentinel:
    def test_it_follows_a_failover(self, cluster, clock):
        master, replica = cluster
        call(lambda redis: redis.set("key", "before"), name="test")
        master.stop()

        def can_write():
            clock.advance(1)
            try:
                return call(lambda redis: redis.set("key", "after"), name="test")
            except RedisUnavailable:
                return False

        wait_until(can_write)
        assert get_redis_connection("default").connection_pool.master_address == ("127.0.0.1", replica.port)
        assert (pool_status().in_use, pool_status().max_connections) == (0, 3)
