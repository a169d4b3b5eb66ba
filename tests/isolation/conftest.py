import os

import psycopg
import pytest

from tenancy.context import SET_CONTEXT, sign_context


@pytest.fixture
def sql():
    """A connection of saas_app's own, outside Django: what injected SQL could do."""
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        yield connection


def enter(connection, organization_id, *, expires_at=4_000_000_000):
    """Signed as the platform does; call it inside a transaction."""
    proof = sign_context(organization_id, expires_at=expires_at)
    connection.execute(SET_CONTEXT, ["org", str(organization_id), proof])
