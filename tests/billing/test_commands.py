"""What operations type, in processes of their own, as the roles that they have."""

import json
import os

import psycopg
import pytest

from billing.services.reconciliation import reconcile
from billing.standin.faults import always
from billing.tasks import ReconciliationIncomplete, reconcile_with_stripe
from tests.billing.conftest import API_KEY, WEBHOOK_SECRET, events_of, organization_of, subscriptions_of
from tests.conftest import manage


@pytest.fixture
def command(stripe):
    def run(*arguments, check=True):
        return manage(
            *arguments,
            check=check,
            STRIPE_SECRET_KEY=API_KEY,
            STRIPE_API_BASE=stripe.standin.url,
            STRIPE_WEBHOOK_SECRET=WEBHOOK_SECRET,
        )

    return run


class TestSyncPlans:
    def test_it_finds_nothing_to_do_twice(self, command):
        assert command("sync_plans").stdout == "Stripe has the catalogue.\n"

    def test_it_shows_the_differences_and_mends_them(self, stripe, command):
        stripe.book.products.clear()
        stripe.book.prices.clear()
        shown = command("sync_plans", "--dry-run", check=False)
        assert shown.returncode == 1
        assert "+ product Starter" in shown.stdout
        assert "+ price professional_yearly: 990.00 USD" in shown.stdout
        assert stripe.book.prices == {}
        assert command("sync_plans").stdout.endswith("6 changes made at Stripe.\n")
        assert command("sync_plans", "--dry-run").returncode == 0
        assert {price["lookup_key"] for price in stripe.book.prices.values()} == {
            "starter_monthly",
            "starter_yearly",
            "professional_monthly",
            "professional_yearly",
        }

    def test_a_changed_amount_is_a_new_price_and_the_old_one_keeps_its_subscribers(
        self, stripe, command, alice
    ):
        subscription = stripe.subscribe(alice)
        [old] = [price for price in stripe.book.prices.values() if price["lookup_key"] == "starter_monthly"]
        old["unit_amount"] = 1900
        assert "~ price starter_monthly: 19.00 USD -> 29.00 USD" in command("sync_plans").stdout
        assert old["lookup_key"] is None
        assert stripe.book.subscriptions[subscription]["items"]["data"][0]["price"]["id"] == old["id"]
        stripe.deliver_new()
        assert organization_of(alice).plan == "starter"

    def test_a_renamed_product_is_updated(self, stripe, command):
        stripe.book.products["saas_starter"]["name"] = "Old name"
        assert "~ product Starter: name" in command("sync_plans").stdout
        assert stripe.book.products["saas_starter"]["name"] == "Starter"

    def test_it_says_so_when_stripe_is_away(self, stripe, command):
        stripe.standin.fault = always("status", 400)
        done = command("sync_plans", check=False)
        assert done.returncode == 1
        assert "Payment provider error" in done.stderr
        assert "Traceback" not in done.stderr


class TestStripeEvents:
    @pytest.fixture
    def failed(self, stripe, alice):
        """An event whose price the catalogue does not know."""
        subscription = stripe.subscribe(alice)
        [event] = [each for each in stripe.take_new() if each["type"] == "customer.subscription.created"]
        price = stripe.book.subscriptions[subscription]["items"]["data"][0]["price"]
        price |= {"lookup_key": "mystery", "metadata": {}}
        assert stripe.deliver(event) == ["failed"]
        price["metadata"] = {"lookup_key": "starter_monthly"}
        return event["id"]

    def test_list_shows_a_line_an_event(self, command, alice, failed):
        [line] = command("stripe_events", "list").stdout.splitlines()
        for part in (
            failed,
            "failed",
            "customer.subscription.created",
            str(alice.organization_id),
            "UnknownPrice",
        ):
            assert part in line
        assert command("stripe_events", "list", "--failed").stdout.splitlines() == [line]
        assert command("stripe_events", "list", "--state", "parked").stdout == ""
        assert command("stripe_events", "list", "--since", "2999-01-01").stdout == ""

    def test_show_prints_the_payload(self, command, failed):
        shown = command("stripe_events", "show", failed).stdout
        payload = json.loads(shown.partition("payload: ")[2])
        assert payload["id"] == failed

    def test_show_of_nobodys_event_has_none(self, stripe, command, alice):
        subscription = stripe.subscribe(alice)
        event = stripe.take_new()[0]
        event["data"]["object"] |= {
            "customer": "cus_x",
            "metadata": {},
            "object": "subscription",
            "id": subscription,
        }
        assert stripe.deliver(event | {"type": "customer.subscription.updated"}) == ["parked"]
        assert "shown once an organization" in command("stripe_events", "show", event["id"]).stdout
        assert command("stripe_events", "replay", event["id"]).stdout == f"{event['id']} parked\n"

    @pytest.mark.parametrize("which", ["id", "--failed"])
    def test_replay_applies_it_once_the_cause_is_mended(self, command, alice, failed, which):
        done = command("stripe_events", "replay", failed if which == "id" else which)
        assert done.stdout == f"{failed} processed\n"
        assert events_of(alice)[0].state == "processed"
        assert organization_of(alice).plan == "starter"

    def test_replay_says_what_fails_again(self, stripe, command, alice, failed):
        for subscription in stripe.book.subscriptions.values():
            subscription["items"]["data"][0]["price"]["metadata"] = {}
        done = command("stripe_events", "replay", "--failed", check=False)
        assert done.returncode == 1
        assert "1 of 1 failed again" in done.stderr

    @pytest.mark.parametrize("arguments", [["replay"], ["replay", "evt_1", "--failed"], ["show", "evt_1"]])
    def test_what_makes_no_sense_is_refused(self, command, arguments):
        done = command("stripe_events", *arguments, check=False)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr

    def test_fetch_missed_gets_what_never_arrived(self, stripe, command, alice):
        stripe.subscribe(alice)
        events = stripe.standin.events()
        assert stripe.deliver(events[0])
        done = command("stripe_events", "fetch-missed", check=False)
        assert done.returncode == 0, done.stderr
        assert organization_of(alice).plan == "starter"
        count = len(events_of(alice))
        assert f"{count} events were missing" in done.stdout
        assert command("stripe_events", "fetch-missed").stdout == "0 events were missing\n"


class TestStripeReconcile:
    @pytest.fixture
    def drifted(self, stripe, alice):
        """Its end never arrived."""
        subscription = stripe.subscribe(alice)
        stripe.deliver_new()
        stripe.book.cancel(subscription)
        return subscription

    def test_it_finds_nothing_where_nothing_differs(self, stripe, command, alice, charlie):
        stripe.subscribe(alice)
        stripe.deliver_new()
        assert command("stripe_reconcile").stdout == "1 organizations compared, 0 differences\n"

    def test_it_exits_1_and_says_what_differs(self, command, alice, drifted):
        done = command("stripe_reconcile", check=False)
        assert done.returncode == 1
        assert (
            f"{alice.organization_id} {drifted}: status is trialing here, canceled at Stripe" in done.stdout
        )
        assert subscriptions_of(alice)[0].status == "trialing"

    def test_fix_makes_ours_like_stripes(self, command, alice, drifted):
        assert command("stripe_reconcile", "--org", str(alice.organization_id), "--fix").returncode == 0
        assert subscriptions_of(alice)[0].status == "canceled"
        assert organization_of(alice).plan == "free"
        assert command("stripe_reconcile").returncode == 0

    def test_one_that_is_missing_here_is_found(self, stripe, command, alice):
        stripe.subscribe(alice)
        done = command("stripe_reconcile", check=False)
        assert "missing here; trialing at Stripe" in done.stdout

    def test_columns_that_somebody_changed_are_found_and_mended(
        self, stripe, command, alice, owner_connection
    ):
        stripe.subscribe(alice)
        stripe.deliver_new()
        owner_connection.execute(
            "UPDATE tenancy_organization SET plan = 'professional', seat_limit = NULL WHERE id = %s",
            [alice.organization_id],
        )
        done = command("stripe_reconcile", check=False)
        assert (
            f"{alice.organization_id} organization: plan is professional, its subscriptions allow starter, "
            "seat_limit is None, its subscriptions allow 10\n" in done.stdout
        )
        assert done.returncode == 1
        assert organization_of(alice).plan == "professional"

        assert command("stripe_reconcile", "--fix").returncode == 0
        assert (organization_of(alice).plan, organization_of(alice).seat_limit) == ("starter", 10)
        assert command("stripe_reconcile").returncode == 0

    def test_days_of_grace_that_were_changed_are_applied(self, stripe, alice, settings):
        settings.BILLING_GRACE_DAYS = 7
        subscription = stripe.subscribe(alice)
        stripe.book.end_trial(subscription, succeeds=True)
        stripe.book.renew(subscription, succeeds=False)
        stripe.deliver_new()
        assert organization_of(alice).access == "full"
        settings.BILLING_GRACE_DAYS = 0
        [drift] = reconcile(alice.organization_id, fix=True)
        assert drift.detail == "access is full, its subscriptions allow read_only"
        assert organization_of(alice).access == "read_only"

    @pytest.fixture
    def broken(self, stripe, charlie):
        """Stripe's answer about Globex makes no sense."""
        subscription = stripe.subscribe(charlie)
        stripe.deliver_new()
        stripe.book.subscriptions[subscription]["trial_end"] = "soon"
        return subscription

    @pytest.mark.parametrize("fix", [[], ["--fix"]])
    def test_one_that_fails_is_reported_and_the_others_go_on(
        self, command, alice, charlie, broken, drifted, fix
    ):
        done = command("stripe_reconcile", *fix, check=False)
        assert f"{charlie.organization_id} could not be compared: TypeError" in done.stdout
        assert f"{alice.organization_id} {drifted}: status is trialing" in done.stdout
        assert done.returncode == 1
        assert "1 of them could not be compared" in done.stderr
        assert (organization_of(alice).plan, organization_of(charlie).plan) == (
            "free" if fix else "starter",
            "starter",
        )

    def test_stripe_away_is_reported_for_each(self, stripe, command, alice, drifted):
        stripe.standin.fault = always("status", 500)
        done = command("stripe_reconcile", check=False)
        assert f"{alice.organization_id} could not be compared: Payment provider unavailable" in done.stdout
        assert done.returncode == 1

    def test_one_that_stripe_does_not_know_is_left_to_a_person(self, stripe, command, alice):
        subscription = stripe.subscribe(alice)
        stripe.deliver_new()
        del stripe.book.subscriptions[subscription]
        done = command("stripe_reconcile", "--fix", check=False)
        assert f"{subscription}: is trialing here, unknown at Stripe. If STRIPE_SECRET_KEY" in done.stdout
        assert done.returncode == 1
        assert "1 differences are left to mend by hand" in done.stderr
        assert subscriptions_of(alice)[0].status == "trialing"

    def test_an_unknown_price_is_left_to_a_person(self, stripe, command, alice):
        subscription = stripe.subscribe(alice)
        stripe.deliver_new()
        stripe.book.subscriptions[subscription]["items"]["data"][0]["price"] |= {
            "lookup_key": "mystery",
            "metadata": {},
        }
        stripe.book.subscriptions[subscription]["metadata"] = {}
        done = command("stripe_reconcile", "--fix", check=False)
        assert "names no plan of the catalogue" in done.stdout
        assert done.returncode == 1

    def test_another_organization_can_be_left_alone(self, command, charlie, drifted):
        done = command("stripe_reconcile", "--org", str(charlie.organization_id))
        assert "0 differences" in done.stdout


class TestInTheBackground:
    def test_the_worker_matches_parked_events(self, stripe, alice, owner_connection, command):
        subscription = stripe.subscribe(alice)
        [event] = [each for each in stripe.take_new() if each["type"] == "customer.subscription.created"]
        customer_id = event["data"]["object"]["customer"]
        event["data"]["object"]["metadata"] = {}
        owner_connection.execute("UPDATE billing_customer SET stripe_id = NULL")
        assert stripe.deliver(event) == ["parked"]
        owner_connection.execute("UPDATE billing_customer SET stripe_id = %s", [customer_id])
        run_platform_task("match_parked_stripe_events")
        command("worker", "--once")
        command("worker", "--once")
        [kept] = events_of(alice)
        assert (kept.state, kept.stripe_id) == ("processed", event["id"])
        assert [each.stripe_id for each in subscriptions_of(alice)] == [subscription]

    def test_the_worker_reconciles(self, stripe, alice, command):
        subscription = stripe.subscribe(alice)
        stripe.deliver_new()
        stripe.book.cancel(subscription)
        run_platform_task("reconcile_with_stripe")
        command("worker", "--once")
        assert organization_of(alice).plan == "free"

    def test_the_job_fails_if_one_organization_does_and_does_the_others(self, stripe, alice, charlie, caplog):
        subscription, broken = stripe.subscribe(alice), stripe.subscribe(charlie)
        stripe.deliver_new()
        stripe.book.cancel(subscription)
        stripe.book.subscriptions[broken]["trial_end"] = "soon"
        with pytest.raises(ReconciliationIncomplete, match="1 organizations"):
            reconcile_with_stripe(None, timestamp=0)
        assert organization_of(alice).plan == "free"
        assert f"Organization {charlie.organization_id} could not be compared with Stripe" in caplog.text

    def test_a_queued_fetch_brings_it_up_to_date(self, stripe, alice, command):
        subscription = stripe.subscribe(alice)
        [created] = [each for each in stripe.take_new() if each["type"] == "customer.subscription.created"]
        stripe.standin.fault = always("status", 500)
        stripe.deliver(created)
        stripe.standin.fault = None
        stripe.book.cancel(subscription)
        assert organization_of(alice).plan == "starter"
        command("worker", "--once")
        assert organization_of(alice).plan == "free"


def run_platform_task(name):
    with psycopg.connect(os.environ["OWNER_DATABASE_URL"]) as owner:
        owner.execute(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, args) VALUES ('default', %s, %s)",
            [name, '{"timestamp": 0}'],
        )
