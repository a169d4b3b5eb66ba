"""The sliding window in Lua, against an oracle and a clock that the tests move."""

import random
import time
from collections import deque
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from itertools import chain
from multiprocessing import get_context
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from saas.kit.rate_limits import AUTHENTICATED, MINUTE, WINDOW_LUA, Limit, LocalWindows, window_args
from saas.kit.redis import Script

# The product's own Lua, once on a clock that the test moves, once on Redis's and with a record of the order.
ON_TEST_TIME = Script(
    WINDOW_LUA, "return take(KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), true)"
)
RECORDED = Script(
    WINDOW_LUA,
    """
    local time = now()
    local reply = take(KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), time, true)
    return {redis.call('INCR', KEYS[2]), time, reply[1], reply[2], reply[3]}
    """,
)
EPOCH = 1_800_000_000_000_000
SECOND = 1_000_000
HOUR = 3600 * SECOND


class Oracle:
    """The definition of the window: at most `amount` admissions in any `span`."""

    def __init__(self, amount, span):
        self.amount, self.span, self.admitted = amount, span, deque()

    def decide(self, now):
        while self.admitted and self.admitted[0] <= now - self.span:
            self.admitted.popleft()
        allowed = len(self.admitted) < self.amount
        if allowed:
            self.admitted.append(now)
        return [int(allowed), self.amount - len(self.admitted), self.admitted[0] + self.span - now]


class Window:
    """One key in Redis on a clock of its own, in microseconds."""

    def __init__(self, redis, amount, span):
        self.redis, self.key, self.amount, self.span, self.now = redis, str(uuid4()), amount, span, EPOCH

    def hit(self):
        return ON_TEST_TIME(self.redis, [self.key], [self.amount, self.span, self.now])

    def hits(self, number):
        return [self.hit()[0] for _ in range(number)]


@st.composite
def traces(draw):
    """Gaps between requests: bursts, random pauses, and pauses that end right at a boundary or beside it."""
    amount, span = draw(st.integers(1, 40)), draw(st.integers(20 * SECOND, MINUTE * SECOND))
    hug = st.sampled_from([span // amount, span // 2, span]).flatmap(
        lambda gap: st.integers(max(gap - 1, 0), gap + 1)
    )
    gaps = st.one_of(st.just(0), st.integers(0, 3), hug, st.integers(0, 2 * span))
    steps = draw(st.lists(st.tuples(gaps, st.integers(1, 50)), min_size=1, max_size=25))
    return amount, span, [gap for first, burst in steps for gap in [first] + [0] * (burst - 1)]


@pytest.fixture
def redis(server):
    """It waits for as long as it takes: what is decided counts here, not when."""
    with Redis.from_url(server.url) as client:
        yield client


@pytest.fixture
def window(redis):
    return partial(Window, redis)


class TestAgainstTheOracle:
    @settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(trace=traces())
    def test_redis_decides_the_same(self, redis, trace):
        amount, span, gaps = trace
        window, oracle = Window(redis, amount, span), Oracle(amount, span)
        for gap in gaps:
            window.now += gap
            assert window.hit() == oracle.decide(window.now)

    @settings(max_examples=200, deadline=None)
    @given(trace=traces())
    def test_a_process_decides_the_same(self, trace):
        amount, span, gaps = trace
        now = [EPOCH]
        windows, oracle = LocalWindows(clock=lambda: now[0]), Oracle(amount, span)
        for gap in gaps:
            now[0] += gap
            decision = windows.hit(Limit("test", amount, per=span), "key")
            answer = [int(decision.allowed), decision.remaining, decision.reset_after]
            assert answer == oracle.decide(now[0])

    def test_a_thousand_a_minute(self, window):
        window, oracle = window(*window_args(AUTHENTICATED)), Oracle(*window_args(AUTHENTICATED))
        chance = random.Random(7)
        for _ in range(12_000):
            window.now += chance.choice([0, 0, 1, 40_000, 60_000, 70_000, chance.randrange(SECOND)])
            assert window.hit() == oracle.decide(window.now)

    def test_many_clients_at_once(self, server, redis):
        limit = Limit("test", 150, per=0.2)
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
            rows = list(chain(*pool.map(hammer, [server.url] * 2, [limit] * 2)))
        oracle = Oracle(*window_args(limit))
        equal = [reply == oracle.decide(at) for _, at, *reply in sorted(rows)]
        assert len(rows) == 2 * THREADS * HITS
        assert 0 < sum(allowed for _, _, allowed, *_ in rows) < len(rows)
        assert sum(equal) >= 0.999 * len(equal)


THREADS, HITS = 4, 600


def hammer(url, limit):
    """Many threads hit one key at once; returns what Redis recorded of each hit."""

    def work(chance):
        client, rows = Redis.from_url(url), []
        for _ in range(HITS):
            rows.append(RECORDED(client, ["{test}:rate", "{test}:order"], window_args(limit)))
            if chance.random() < 0.02:
                time.sleep(chance.random() * limit.per / 4)
        client.close()
        return rows

    with ThreadPoolExecutor(THREADS) as pool:
        return list(chain(*pool.map(work, map(random.Random, range(THREADS)))))


class TestWindow:
    def test_the_boundary_is_exact(self, window):
        window = window(2, MINUTE * SECOND)
        assert window.hits(3) == [1, 1, 0]
        window.now += MINUTE * SECOND - 1
        assert window.hit() == [0, 0, 1]
        window.now += 1
        assert window.hits(3) == [1, 1, 0]

    def test_a_denied_request_does_not_extend_the_block(self, window):
        window = window(5, MINUTE * SECOND)
        window.hits(5)
        for _ in range(59):
            window.now += SECOND
            assert window.hits(3) == [0, 0, 0]
        window.now += SECOND
        assert window.hits(6) == [1, 1, 1, 1, 1, 0]

    def test_a_denied_request_writes_nothing(self, redis, window):
        window = window(5, MINUTE * SECOND)
        window.hits(5)
        before = redis.get(window.key), redis.pexpiretime(window.key)
        window.hits(50)
        assert (redis.get(window.key), redis.pexpiretime(window.key)) == before

    def test_it_lives_as_long_as_the_window(self, redis, window):
        window = window(5, MINUTE * SECOND)
        window.hit()
        assert 59_000 < redis.pttl(window.key) <= 60_002

    def test_a_raised_limit_counts_on(self, window):
        window = window(10, MINUTE * SECOND)
        window.hits(10)
        window.amount = 30
        assert window.hits(25) == [1] * 20 + [0] * 5

    def test_a_lowered_limit_counts_on(self, window):
        window = window(30, MINUTE * SECOND)
        for _ in range(30):
            window.hit()
            window.now += SECOND
        window.amount = 10
        assert window.hit() == [0, 0, 50 * SECOND]
        window.now += 50 * SECOND
        assert window.hits(2) == [1, 0]


class TestMemory:
    def test_a_full_window_of_a_thousand_takes_less_than_10_kb(self, redis, window):
        window = window(1000, MINUTE * SECOND)
        largest = 0
        for _ in range(1200):
            window.hit()
            largest = max(largest, redis.memory_usage(window.key))
        assert redis.strlen(window.key) == 8020
        assert largest <= 10_000

    def test_it_does_not_grow_once_it_is_full(self, redis, window):
        window = window(1000, MINUTE * SECOND)
        window.hits(1000)
        full = redis.memory_usage(window.key)
        for _ in range(3000):
            window.now += 60_000
            window.hit()
        assert redis.memory_usage(window.key) == full

    def test_a_quiet_user_takes_less_than_200_bytes(self, redis, window):
        window = window(1000, MINUTE * SECOND)
        window.hits(8)
        assert redis.memory_usage(window.key) <= 200


class TestClockSteps:
    def test_back_an_hour_blocks_for_one_window_at_most(self, window):
        window = window(5, MINUTE * SECOND)
        window.hits(5)
        window.now -= HOUR
        assert window.hit() == [0, 0, MINUTE * SECOND]
        window.now += MINUTE * SECOND - 1
        assert window.hit()[0] == 0
        window.now += 1
        assert window.hits(6) == [1, 1, 1, 1, 1, 0]

    def test_back_keeps_the_distances_between_admissions(self, window):
        window = window(2, MINUTE * SECOND)
        window.hit()
        window.now += 20 * SECOND
        window.hit()
        window.now -= HOUR
        assert window.hit() == [0, 0, 40 * SECOND]

    def test_back_never_admits_more_than_the_limit(self, window):
        window = window(5, MINUTE * SECOND)
        admitted = 0
        for _ in range(50):
            admitted += window.hit()[0]
            window.now -= SECOND
        assert admitted == 5

    def test_back_and_forth_costs_one_window_more_at_the_worst(self, window):
        window = window(5, MINUTE * SECOND)
        window.hits(5)
        window.now += HOUR
        assert window.hits(10).count(1) == 5
        window.now -= HOUR
        assert window.hits(10).count(1) == 0

    def test_back_renews_the_life_of_the_key(self, redis, window):
        window = window(5, MINUTE * SECOND)
        window.hits(5)
        redis.pexpire(window.key, HOUR // 1000)
        window.now -= HOUR
        window.hit()
        assert redis.pttl(window.key) <= 60_002
