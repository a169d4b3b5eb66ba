import pytest

from tests.billing.conftest import catalogue, stripe
from tests.pages.browsing import Browser

__all__ = ["catalogue", "stripe"]


@pytest.fixture
def browser():
    return Browser()
