"""After a journey in which every secret was used, none is found in what others read."""

import pytest

from tests.security.journey import travel
from tests.security.platform import Platform

pytestmark = pytest.mark.soak

# What shows that a place was looked at: something that belongs there.
PLACES = {
    "web's log": "/auth/password/reset",
    "the commands' output": "saas_owner",
    "the error answers": "/problems/invalid_credentials",
    "health and metrics": "saas_logins_total",
    "pg_stat_activity": "tenancy.set_context(",
    "PostgreSQL's log": "tenancy.set_context(",
    "Sentry": "RuntimeError",
    "the collector": "GET /users/me",
}
KINDS = 25


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    with Platform(tmp_path_factory.mktemp("secrets")).up() as platform:
        travel(platform)
    return platform


def test_the_journey_went_as_it_was_meant(platform):
    assert platform.surprises == []


def test_every_kind_of_secret_was_used(platform):
    assert len(platform.hidden.known) >= KINDS, sorted(platform.hidden.known)
    assert all(len(value) >= 8 for values in platform.hidden.known.values() for value in values)


@pytest.mark.parametrize("place", PLACES)
def test_no_secret_is_found_in(platform, place):
    assert PLACES[place] in platform.seen[place]
    assert platform.hidden.found_in(platform.seen[place]) == []


def test_one_would_be_found(platform):
    for name, values in platform.hidden.known.items():
        for value in values:
            assert name in platform.hidden.found_in(f"before {value} after")
