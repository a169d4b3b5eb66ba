"""Every tenant model, read and written by the ORM and by raw SQL, as the runtime role, in real transactions."""

import contextlib
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest
from django.apps import apps
from django.db import DatabaseError, connection

from accounts.models import Invitation, User
from billing.models import Customer, StripeEvent, Subscription
from saas.kit import clock
from support.models import SecondFactor
from tenancy.context import org_context
from tenancy.fence import TenantReference
from tenancy.models import Organization, OrganizationDeletion, TenantModelBase, UndeliverableAddress
from tests.isolation.conftest import enter

MODELS = [model for model in apps.get_models() if isinstance(model, TenantModelBase)]
TABLES = [model._meta.db_table for model in MODELS]


def key_of(model):
    return "id" if model is Organization else "organization_id"


def make_one_of_each(word):
    """What a registration does not make by itself."""
    invitation = {"email": f"invited-by-{word}", "expires_at": clock.now() + timedelta(days=1)}
    Invitation.objects.create(invited_by=User.objects.get(), **invitation)
    UndeliverableAddress.objects.create(address="gone@example.com", reason="bounced")
    customer = Customer.objects.create(stripe_id=f"cus_{word}")
    Subscription.objects.create(customer=customer, stripe_id=f"sub_{word}", status="active")
    StripeEvent.objects.create(stripe_id=f"evt_{word}", type="invoice.paid", created=1, payload={})
    OrganizationDeletion.objects.create(due_at=clock.now() + timedelta(days=1))
    SecondFactor.objects.create(user=User.objects.get(), secret="secret")


@pytest.fixture
def both(alice, charlie):
    for person in (alice, charlie):
        with org_context(person.organization_id):
            make_one_of_each(person.user.email)
    return alice.organization_id, charlie.organization_id


def test_the_tests_run_as_the_app_role(both):
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user, session_user")
        assert cursor.fetchone() == ("saas_app", "saas_app")
    assert not connection.in_atomic_block


@pytest.mark.parametrize("model", [*MODELS, Organization])
class TestOrm:
    def test_it_shows_ones_own_rows_alone(self, model, both):
        acme, globex = both
        for mine, other in ((acme, globex), (globex, acme)):
            with org_context(mine):
                assert model.objects.filter(**{key_of(model): mine}).exists()
                assert not model.objects.filter(**{key_of(model): other}).exists()
                assert set(model.objects.values_list(key_of(model), flat=True)) == {mine}

    def test_without_a_context_there_is_nothing(self, model, both):
        with org_context(both[0]):
            assert model.objects.exists()
        assert not model.objects.exists()

    def test_updates_and_deletes_reach_ones_own_rows_alone(self, model, both):
        acme, globex = both
        with org_context(globex):
            count = model.objects.count()
            assert count
        with org_context(acme):
            others = model.objects.filter(**{key_of(model): globex})
            assert others.update(**{key_of(model): acme}) == 0
            assert others._raw_delete("default") == 0
        with org_context(globex):
            assert model.objects.count() == count

    def test_a_row_cannot_be_handed_to_another(self, model, both):
        acme, globex = both
        with (
            pytest.raises(DatabaseError, match=r"row-level security|is violated|duplicate key"),
            org_context(acme),
        ):
            model.objects.filter(**{key_of(model): acme}).update(**{key_of(model): globex})


@pytest.mark.parametrize("table", [*TABLES, "tenancy_organization"])
class TestSql:
    def test_it_shows_ones_own_rows_alone(self, table, both, sql):
        key = "id" if table == "tenancy_organization" else "organization_id"
        with sql.transaction():
            enter(sql, both[0])
            assert {row[0] for row in sql.execute(f"SELECT {key} FROM {table}")} == {both[0]}

    def test_without_a_context_nothing_is_read_or_written(self, table, both, sql):
        with sql.transaction():
            enter(sql, both[0])
            assert sql.execute(f"SELECT count(*) FROM {table}").fetchone() > (0,)
        assert sql.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
        assert sql.execute(f"DELETE FROM {table}").rowcount == 0

    def test_truncate_and_ddl_are_refused(self, table, both, sql):
        for statement in (
            f"TRUNCATE {table} CASCADE",
            f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
            f"DROP TABLE {table}",
            f"CREATE POLICY mine ON {table} USING (true)",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                sql.execute(statement)


def copy_row(connection, model, **changes):
    """Insert a copy of the first row that shows, with columns changed."""
    fields = [field for field in model._meta.concrete_fields if not field.generated]
    values = {field.column: f'"{field.column}"' for field in fields} | dict.fromkeys(changes, "%s")
    table, columns = model._meta.db_table, ", ".join(f'"{column}"' for column in values)
    statement = f"INSERT INTO {table} ({columns}) SELECT {', '.join(values.values())} FROM {table} LIMIT 1"
    parameters = [changes[column] for column in values if column in changes]
    assert connection.execute(statement, parameters).rowcount == 1


@pytest.mark.parametrize("model", [*MODELS, Organization], ids=lambda model: model._meta.db_table)
class TestNewRows:
    def test_one_in_anothers_name_is_refused(self, model, both, sql):
        changes = {"id": uuid4(), key_of(model): both[1]}
        with (
            pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"),
            sql.transaction(),
        ):
            enter(sql, both[0])
            copy_row(sql, model, **changes)

    def test_one_in_ones_own_is_not(self, model, both, sql):
        # At most its key is taken: what refuses the other is the fence.
        with contextlib.suppress(psycopg.errors.UniqueViolation), sql.transaction(force_rollback=True):
            enter(sql, both[0])
            copy_row(sql, model, **{"id": uuid4(), key_of(model): both[0]})


REFERENCES = [
    (model, constraint)
    for model in MODELS
    for constraint in model._meta.constraints
    if isinstance(constraint, TenantReference)
]


@pytest.mark.parametrize(("model", "reference"), REFERENCES, ids=lambda each: getattr(each, "name", ""))
def test_a_reference_to_anothers_row_is_refused(model, reference, both, sql, owner_connection):
    acme, _ = both
    column = model._meta.get_field(reference.field).column
    target = f"SELECT id FROM {reference.to} WHERE organization_id = %s LIMIT 1"
    own, others = (owner_connection.execute(target, [each]).fetchone()[0] for each in both)
    refer = f"UPDATE {model._meta.db_table} SET {column} = %s"
    with sql.transaction():
        enter(sql, acme)
        assert sql.execute(refer, [own]).rowcount
    with pytest.raises(psycopg.errors.ForeignKeyViolation), sql.transaction():
        enter(sql, acme)
        sql.execute(refer, [others])
