import pytest

from tests.pages.browsing import Browser


@pytest.fixture
def browser():
    return Browser()
