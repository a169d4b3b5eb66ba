"""PostgreSQL fails while customers are at work: they are told so, and whatever was acknowledged is there afterwards."""

import os
import signal
import time
from contextlib import suppress

import psycopg
import pytest

from saas.kit.postgresql.base import SILENCE_SECONDS
from tests.conftest import manage
from tests.faults.ledger import hold_against_the_database, make_mix
from tests.faults.mix import WEBHOOK_SECRET
from tests.faults.pair import DATABASE, Pair, serving_this_process
from tests.faults.test_restarts import children
from tests.project.launching import eventually
from tests.project.serving import running

pytestmark = pytest.mark.soak

WARM, AFTER = 300, 5
RECOVERED_WITHIN = 5
# To find out that a connection is silent, and to try another one.
BOUND = 2 * SILENCE_SECONDS
STRIPE = {"STRIPE_SECRET_KEY": "sk_test_of_the_fault_tests", "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET}


@pytest.fixture(scope="module")
def pair(own_database, tmp_path_factory):
    pair = Pair(tmp_path_factory.mktemp("pair"))
    try:
        pair.start()
        yield pair
    finally:
        pair.stop()


@pytest.fixture(scope="module")
def server(pair, tmp_path_factory):
    variables = pair.environment(pair.first, pair.second) | {
        "TRUSTED_PROXY_COUNT": "1",
        **STRIPE,
    }
    with running(tmp_path_factory.mktemp("web") / "log", **variables) as server:
        yield server


class Restarted:
    seconds = 6

    def break_it(self, pair):
        pair.first.stop()

    def mend(self, pair):
        pair.first.start()


class Killed(Restarted):
    def break_it(self, pair):
        pair.first.kill()


class Frozen:
    """Its processes stand still, and the kernel goes on taking what is sent to them."""

    seconds = SILENCE_SECONDS + 3

    def break_it(self, pair):
        self._signal(pair, signal.SIGSTOP)

    def mend(self, pair):
        self._signal(pair, signal.SIGCONT)

    def _signal(self, pair, number):
        for pid in (pair.first.pid, *children(pair.first.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, number)


class Exhausted:
    """No role of ours gets a connection any more."""

    seconds = 6

    def break_it(self, pair):
        self._limit(pair, 0)
        pair.first_does("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename LIKE 'saas%'")

    def mend(self, pair):
        self._limit(pair, -1)

    def _limit(self, pair, count):
        pair.first_does(
            *(f"ALTER ROLE {role} CONNECTION LIMIT {count}" for role in ("saas_app", "saas_worker"))
        )


class FailedOver:
    """The first is gone for good, and the second has another address."""

    seconds = 6

    def break_it(self, pair):
        pair.first.kill()

    def mend(self, pair):
        pair.promote()


# The last one leaves no first server behind.
FAULTS = [Restarted(), Killed(), Frozen(), Exhausted(), FailedOver()]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_it_is_told_and_nothing_is_lost(pair, server, fault):
    with serving_this_process(pair.first):
        mix = make_mix(server.port, series=FAULTS.index(fault))
    with mix:
        assert eventually(lambda: len(mix.told) >= WARM)
        fault.break_it(pair)
        broke = time.monotonic()
        time.sleep(fault.seconds)
        health = server.get("/health").status, server.get("/health/live").status
        fault.mend(pair)
        mended = time.monotonic()
        time.sleep(RECOVERED_WITHIN + AFTER)
        mix.stop()
    assert health == (503, 200)
    # It gives PostgreSQL half a second to answer, which a busy machine may need.
    assert eventually(lambda: server.get("/health").status == 200)
    assert not [each for each in mix.told if each.status is None]
    refused = [each for each in mix.told if each.status >= 500]
    assert {each.status for each in refused} == {503}
    assert all(int(each.retry_after) > 0 for each in refused)
    assert max(each.seconds for each in refused) < BOUND
    ill = mix.since(broke + 1, mended)
    assert [each for each in ill if each.status == 503]
    well = mix.since(mended + RECOVERED_WITHIN)
    assert {each.status for each in well} == {200, 401}
    assert {each.kind for each in well} >= {"read", "write", "refresh", "log in", "log out", "webhook"}
    assert mix.revived == []
    serving = pair.second if isinstance(fault, FailedOver) else pair.first
    run_jobs(pair, serving)
    with serving_this_process(serving):
        hold_against_the_database(mix)


def run_jobs(pair, serving):
    """Those that are to wait for a while included: an event that was stored and could not be applied is one."""
    with psycopg.connect(serving.url, dbname=DATABASE) as superuser:
        superuser.execute("UPDATE procrastinate_jobs SET scheduled_at = NULL WHERE status = 'todo'")
    manage("worker", "--once", **pair.environment(pair.first, pair.second), **STRIPE)
