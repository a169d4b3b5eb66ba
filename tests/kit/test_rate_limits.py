import threading

import pytest
from prometheus_client import REGISTRY

from saas.kit.rate_limits import MINUTE, Decision, Limit, LocalWindows, hit, rate_key, rate_limit_headers


class TestHit:
    limit = Limit("test", 2, per=MINUTE)

    def test_it_works(self, redis):
        first, second, third = (hit(self.limit, "192.0.2.1") for _ in range(3))
        assert (first.allowed, first.remaining, first.retry_after) == (True, 1, 0)
        assert first.reset_after == 60
        assert (second.allowed, second.remaining) == (True, 0)
        assert 59 < second.retry_after <= 60
        assert not third.allowed
        assert 59 < third.retry_after <= 60

    def test_keys_and_limits_do_not_disturb_each_other(self, redis):
        hit(self.limit, "192.0.2.1")
        assert hit(self.limit, "192.0.2.2").remaining == 1
        assert hit(Limit("other", 2, per=MINUTE), "192.0.2.1").remaining == 1

    def test_its_key_has_a_hash_tag(self, redis):
        hit(self.limit, "192.0.2.1")
        assert redis.keys() == [b"192.0.2.1:rate:test"] == [rate_key(self.limit, "192.0.2.1").encode()]

    def test_a_flush_starts_anew(self, redis):
        for _ in range(3):
            hit(self.limit, "192.0.2.1")
        redis.flushall()
        assert hit(self.limit, "192.0.2.1").remaining == 1

    def test_without_redis_the_process_decides_and_says_so(self, no_redis):
        labels = {"limit": "test", "source": "process", "outcome": "denied"}
        before = REGISTRY.get_sample_value("saas_rate_limit_decisions_total", labels) or 0
        assert [hit(self.limit, "192.0.2.1").allowed for _ in range(3)] == [True, True, False]
        assert REGISTRY.get_sample_value("saas_rate_limit_decisions_total", labels) == before + 1


class TestLocalWindows:
    def test_it_keeps_a_bounded_number_of_keys_and_forgets_the_longest_unused(self, clock):
        windows, limit = LocalWindows(max_keys=3, clock=clock), Limit("test", 10, per=MINUTE)
        for key in "abcad":
            windows.hit(limit, key)
        assert windows.hit(limit, "a").remaining == 7
        assert windows.hit(limit, "b").remaining == 9

    def test_it_gives_memory_back_after_a_flood(self, clock):
        windows, limit = LocalWindows(clock=clock), Limit("test", 10, per=MINUTE)
        for number in range(100):
            windows.hit(limit, str(number))
        clock.advance(MINUTE)
        for _ in range(100):
            windows.hit(limit, "a")
        assert len(windows._windows) == 1

    def test_threads_do_not_admit_too_many(self, clock):
        windows, limit = LocalWindows(clock=clock), Limit("test", 100, per=MINUTE)
        start, admitted = threading.Barrier(8), []

        def work():
            start.wait()
            admitted.extend(windows.hit(limit, "key").allowed for _ in range(100))

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert admitted.count(True) == 100


class TestHeaders:
    limit = Limit("anonymous", 100, per=MINUTE)

    def test_an_admitted_request(self):
        assert rate_limit_headers(Decision(True, 100, 99, 60.0), self.limit) == {
            "RateLimit-Policy": '"anonymous";q=100;w=60',
            "RateLimit": '"anonymous";r=99;t=60',
        }

    @pytest.mark.parametrize(("seconds", "header"), [(0.0, "1"), (0.2, "1"), (1.0, "1"), (1.01, "2")])
    def test_a_denied_request_may_be_sent_again_after_whole_seconds(self, seconds, header):
        assert rate_limit_headers(Decision(False, 100, 0, seconds), self.limit)["Retry-After"] == header
