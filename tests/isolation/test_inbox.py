"""Stripe's events of nobody: the app role may put them in and never sees one; the worker sees no payload."""

import os

import psycopg
import pytest

from tests.isolation.conftest import enter

PARK = (
    "INSERT INTO billing_stripeevent (id, organization_id, stripe_id, type, created, payload, customer_id, claims, "
    "state, error, attempts, received_at, signed_body, signature) "
    "VALUES (gen_random_uuid(), %s, %s, 'invoice.paid', 1, '{\"secret\": 1}', 'cus_1', '[]', %s, '', 0, now(), '', '')"
)


@pytest.fixture
def worker():
    with psycopg.connect(os.environ["WORKER_DATABASE_URL"], autocommit=True) as connection:
        yield connection


@pytest.fixture
def parked(sql, alice):
    sql.execute(PARK, [None, "evt_parked", "parked"])
    with sql.transaction():
        enter(sql, alice.organization_id)
        sql.execute(PARK, [alice.organization_id, "evt_acme", "received"])


class TestAppRole:
    def test_it_sees_its_own_event_and_no_parked_one(self, parked, sql, alice, charlie):
        with sql.transaction():
            enter(sql, alice.organization_id)
            assert sql.execute("SELECT stripe_id FROM billing_stripeevent").fetchall() == [("evt_acme",)]
            assert sql.execute("UPDATE billing_stripeevent SET error = 'x'").rowcount == 1
            assert sql.execute("DELETE FROM billing_stripeevent WHERE stripe_id = 'evt_parked'").rowcount == 0
        with sql.transaction():
            enter(sql, charlie.organization_id)
            assert sql.execute("SELECT count(*) FROM billing_stripeevent").fetchone() == (0,)
        assert sql.execute("SELECT count(*) FROM billing_stripeevent").fetchone() == (0,)

    def test_it_can_not_give_an_event_away(self, parked, sql, alice, charlie):
        for target in (charlie.organization_id, None):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), sql.transaction():
                enter(sql, alice.organization_id)
                sql.execute("UPDATE billing_stripeevent SET organization_id = %s", [target])

    @pytest.mark.parametrize("state", ["received", "processed", "failed"])
    def test_it_can_not_store_one_of_nobody_that_would_be_applied(self, sql, state):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            sql.execute(PARK, [None, "evt_1", state])

    def test_it_can_not_store_one_for_another(self, sql, alice, charlie):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), sql.transaction():
            enter(sql, alice.organization_id)
            sql.execute(PARK, [charlie.organization_id, "evt_1", "received"])


class TestWorkerRole:
    def test_it_sees_facts_and_no_payload(self, parked, worker):
        found = worker.execute("SELECT stripe_id FROM billing_stripeevent ORDER BY 1").fetchall()
        assert found == [("evt_acme",), ("evt_parked",)]
        for column in ("payload", "signed_body"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                worker.execute(f"SELECT {column} FROM billing_stripeevent")

    def test_it_removes_what_is_nobodys_and_old_alone(self, parked, worker, owner_connection):
        assert worker.execute("DELETE FROM billing_stripeevent").rowcount == 0
        owner_connection.execute("UPDATE billing_stripeevent SET received_at = now() - interval '31 days'")
        assert worker.execute("DELETE FROM billing_stripeevent").rowcount == 1

    def test_it_gives_away_what_is_nobodys_alone(self, parked, worker, charlie):
        give = "UPDATE billing_stripeevent SET organization_id = %s, state = 'received' WHERE stripe_id = %s"
        assert worker.execute(give, [charlie.organization_id, "evt_acme"]).rowcount == 0
        assert worker.execute(give, [charlie.organization_id, "evt_parked"]).rowcount == 1
        assert worker.execute(give, [None, "evt_parked"]).rowcount == 0

    def test_customers_show_their_organization_alone(self, worker):
        worker.execute("SELECT organization_id, stripe_id FROM billing_customer")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            worker.execute("SELECT checkout_url FROM billing_customer")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            worker.execute("SELECT * FROM billing_subscription")
