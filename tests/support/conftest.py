"""Sam of the support staff at the admin: logged in, and with Acme open where a test asks for it."""

import pytest
from django.db import connections

from tests.conftest import make_staff
from tests.support.desk import Desk


@pytest.fixture
def make_desk():
    return lambda email: Desk(make_staff(email)).log_in()


@pytest.fixture
def sam():
    return Desk(make_staff())


@pytest.fixture
def desk(sam):
    return sam.log_in()


@pytest.fixture
def acme(desk, alice):
    """Acme's id, opened by Sam."""
    assert desk.open(alice.organization_id).status_code == 302
    return alice.organization_id


@pytest.fixture
def severed():
    """The app role's connections are gone, and no new one can be made."""
    settings = connections["default"].settings_dict
    port = settings["PORT"]
    connections["default"].close()
    settings["PORT"] = 1
    yield
    connections["default"].close()
    settings["PORT"] = port
