"""The platform with one route more, that no product would have: tests.security.injecting.urls."""

from saas.settings import *  # noqa: F403

ROOT_URLCONF = "tests.security.injecting.urls"
