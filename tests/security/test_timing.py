"""How long real gunicorn takes for an address that has an account, and for one that has none.

The same machine answers both by turns, so what else it does meets both. A difference counts only if chance does
not make it once in a million times, and if it is a tenth of the time: a hash that is left out is far more.
"""

import json
import math
import time
from contextlib import closing
from statistics import median

import pytest

from accounts.hashers import BulkheadPasswordHasher
from accounts.models import User
from accounts.passwords import hash_password
from tenancy.context import org_context
from tests.conftest import PASSWORD
from tests.project.serving import running
from tests.security.watching import address_of_nobody_yet

pytestmark = pytest.mark.soak

SAMPLES = 60
# Enough that a hash is most of what a log-in takes.
COST = 8
WAYS = {
    "log-in": ("/auth/login", {"password": "not-the-right-one"}, 401),
    "forgotten password": ("/auth/password/forgot", {}, 202),
    "verification again": ("/auth/verify-email/resend", {}, 202),
    "registration": ("/auth/register", {"password": PASSWORD, "org": "Initrode"}, 202),
}


@pytest.fixture(scope="module")
def web(own_database, tmp_path_factory):
    variables = {
        "BCRYPT_ROUNDS": str(COST),
        "TRUSTED_PROXY_COUNT": "1",
        "REGISTRATION_MODE": "verified",
        "WEB_WORKERS": "1",
    }
    with running(tmp_path_factory.mktemp("timing") / "log", **variables) as server:
        yield server


@pytest.fixture
def known(alice, monkeypatch):
    """Addresses with an account: one a sample, since failures block an address."""
    monkeypatch.setattr(BulkheadPasswordHasher, "rounds", COST)
    encoded = hash_password(PASSWORD)
    emails = [f"known{number:02}@acme.example" for number in range(SAMPLES)]
    with org_context(alice.organization_id):
        for email in emails:
            User.objects.create(email=email, password=encoded)
    return emails


def seconds(web, path, body, expected):
    headers = {"Content-Type": "application/json", "X-Forwarded-For": address_of_nobody_yet()}
    with closing(web.connect()) as connection:
        connection.connect()
        began = time.perf_counter()
        connection.request("POST", path, json.dumps(body), headers)
        response = connection.getresponse()
        response.read()
        took = time.perf_counter() - began
    assert response.status == expected
    return took


def chance(first, second):
    """Of two samples from one distribution that differ at least so much (Mann-Whitney's U, both sides).

    By the normal approximation, and without its correction for ties: times have none.
    """
    wins = sum(one > other for one in first for other in second)
    count = len(first) * len(second)
    deviation = math.sqrt(count * (len(first) + len(second) + 1) / 12)
    return math.erfc(abs(wins - count / 2) / deviation / math.sqrt(2))


def can_be_told_apart(first, second):
    fast, slow = sorted((median(first), median(second)))
    return chance(first, second) < 1e-6 and slow > 1.1 * fast


@pytest.mark.parametrize("way", WAYS)
def test_the_time_does_not_tell_who_is_here(way, web, known):
    path, more, expected = WAYS[way]
    # What a worker does once, such as reading its keys.
    seconds(web, path, {"email": "warming@up.example", **more}, expected)
    of_known, of_unknown = [], []
    for number, email in enumerate(known):
        pair = [(of_known, email), (of_unknown, email.replace("known", "nobdy"))]
        for times, address in pair if number % 2 else reversed(pair):
            times.append(seconds(web, path, {"email": address, **more}, expected))
    assert not can_be_told_apart(of_known, of_unknown), (median(of_known), median(of_unknown))


class TestTheTest:
    """Or it might never fail."""

    def test_what_lasts_a_tenth_longer_is_told(self):
        slow = [1.2 + number / 1000 for number in range(SAMPLES)]
        fast = [1.0 + number / 1000 for number in range(SAMPLES)]
        assert can_be_told_apart(slow, fast)
        assert can_be_told_apart(fast, slow)

    def test_what_is_the_same_is_not(self):
        times = [1.0 + number / 1000 for number in range(SAMPLES)]
        assert chance(times, [each + 1e-9 for each in times]) > 0.8
        # However sure a difference is, it has to be large enough to be more than the machine's mood.
        assert chance(times, [each + 0.08 for each in times]) < 1e-6
        assert not can_be_told_apart(times, [each + 0.08 for each in times])

    def test_the_chance_is_the_normal_distributions(self):
        """Ten that are all below ten others: U = 0, 3.78 deviations from its mean of 50."""
        assert chance(range(10), range(10, 20)) == pytest.approx(1.57e-4, rel=0.01)
        assert chance(range(10, 20), range(10)) == chance(range(10), range(10, 20))
