"""An organization is removed: at Stripe, in every table, and nothing else is touched."""

import json
from datetime import timedelta
from io import StringIO
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connections

from billing.models import Customer
from saas.kit import clock
from saas.operations import deletion
from saas.tasks import remove_due_organizations
from tenancy.context import org_context
from tenancy.jobs import defer
from tenancy.models import SUPPORT_ORGANIZATION_ID, Mail, OrganizationDeletion
from tests.billing.conftest import catalogue, stripe  # noqa: F401 - Stripe's stand-in
from tests.conftest import Api, make_owner
from tests.isolation.test_models import MODELS, make_one_of_each

AUDIT = "SELECT action, details FROM tenancy_supportaudit WHERE organization_id = %s"


@pytest.fixture
def furnished(alice, charlie):
    """Acme with a row of every model, and Globex."""
    with org_context(alice.organization_id):
        make_one_of_each("acme")
        OrganizationDeletion.objects.all().delete()
        Customer.objects.update(stripe_id=None)
    return alice.organization_id


def run(*arguments):
    output = StringIO()
    call_command("delete_organization", *map(str, arguments), stdout=output)
    return output.getvalue()


def make_due(organization_id):
    with org_context(organization_id):
        OrganizationDeletion.objects.update(due_at=clock.now() - timedelta(seconds=1))


class TestSchedule:
    def test_its_owners_are_told(self, alice):
        assert "is removed from" in run(alice.organization_id)
        with org_context(alice.organization_id):
            mail = Mail.objects.get(message="saas/deletion_scheduled")
            due_at = OrganizationDeletion.objects.get().due_at
        assert mail.user_id == alice.user.id
        assert timedelta(days=29) < due_at - clock.now() <= timedelta(days=30)

    def test_the_worker_waits_for_its_day(self, alice):
        run(alice.organization_id)
        remove_due_organizations.func.__wrapped__()
        assert alice.api.get("/users/me").status_code == 200

    def test_it_can_be_taken_back(self, alice):
        run(alice.organization_id)
        run(alice.organization_id, "--cancel")
        with org_context(alice.organization_id):
            assert not OrganizationDeletion.objects.exists()
            assert Mail.objects.filter(message="saas/deletion_cancelled").exists()

    def test_once_it_is_due_it_cant_be_taken_back(self, alice):
        run(alice.organization_id)
        make_due(alice.organization_id)
        with pytest.raises(CommandError, match="due: it can't be taken back"):
            run(alice.organization_id, "--cancel")
        with org_context(alice.organization_id):
            assert OrganizationDeletion.objects.exists()
            assert not Mail.objects.filter(message="saas/deletion_cancelled").exists()

    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            ([uuid4()], "there is no organization"),
            ([uuid4(), "--now"], "there is no organization"),
            ([uuid4(), "--cancel"], "no deletion of"),
            ([SUPPORT_ORGANIZATION_ID], "support's own"),
            ([SUPPORT_ORGANIZATION_ID, "--now"], "support's own"),
            ([uuid4(), "--days=-1"], "--days -1"),
        ],
    )
    def test_refusals(self, arguments, complaint):
        with pytest.raises(CommandError, match=complaint):
            run(*arguments)

    def test_twice(self, alice):
        run(alice.organization_id)
        with pytest.raises(CommandError, match="already"):
            run(alice.organization_id)


class TestRemoval:
    def test_a_dry_run_counts_and_changes_nothing(self, furnished):
        before = deletion.rows_of(furnished)
        assert json.loads(run(furnished, "--dry-run", "--json"))["rows"] == before
        assert deletion.rows_of(furnished) == before
        tables = {model._meta.db_table for model in MODELS} - {"tenancy_organizationdeletion"}
        assert tables | {"tenancy_organization", "procrastinate_jobs"} == before.keys()

    def test_nothing_of_it_remains_and_another_keeps_everything(self, furnished, charlie, owner_connection):
        globex = deletion.rows_of(charlie.organization_id)
        rows = json.loads(run(furnished, "--now", "--json"))["rows"]
        assert rows["accounts_user"] == 1
        assert deletion.rows_of(furnished) == {}
        assert deletion.rows_of(charlie.organization_id) == globex
        ((action, details),) = owner_connection.execute(AUDIT, [furnished]).fetchall()
        assert (action, details["rows"]["accounts_user"]) == ("organization_removed", 1)

    def test_its_tokens_die_at_once(self, alice, charlie):
        assert alice.api.get("/users/me").status_code == 200
        run(alice.organization_id, "--now")
        assert alice.api.get("/users/me").status_code == 401
        refresh = Api().post("/auth/refresh", {"refresh_token": alice.refresh_token})
        assert refresh.status_code == 401
        assert charlie.api.get("/users/me").status_code == 200

    def test_its_address_can_register_again(self, alice):
        run(alice.organization_id, "--now")
        assert make_owner("alice@acme.example", "Acme", "Alice").organization_id != alice.organization_id

    def test_the_worker_does_it(self, furnished):
        run(furnished)
        make_due(furnished)
        remove_due_organizations.func.__wrapped__()
        assert deletion.rows_of(furnished) == {}

    def test_what_was_not_scheduled_is_not_removed(self, furnished):
        before = deletion.rows_of(furnished)
        with pytest.raises(deletion.OperationRefused, match="is due"):
            deletion.remove(furnished)
        assert deletion.rows_of(furnished) == before

    def test_a_row_that_remains_keeps_the_organization(self, alice, owner_connection):
        """A job that runs just now: the worker still needs its row."""
        with org_context(alice.organization_id):
            job = defer("end_grace")
        owner_connection.execute("UPDATE procrastinate_jobs SET status = 'doing' WHERE id = %s", [job])
        with pytest.raises(CommandError, match="procrastinate_jobs: 1"):
            run(alice.organization_id, "--now")
        assert "tenancy_organization" in deletion.rows_of(alice.organization_id)
        assert owner_connection.execute(AUDIT, [alice.organization_id]).fetchall() == []
        owner_connection.execute("UPDATE procrastinate_jobs SET status = 'succeeded' WHERE id = %s", [job])
        remove_due_organizations.func.__wrapped__()
        assert deletion.rows_of(alice.organization_id) == {}

    @pytest.mark.parametrize("step", ["revoke_sessions", "close_billing", "_remove_rows", "rows_of"])
    def test_after_a_crash_it_goes_on(self, furnished, step, monkeypatch):
        """The process ends right after a step; what was committed by then stays."""
        original = getattr(deletion, step)

        def die(*arguments, **named):
            original(*arguments, **named)
            raise KeyboardInterrupt

        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(deletion, step, die)
            run(furnished, "--now")
        assert "tenancy_organization" in deletion.rows_of(furnished)
        remove_due_organizations.func.__wrapped__()
        assert deletion.rows_of(furnished) == {}

    def test_the_function_refuses_what_is_not_due(self, alice):
        run(alice.organization_id)
        for organization_id in (alice.organization_id, UUID(int=2)):
            with pytest.raises(DatabaseError, match="is due"), connections["worker"].cursor() as cursor:
                cursor.execute(deletion.FINISH, [organization_id, "{}"])


class TestStripe:
    def test_the_subscription_is_cancelled_and_checkouts_expire(self, stripe, alice, charlie):  # noqa: F811
        subscription_id, other = stripe.subscribe(alice), stripe.subscribe(charlie)
        stripe.deliver_new()
        with org_context(alice.organization_id):
            customer_id = Customer.objects.get().stripe_id
        run(alice.organization_id, "--now")
        book = stripe.book
        assert book.subscriptions[subscription_id]["status"] == "canceled"
        assert book.subscriptions[other]["status"] == "trialing"
        assert customer_id
        # What Stripe says of it afterwards belongs to nobody, and brings nothing back.
        stripe.deliver_new()
        assert deletion.rows_of(alice.organization_id) == {}

    def test_an_open_checkout_expires(self, stripe, alice):  # noqa: F811
        checkout = alice.api.post("/payments/checkout", {"plan": "starter", "interval": "monthly"})
        run(alice.organization_id, "--now")
        session = stripe.book.find("checkout_sessions", checkout.json()["id"])
        assert session["status"] == "expired"

    def test_while_stripe_is_away_the_organization_stays(self, stripe, alice, settings):  # noqa: F811
        stripe.subscribe(alice)
        stripe.deliver_new()
        url, settings.STRIPE_API_BASE = settings.STRIPE_API_BASE, "http://127.0.0.1:9"
        with pytest.raises(CommandError, match="try again"):
            run(alice.organization_id, "--now")
        assert deletion.rows_of(alice.organization_id)["accounts_user"] == 1
        settings.STRIPE_API_BASE = url
        remove_due_organizations.func.__wrapped__()
        assert deletion.rows_of(alice.organization_id) == {}
