from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from prometheus_client import REGISTRY

from saas.kit.attempts import LocalAttempts, before_attempt, record_failure, record_success

MINUTE = 60
KEY = "alice@acme.example"


@pytest.fixture(params=["redis", "process"])
def elapse(request, clock):
    """Lets seconds pass; every test runs against Redis and against the fallback of a process without it."""
    if request.param == "process":
        request.getfixturevalue("no_redis")
        return clock.advance
    redis = request.getfixturevalue("redis")

    def shorten_lives(seconds):
        for key in redis.scan_iter("{attempts:*"):
            redis.pexpire(key, max(redis.pttl(key) - round(seconds * 1000), 0))

    return shorten_lives


def fail(times):
    return [record_failure(KEY) for _ in range(times)]


class TestAttempts:
    def test_it_lets_five_failures_pass_and_then_blocks(self, elapse):
        for _ in range(5):
            assert before_attempt(KEY) == 0
            assert record_failure(KEY) == 0
        assert 29 < before_attempt(KEY) <= 30

    def test_a_success_forgets_the_failures(self, elapse):
        fail(4)
        assert record_success(KEY) == 0
        assert fail(5) == [0] * 5

    def test_keys_do_not_disturb_each_other(self, elapse):
        fail(5)
        assert before_attempt("bob@acme.example") == 0

    def test_a_success_that_comes_after_the_block_is_refused(self, elapse):
        fail(5)
        assert record_success(KEY) > 0
        elapse(30)
        assert record_success(KEY) == 0

    def test_a_failure_that_comes_after_the_block_is_withheld_and_does_not_extend_it(self, elapse):
        fail(5)
        assert all(0 < seconds <= 30 for seconds in fail(10))
        elapse(30)
        assert before_attempt(KEY) == 0

    def test_each_further_failure_doubles_the_block_up_to_15_minutes(self, elapse):
        fail(4)
        for block in (30, 60, 120, 240, 480, 900, 900, 900):
            assert record_failure(KEY) == 0
            assert block - 1 < before_attempt(KEY) <= block
            elapse(block)
            assert before_attempt(KEY) == 0

    def test_failures_are_forgotten_15_minutes_after_the_last(self, elapse):
        fail(4)
        elapse(15 * MINUTE)
        assert fail(5) == [0] * 5

    def test_failures_are_remembered_until_then(self, elapse):
        fail(4)
        elapse(15 * MINUTE - 1)
        fail(1)
        assert before_attempt(KEY) > 0

    def test_a_block_is_forgotten_15_minutes_after_its_end(self, elapse):
        fail(5)
        elapse(30 + 15 * MINUTE)
        assert fail(5) == [0] * 5

    def test_parallel_guesses_learn_five_answers(self, elapse):
        start = Barrier(20)

        def guess(number):
            blocked = before_attempt(KEY)
            start.wait()
            return blocked or record_failure(KEY)

        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(guess, range(20)))
        assert answers.count(0) == 5

    def test_after_a_block_parallel_guesses_learn_one_answer(self, elapse):
        fail(5)
        elapse(30)
        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(lambda _: record_failure(KEY), range(20)))
        assert answers.count(0) == 1


class TestInRedis:
    def test_no_key_names_the_account(self, redis):
        fail(5)
        assert all(b"alice" not in key for key in redis.keys("*"))

    def test_everything_is_forgotten_by_itself(self, redis):
        fail(5)
        assert len(redis.keys("*")) == 2
        assert all(redis.pttl(key) > 0 for key in redis.keys("*"))

    def test_a_clock_that_stepped_back_blocks_for_15_minutes_at_most(self, redis):
        fail(5)
        (block,) = redis.keys("*:block")
        redis.pexpire(block, 3600_000)
        assert before_attempt(KEY) == 15 * MINUTE
        assert redis.pttl(block) <= 15 * MINUTE * 1000


class TestInTheProcess:
    def test_it_is_counted(self, no_redis):
        labels = {"event": "failure", "source": "process", "outcome": "open"}
        before = REGISTRY.get_sample_value("saas_attempts_total", labels) or 0
        fail(2)
        assert REGISTRY.get_sample_value("saas_attempts_total", labels) == before + 2

    def test_it_keeps_a_bounded_number_of_keys(self, clock):
        attempts = LocalAttempts(max_keys=3, clock=clock)
        for key in "abcd":
            for _ in range(5):
                attempts.tell("failure", key)
        assert [attempts.tell("before", key) for key in "abcd"] == [0, 30, 30, 30]
