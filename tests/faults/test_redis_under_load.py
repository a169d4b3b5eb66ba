"""Redis fails while customers are at work: they notice nothing, and nobody gets more than they may."""

import os
import re
import signal
import time
from statistics import quantiles

import pytest

from saas.kit.rate_limits import ANONYMOUS
from saas.kit.redis import SOCKET_TIMEOUT
from tests.conftest import make_owner
from tests.faults.conftest import WORKERS
from tests.faults.ledger import hold_against_the_database, make_mix
from tests.project.launching import eventually

pytestmark = pytest.mark.soak

# How long it goes well, then ill, then well again.
BEFORE, DURING, AFTER = 3, 6, 3
# The first requests of a worker take longer than all others.
WARM = 300
# So that no wait for Redis is within the p95, however short that was before on a quiet machine.
LESS_THAN_A_WAIT = SOCKET_TIMEOUT / 2
FAILURES_UNTIL_OPEN = 3
FAILURES_UNTIL_BLOCKED = 5


def killed(stack):
    stack.stop_redis()


def frozen(stack):
    os.kill(stack.valkey.pid, signal.SIGSTOP)


def slow(stack):
    stack.redis_line.slow(0.5)


def flushed(stack):
    with stack.redis() as redis:
        redis.flushall()


def out_of_memory(stack):
    with stack.redis() as redis:
        redis.config_set("maxmemory", 1)


def restarted_empty(stack):
    stack.stop_redis()
    stack.start_redis()


FAULTS = [killed, frozen, slow, flushed, out_of_memory, restarted_empty]


def mend(stack):
    if stack.valkey.is_running:
        os.kill(stack.valkey.pid, signal.SIGCONT)
    stack.redis_line.mend()
    stack.start_redis()
    with stack.redis() as redis:
        redis.config_set("maxmemory", 0)


def p95(answers):
    return quantiles([each.seconds for each in answers], n=20)[-1]


@pytest.fixture(params=FAULTS, ids=[fault.__name__ for fault in FAULTS])
def fault(request, stack):
    yield request.param
    mend(stack)


def waits(stack):
    """How many requests waited for Redis in vain."""
    metrics = stack.server.get("/metrics").body.decode()
    found = re.search(r'^saas_redis_calls_total\{call="gate",result="failed"\} (\S+)$', metrics, re.M)
    return float(found[1]) if found else 0


def guess(stack, person):
    """The answers to wrong passwords for one address: so many that chance gives each worker more than enough."""
    wrong = {"email": person.user.email, "password": "not the right one"}
    return [stack.ask("POST", "/auth/login", wrong).status for _ in range(WORKERS * 20)]


def knock(stack):
    """The answers to somebody without a token, so many that each worker gets more than enough."""
    return [stack.ask("GET", "/users/me").status for _ in range(WORKERS * ANONYMOUS.amount * 3 // 2)]


def test_customers_notice_nothing(stack, fault):
    # A worker that counted by itself keeps what it counted.
    guessed = make_owner(f"{fault.__name__}@example.com")
    with make_mix(stack.server.port) as mix:
        assert eventually(lambda: len(mix.told) >= WARM)
        began = time.monotonic()
        time.sleep(BEFORE)
        waited = waits(stack)
        broke = time.monotonic()
        fault(stack)
        time.sleep(DURING / 2)
        guesses, knocks = guess(stack, guessed), knock(stack)
        time.sleep(DURING / 2)
        mended = time.monotonic()
        waited = waits(stack) - waited
        mend(stack)
        time.sleep(AFTER)
        mix.stop()
    assert not [each for each in mix.told if each.status is None or each.status >= 500]
    assert mix.revived == []
    assert mix.since(broke, mended, "ended")
    assert mix.since(mended, float("inf"), "ended")
    # Each worker asks until it knows, with whom it has at that moment, and then once a second.
    assert waited <= WORKERS * (FAILURES_UNTIL_OPEN + 1 + mended - broke) + mix.size
    reads = mix.since(began, broke, "read"), mix.since(broke + 1, mended, "read")
    assert p95(reads[1]) <= max(2 * p95(reads[0]), LESS_THAN_A_WAIT)
    # Without Redis each process counts by itself.
    assert 0 < guesses.count(401) <= WORKERS * FAILURES_UNTIL_BLOCKED
    assert guesses[-1] == 429
    assert 0 < knocks.count(401) <= WORKERS * ANONYMOUS.amount
    assert knocks[-1] == 429
    hold_against_the_database(mix)
