"""Stripe's events at the door: verified, stored once, then applied; what is nobody's or fails is kept and flagged."""

import copy
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import psycopg
import pytest
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from prometheus_client import REGISTRY

from billing.models import EventState, StripeEvent, Subscription
from billing.selectors import event_facts
from billing.services import events, inbox
from billing.services.events import OrganizationConflict, apply_event, refresh_subscription
from billing.services.inbox import replay
from billing.services.parked import adopt_event, match_parked_events, prune_parked_events
from billing.standin.faults import always
from billing.standin.webhooks import sign
from billing.stripe_client import NotAtStripe
from billing.tasks import apply_stripe_event
from tenancy.context import org_context
from tenancy.jobs import defer
from tests.accounts.asking import assert_refused, is_waiting, jobs
from tests.billing.conftest import (
    WEBHOOK_SECRET,
    customer_of,
    events_of,
    mails_to,
    organization_of,
    subscriptions_of,
)
from tests.billing.layouts import as_old, with_expanded_ids
from tests.project.launching import eventually

STORED = "SELECT count(*) FROM billing_stripeevent"
NOBODYS = "SELECT stripe_id, state, error FROM billing_stripeevent WHERE organization_id IS NULL"


@pytest.fixture
def created(stripe, alice):
    """A subscription's first event, not yet delivered."""
    stripe.subscribe(alice)
    return next(event for event in stripe.take_new() if event["type"] == "customer.subscription.created")


def stored(owner_connection):
    return owner_connection.execute(STORED).fetchone()[0]


class TestSignature:
    @pytest.fixture
    def body(self, created):
        return json.dumps(created).encode()

    def post(self, body, signature):
        return Client().post(
            "/webhooks/stripe", body, content_type="application/json", headers={"Stripe-Signature": signature}
        )

    def test_a_right_one_is_taken(self, body, owner_connection):
        assert self.post(body, sign(body, WEBHOOK_SECRET)).json() == {"result": "processed"}
        assert stored(owner_connection) == 1

    def test_each_of_several_secrets_counts(self, body, settings):
        settings.STRIPE_WEBHOOK_SECRETS = ["whsec_new", WEBHOOK_SECRET]
        assert self.post(body, sign(body, WEBHOOK_SECRET)).status_code == 200
        assert self.post(body, sign(body, "whsec_new")).json() == {"result": "duplicate"}

    @pytest.mark.parametrize("secret", ["", "whsec_wrong"])
    def test_another_secret_is_refused(self, body, secret, owner_connection):
        assert_refused(self.post(body, sign(body, secret)), 400, "invalid_signature")
        assert stored(owner_connection) == 0

    @pytest.mark.parametrize(
        "signature", ["", "t=1", "v1=aa", "t=x,v1=y", "t=,v1=", "t=9" + "9" * 400 + ",v1=a", "é"]
    )
    def test_what_is_no_signature_is_refused(self, body, signature, owner_connection):
        assert_refused(self.post(body, signature), 400, "invalid_signature")
        assert stored(owner_connection) == 0

    def test_an_old_timestamp_is_refused(self, body, owner_connection):
        now = int(time.time())
        assert_refused(self.post(body, sign(body, WEBHOOK_SECRET, now - 301)), 400, "invalid_signature")
        assert stored(owner_connection) == 0
        assert self.post(body, sign(body, WEBHOOK_SECRET, now - 290)).status_code == 200

    def test_a_changed_body_is_refused(self, body, owner_connection):
        assert_refused(self.post(body + b" ", sign(body, WEBHOOK_SECRET)), 400, "invalid_signature")
        assert stored(owner_connection) == 0

    @pytest.mark.parametrize("secrets", [[], [""]])
    def test_without_a_secret_nothing_is_verified_against_an_empty_one(
        self, body, settings, secrets, owner_connection
    ):
        settings.STRIPE_WEBHOOK_SECRETS = secrets
        assert_refused(self.post(body, sign(body, "")), 503, "billing_not_configured")
        assert stored(owner_connection) == 0

    def test_a_body_over_a_mebibyte_is_refused(self, stripe, owner_connection):
        body = b"{" + b" " * 1024 * 1024
        assert_refused(self.post(body, sign(body, WEBHOOK_SECRET)), 413, "payload_too_large")
        assert stored(owner_connection) == 0

    def test_get_is_refused(self, stripe):
        assert_refused(Client().get("/webhooks/stripe"), 405, "method_not_allowed")

    @pytest.mark.parametrize(
        "body", [b"\xff", b"", b"[]", b"{}", b"nonsense", b'{"id": "evt_1", "type": "invoice.paid"}']
    )
    def test_what_is_signed_but_no_event_is_refused(self, stripe, body, owner_connection):
        assert self.post(body, sign(body, WEBHOOK_SECRET)).status_code == 400
        assert stored(owner_connection) == 0

    def test_what_can_not_be_stored_is_refused(self, created, owner_connection):
        created["data"]["object"]["description"] = "\0"
        body = json.dumps(created).encode()
        assert_refused(self.post(body, sign(body, WEBHOOK_SECRET)), 400, "malformed_request")
        assert stored(owner_connection) == 0


def die(*args, **kwargs):
    raise SystemExit


def fail(*args, **kwargs):
    raise ValueError("no")


def run_job(person, event_id):
    with org_context(person.organization_id):
        job = defer("apply_stripe_event", event_id=event_id)
    apply_stripe_event(SimpleNamespace(job=SimpleNamespace(id=job)), event_id=event_id)


def counted(result):
    labels = {"type": "customer.subscription.created", "result": result}
    return REGISTRY.get_sample_value("saas_stripe_events_total", labels) or 0


class TestInbox:
    def test_an_event_is_stored_with_its_job_and_applied_at_once(
        self, stripe, alice, created, owner_connection
    ):
        assert stripe.deliver(created) == ["processed"]
        [event] = events_of(alice)
        assert (event.stripe_id, event.state, event.attempts) == (created["id"], EventState.PROCESSED, 1)
        assert event.payload == created
        assert [arguments for _, arguments in jobs(owner_connection, "apply_stripe_event")] == [
            {"event_id": created["id"]}
        ]

    def test_a_second_delivery_changes_nothing(self, stripe, alice, created):
        assert stripe.deliver(created, created) == ["processed", "duplicate"]
        assert len(events_of(alice)) == 1

    def test_the_job_and_a_replay_at_once_apply_it_once(self, stripe, alice, created):
        stripe.deliver(created)
        with org_context(alice.organization_id):
            StripeEvent.objects.update(state=EventState.RECEIVED, attempts=0)
        with psycopg.connect(os.environ["OWNER_DATABASE_URL"]) as holder, ThreadPoolExecutor(2) as pool:
            # Both have read it as unapplied when the first of them gets the customer's row.
            holder.execute("SELECT 1 FROM billing_customer FOR UPDATE")
            both = [pool.submit(apply, alice.organization_id, created["id"]) for _ in range(2)]
            assert eventually(lambda: is_waiting(holder) == 2)
            holder.commit()
        assert [each.result() for each in both] == [EventState.PROCESSED] * 2
        assert events_of(alice)[0].attempts == 1

    def test_a_replay_that_dies_leaves_a_job(self, stripe, alice, created, owner_connection, monkeypatch):
        stripe.deliver(created)
        owner_connection.execute("DELETE FROM procrastinate_jobs")
        monkeypatch.setattr(events, "apply_event", die)
        [event] = event_facts(stripe_id=created["id"])
        with pytest.raises(SystemExit):
            replay(event)
        assert events_of(alice)[0].state == EventState.RECEIVED
        assert jobs(owner_connection, "apply_stripe_event") == [
            (alice.organization_id, {"event_id": created["id"]})
        ]

    def test_the_job_counts_what_it_applies_and_nothing_else(self, stripe, alice, created):
        stripe.deliver(created)
        before = counted("processed")
        run_job(alice, created["id"])
        assert counted("processed") == before
        with org_context(alice.organization_id):
            StripeEvent.objects.update(state=EventState.RECEIVED)
            Subscription.objects.all().delete()
        run_job(alice, created["id"])
        assert counted("processed") == before + 1

    def test_the_job_counts_what_fails(self, stripe, alice, created, monkeypatch):
        stripe.deliver(created)
        with org_context(alice.organization_id):
            StripeEvent.objects.update(state=EventState.RECEIVED)
        before = counted("failed")
        monkeypatch.setattr(events, "apply_event", fail)
        with pytest.raises(ValueError, match="no"):
            run_job(alice, created["id"])
        assert counted("failed") == before + 1

    def test_known_ids_are_asked_for_in_parts(self, stripe, created, monkeypatch):
        stripe.deliver(created)
        monkeypatch.setattr(inbox, "IDS_A_QUERY", 2)
        with CaptureQueriesContext(connections["worker"]) as asked:
            assert inbox.known_ids(["evt_1", "evt_2", "evt_3", "evt_4", created["id"]]) == {created["id"]}
        assert len(asked) == 3

    @pytest.mark.parametrize("kind", ["customer.created", "invoice.created", "charge.succeeded"])
    def test_other_types_are_answered_and_not_kept(self, stripe, created, kind, owner_connection):
        assert stripe.deliver(created | {"type": kind}) == ["ignored"]
        assert stored(owner_connection) == 0

    def test_a_payment_without_a_subscription_is_none_of_ours(self, stripe, created, owner_connection):
        invoice = {"id": "in_1", "object": "invoice", "customer": "cus_1", "parent": None, "amount_paid": 5}
        assert stripe.deliver(created | {"type": "invoice.paid", "data": {"object": invoice}}) == ["ignored"]
        assert stored(owner_connection) == 0

    def test_the_old_layout_is_read(self, stripe, alice, settings):
        subscription = stripe.subscribe(alice)
        stripe.book.end_trial(subscription, succeeds=True)
        settings.STRIPE_SECRET_KEY = ""
        events = stripe.take_new()
        assert set(stripe.deliver(*map(as_old, events))) <= {"processed", "stale", "ignored"}
        [found] = subscriptions_of(alice)
        assert (found.status, found.plan, found.interval) == ("active", "starter", "monthly")
        period_end = stripe.book.subscriptions[subscription]["items"]["data"][0]["current_period_end"]
        assert found.state.current_period_end.timestamp() == period_end
        assert mails_to(alice) == ["payment_received", "subscription_activated"]

    def test_expanded_ids_are_read(self, stripe, alice, settings):
        stripe.subscribe(alice)
        settings.STRIPE_SECRET_KEY = ""
        assert set(stripe.deliver(*map(with_expanded_ids, stripe.take_new()))) <= {
            "processed",
            "stale",
            "ignored",
        }
        assert subscriptions_of(alice)[0].status == "trialing"


def apply(organization_id, event_id):
    try:
        return apply_event(organization_id, event_id, fetch_seconds=2)
    finally:
        connections.close_all()


class TestFailure:
    @pytest.fixture
    def unknown(self, stripe, alice):
        """The catalogue does not know the price of what was subscribed."""
        subscription = stripe.subscribe(alice)
        for each in stripe.book.subscriptions.values():
            each["items"]["data"][0]["price"]["lookup_key"] = "mystery"
            each["items"]["data"][0]["price"]["metadata"] = {}
        created = next(
            event for event in stripe.take_new() if event["type"] == "customer.subscription.created"
        )
        return subscription, created

    def test_it_is_kept_with_its_error_and_stripe_is_content(self, stripe, alice, unknown, caplog):
        _, created = unknown
        assert stripe.deliver(created) == ["failed"]
        [event] = events_of(alice)
        assert event.state == EventState.FAILED
        assert event.error.startswith("UnknownPrice: sub_")
        assert subscriptions_of(alice) == []
        assert organization_of(alice).plan == "free"

    def test_it_is_applied_once_the_cause_is_mended(self, stripe, alice, unknown):
        subscription, created = unknown
        stripe.deliver(created)
        price = stripe.book.subscriptions[subscription]["items"]["data"][0]["price"]
        price["metadata"] = {"lookup_key": "starter_monthly"}
        [event] = events_of(alice)
        facts = {
            "organization_id": alice.organization_id,
            "stripe_id": event.stripe_id,
            "claims": [],
            "customer_id": event.customer_id,
        }
        assert replay(facts) == EventState.PROCESSED
        assert events_of(alice)[0].error == ""
        assert organization_of(alice).plan == "starter"

    def test_a_replay_of_what_was_applied_is_harmless(self, stripe, alice, created):
        stripe.deliver(created)
        [event] = events_of(alice)
        facts = {"organization_id": alice.organization_id, "stripe_id": event.stripe_id}
        assert replay(facts) in (EventState.PROCESSED, EventState.STALE)
        assert mails_to(alice) == ["subscription_activated"]


class TestWhoseEvent:
    def about(self, event, *, customer=None, claim="keep", event_id="evt_changed"):
        changed = copy.deepcopy(event) | {"id": event_id}
        thing = changed["data"]["object"]
        if customer:
            thing["customer"] = customer
        if claim != "keep":
            thing["metadata"] = {"org_id": claim} if claim else {}
        return changed

    def test_an_unknown_customer_is_parked_and_matched_later(self, stripe, alice, created, owner_connection):
        other = self.about(created, customer="cus_of_nobody", claim=None)
        assert stripe.deliver(other) == ["parked"]
        assert owner_connection.execute(NOBODYS).fetchall() == [("evt_changed", "parked", "")]
        assert match_parked_events() == 0

        with org_context(alice.organization_id):
            customer = customer_of(alice)
            customer.stripe_id = "cus_of_nobody"
            customer.save()
        assert match_parked_events() == 1
        assert match_parked_events() == 0, "it waits in the queue already"
        [(organization_id, arguments)] = jobs(owner_connection, "apply_stripe_event")
        assert (organization_id, arguments) == (alice.organization_id, {"event_id": "evt_changed"})

    def test_metadata_that_disagree_with_the_customer_change_nothing(
        self, stripe, alice, charlie, created, owner_connection
    ):
        stripe.deliver(created)
        before = subscriptions_of(alice)[0].snapshot_key
        wrong = self.about(created, claim=str(charlie.organization_id))
        assert stripe.deliver(wrong) == ["conflict"]
        [(_, state, error)] = owner_connection.execute(NOBODYS).fetchall()
        assert state == "conflict"
        assert str(charlie.organization_id) in error
        assert subscriptions_of(alice)[0].snapshot_key == before
        assert subscriptions_of(charlie) == []
        assert organization_of(charlie).plan == "free"

    def test_metadata_and_reference_that_disagree_change_nothing(self, stripe, alice, charlie, created):
        wrong = self.about(created)
        wrong["data"]["object"]["client_reference_id"] = str(charlie.organization_id)
        assert stripe.deliver(wrong) == ["conflict"]
        assert subscriptions_of(alice) == subscriptions_of(charlie) == []

    def test_another_customer_of_the_organization_changes_nothing(self, stripe, alice, created):
        wrong = self.about(created, customer="cus_of_nobody")
        assert stripe.deliver(wrong) == ["conflict"]
        [event] = events_of(alice)
        assert "cus_of_nobody is not this organization's customer" in event.error
        assert subscriptions_of(alice) == []

    @pytest.mark.parametrize("claim", ["nonsense", "00000000-0000-4000-8000-000000000000"])
    def test_an_organization_that_does_not_exist_is_nobody(self, stripe, created, claim):
        assert stripe.deliver(self.about(created, customer="cus_of_nobody", claim=claim)) == ["parked"]

    def test_metadata_alone_link_a_customer(self, stripe, alice, created):
        """The second transaction of the checkout never came."""
        with org_context(alice.organization_id):
            customer = customer_of(alice)
            stripe_id, customer.stripe_id = customer.stripe_id, None
            customer.save()
        assert stripe.deliver(created) == ["processed"]
        assert customer_of(alice).stripe_id == stripe_id

    def test_anothers_parked_event_can_not_be_taken(self, stripe, alice, charlie, created, owner_connection):
        stripe.deliver(self.about(created, customer="cus_of_nobody", claim=None))
        for person in (alice, charlie):
            with pytest.raises(OrganizationConflict):
                adopt_event(person.organization_id, "evt_changed")
        assert len(owner_connection.execute(NOBODYS).fetchall()) == 1


class TestForgedRows:
    """What injected SQL could put into the inbox: nothing of it is believed."""

    FORGE = (
        "INSERT INTO billing_stripeevent (id, organization_id, stripe_id, type, created, payload, signed_body, "
        "signature, customer_id, claims, state, error, attempts, received_at) "
        "VALUES (gen_random_uuid(), NULL, %s, %s, %s, %s, %s, %s, %s, %s, 'parked', '', 0, now())"
    )

    def forge(self, event, *, claims, body="", signature="", event_id=None):
        customer = event["data"]["object"]["customer"]
        values = [
            event_id or event["id"],
            event["type"],
            event["created"],
            json.dumps(event),
            body,
            signature,
        ]
        with psycopg.connect(os.environ["DATABASE_URL"]) as app:
            app.execute(self.FORGE, [*values, customer, json.dumps(claims)])

    @pytest.fixture
    def forged(self, created, charlie):
        """It says that Charlie's organization pays."""
        text = json.dumps(created)
        for value in (created["id"], created["data"]["object"]["id"], created["data"]["object"]["customer"]):
            text = text.replace(value, f"{value}_forged")
        return json.loads(
            text.replace(created["data"]["object"]["metadata"]["org_id"], str(charlie.organization_id))
        )

    def assert_flagged(self, person, reason):
        [event] = events_of(person)
        assert event.state == EventState.CONFLICT
        assert reason in event.error
        assert subscriptions_of(person) == []
        assert organization_of(person).plan == "free"
        assert mails_to(person) == []

    @pytest.mark.parametrize("signature", ["", "t=1,v1=00"])
    def test_one_that_nobody_signed_is_flagged(self, stripe, forged, charlie, settings, signature):
        body = json.dumps(forged)
        self.forge(forged, claims=[str(charlie.organization_id)], body=body, signature=signature)
        adopt_event(charlie.organization_id, forged["id"])
        apply(charlie.organization_id, forged["id"])
        self.assert_flagged(charlie, "Stripe did not sign it")

    def test_one_without_a_body_is_asked_for_at_stripe(self, stripe, forged, charlie):
        self.forge(forged, claims=[str(charlie.organization_id)])
        with pytest.raises(NotAtStripe):
            adopt_event(charlie.organization_id, forged["id"])
        assert subscriptions_of(charlie) == []

    def test_anothers_signed_event_under_a_claim_is_flagged(self, created, charlie, owner_connection):
        body = json.dumps(created)
        self.forge(
            created,
            claims=[str(charlie.organization_id)],
            body=body,
            signature=sign(body.encode(), WEBHOOK_SECRET),
        )
        owner_connection.execute("UPDATE billing_customer SET stripe_id = NULL")
        adopt_event(charlie.organization_id, created["id"])
        self.assert_flagged(charlie, "it is not about")

    @pytest.mark.parametrize("claims", [5, {"a": 1}, None, [None], ["x"]])
    def test_nonsense_stops_nobody_elses(self, stripe, alice, created, claims, owner_connection):
        other = TestWhoseEvent().about(created, customer="cus_of_nobody", claim=None)
        self.forge(created | {"id": "evt_nonsense"}, claims=claims)
        assert stripe.deliver(other) == ["parked"]
        owner_connection.execute("UPDATE billing_customer SET stripe_id = 'cus_of_nobody'")
        assert match_parked_events() == 1

    def test_after_30_days_they_are_removed(self, stripe, created, owner_connection):
        stripe.deliver(TestWhoseEvent().about(created, customer="cus_of_nobody", claim=None))
        assert prune_parked_events() == 0
        owner_connection.execute("UPDATE billing_stripeevent SET received_at = now() - interval '31 days'")
        assert prune_parked_events() == 1


class TestWhoseSubscription:
    def test_a_fetched_one_of_another_customer_changes_nothing(self, stripe, alice, charlie, created):
        check_out_of(charlie)
        taken = TestWhoseEvent().about(created, customer=customer_of(charlie).stripe_id, claim=None)
        assert stripe.deliver(taken) == ["conflict"]
        assert subscriptions_of(charlie) == []
        assert stripe.deliver(created) == ["processed"]
        assert organization_of(alice).plan == "starter"

    def test_a_refresh_of_anothers_is_refused(self, stripe, alice, charlie, created):
        check_out_of(charlie)
        with pytest.raises(OrganizationConflict):
            refresh_subscription(charlie.organization_id, created["data"]["object"]["id"])
        assert organization_of(charlie).plan == "free"


def check_out_of(person):
    assert person.api.post("/payments/checkout", {"plan": "starter"}).status_code == 201


class TestOddEvents:
    """Signed, and yet not to be trusted: 400, or ignored, and never a 500."""

    @pytest.mark.parametrize(
        "change",
        [
            {"created": 10**20},
            {"created": "1700000000"},
            {"created": 1.5},
            {"created": True},
            {"created": -1},
            {"created": 9_999_999_999},
            {"id": None},
            {"id": ["evt"]},
            {"id": "evt \0"},
            {"data": None},
            {"data": {"object": None}},
            {"data": {"object": ["sub"]}},
        ],
        ids=str,
    )
    def test_what_is_no_event_is_refused(self, stripe, created, change, owner_connection):
        body, headers = stripe.standin.signed(created | change)
        assert_refused(stripe.post(body, headers), 400, "malformed_request")
        assert stored(owner_connection) == 0

    @pytest.mark.parametrize(
        "change",
        [
            {"customer": ["cus_1"]},
            {"customer": 7},
            {"customer": "cus \0"},
            {"customer": "\ud800"},
            {"customer": "c" * 300},
            {"id": {}},
            {"metadata": "x"},
            {"metadata": ["x"]},
        ],
        ids=str,
    )
    def test_what_is_no_subscription_is_refused(self, stripe, created, change, owner_connection):
        created["data"]["object"] |= change
        body, headers = stripe.standin.signed(created)
        assert_refused(stripe.post(body, headers), 400, "malformed_request")
        assert stored(owner_connection) == 0

    @pytest.mark.parametrize("thing", [None, "x", ["x"], {"subscription": 5}, {"available": [1]}])
    def test_types_that_are_none_of_ours_are_ignored_whatever_they_hold(self, stripe, created, thing):
        assert stripe.deliver(created | {"type": "balance.available", "data": {"object": thing}}) == [
            "ignored"
        ]
        assert stripe.deliver({"object": "v2.core.event", "type": "v1.billing.meter", "id": 5}) == ["ignored"]

    def test_deep_nesting_is_refused(self, stripe):
        body = b'{"a":' * 20_000 + b"1" + b"}" * 20_000
        headers = {"Stripe-Signature": sign(body, WEBHOOK_SECRET)}
        assert_refused(stripe.post(body, headers), 400, "malformed_request")

    def test_an_event_of_the_other_mode_is_ignored(self, stripe, created, settings, owner_connection):
        assert stripe.deliver(created | {"livemode": True}) == ["ignored"]
        assert stored(owner_connection) == 0

    def test_a_customer_of_nothing_is_none_of_ours(self, stripe, created):
        created["data"]["object"]["customer"] = None
        assert stripe.deliver(created) == ["ignored"]

    def test_the_support_organization_is_no_customer(self, stripe, created):
        claim = "00000000-0000-0000-0000-000000000001"
        about = TestWhoseEvent().about(created, customer="cus_of_nobody", claim=claim)
        assert stripe.deliver(about) == ["parked"]


class TestWhileStripeIsAway:
    def test_the_events_own_snapshot_counts_and_a_fetch_is_queued(
        self, stripe, alice, created, owner_connection
    ):
        stripe.standin.fault = always("drop")
        assert stripe.deliver(created) == ["processed"]
        [found] = subscriptions_of(alice)
        assert (found.status, found.plan) == ("trialing", "starter")
        [(_, arguments)] = jobs(owner_connection, "refresh_subscription")
        assert arguments == {"subscription_id": found.stripe_id}

    def test_a_subscription_that_stripe_does_not_know_is_taken_from_the_event(self, stripe, alice, created):
        stripe.book.subscriptions.clear()
        assert stripe.deliver(created) == ["processed"]
        assert subscriptions_of(alice)[0].status == "trialing"

    def test_a_stale_event_changes_nothing_and_sends_no_mail(self, stripe, alice, settings):
        subscription = stripe.subscribe(alice)
        stripe.book.end_trial(subscription, succeeds=True)
        stripe.book.renew(subscription, succeeds=False)
        stripe.book.retry_payment(subscription, succeeds=True)
        events = stripe.take_new()
        settings.STRIPE_SECRET_KEY = ""
        late = next(event for event in events if event["type"] == "invoice.payment_failed")
        rest = [event for event in events if event is not late]
        stripe.deliver(*rest)
        mails = mails_to(alice)
        assert stripe.deliver(late) == ["stale"]
        assert mails_to(alice) == mails
        assert organization_of(alice).access == "full"

    def test_a_payment_that_is_told_after_the_end_revives_nothing(self, stripe, alice, settings):
        subscription = stripe.subscribe(alice)
        stripe.book.end_trial(subscription, succeeds=True)
        stripe.book.cancel(subscription)
        events = {event["type"]: event for event in stripe.take_new()}
        settings.STRIPE_SECRET_KEY = ""
        assert stripe.deliver(events["customer.subscription.deleted"], events["invoice.paid"])[1] != "failed"
        assert organization_of(alice).plan == "free"
        # The money was taken, so it has its receipt.
        assert mails_to(alice) == ["payment_received", "subscription_cancelled"]

    def test_an_event_is_only_a_hint_while_stripe_answers(self, stripe, alice):
        """The first event to arrive brings the subscription as it is by now."""
        subscription = stripe.subscribe(alice)
        stripe.book.cancel(subscription)
        assert stripe.deliver(stripe.take_new()[-1]) == ["processed"]
        assert [each.status for each in subscriptions_of(alice)] == ["canceled"]


def test_no_organization_reads_the_inbox_of_another(stripe, alice, charlie, created):
    stripe.deliver(created)
    with org_context(charlie.organization_id):
        assert not StripeEvent.objects.exists()
