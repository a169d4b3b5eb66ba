from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from saas.kit.lock import LockHeld, LockLost, distributed_lock
from saas.kit.redis import RedisUnavailable


class TestDistributedLock:
    def test_it_works(self, redis):
        with distributed_lock("prune", seconds=10):
            assert 0 < redis.pttl("lock:prune") <= 10_000
        assert not redis.exists("lock:prune")

    def test_it_does_not_wait_for_another_holder(self, redis):
        with distributed_lock("prune", seconds=10):
            with pytest.raises(LockHeld), distributed_lock("prune", seconds=10):
                pass
            assert redis.exists("lock:prune")

    def test_it_gives_the_lock_back_when_the_work_fails(self, redis):
        with pytest.raises(ZeroDivisionError), distributed_lock("prune", seconds=10):
            _ = 1 / 0
        assert not redis.exists("lock:prune")

    def test_it_says_so_when_the_work_outlived_it_and_leaves_the_next_holder_alone(self, redis):
        with pytest.raises(LockLost), distributed_lock("prune", seconds=10):
            redis.set("lock:prune", "another")
        assert redis.get("lock:prune") == b"another"

    def test_an_error_of_the_work_is_not_hidden_by_the_lost_lock(self, redis):
        with pytest.raises(ZeroDivisionError), distributed_lock("prune", seconds=10):
            redis.delete("lock:prune")
            _ = 1 / 0

    def test_only_one_of_many_gets_it(self, redis):
        start, finish = Barrier(8), Barrier(8)

        def work(_):
            start.wait()
            try:
                with distributed_lock("prune", seconds=10):
                    finish.wait()
                    return True
            except LockHeld:
                finish.wait()
                return False

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(work, range(8))) == 1

    def test_it_raises_when_redis_is_away(self, no_redis):
        with pytest.raises(RedisUnavailable), distributed_lock("prune", seconds=10):
            pass

    def test_work_that_is_done_does_not_fail_because_redis_went_away(self, server, redis):
        with distributed_lock("prune", seconds=10):
            server.freeze()
