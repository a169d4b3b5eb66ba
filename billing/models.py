"""What we know of an organization at Stripe: its customer, its subscriptions and the events about them."""

import uuid
from dataclasses import asdict

from django.db import models

from billing.state import Payment, Status, SubscriptionState
from tenancy.context import organization_in_force
from tenancy.fence import RoleAccess, unique_everywhere
from tenancy.models import Organization, TenantModel
from tenancy.support_audit import seen_by_support


class Customer(TenantModel):
    """An organization's one customer at Stripe; its row's lock orders everything about its billing."""

    secret_fields = ("creation_key", "checkout_key", "checkout_url")

    stripe_id = models.CharField(max_length=255, null=True)  # noqa: DJ001
    # Stripe answers a creation that is repeated under it with the same customer.
    creation_key = models.UUIDField(default=uuid.uuid4, editable=False)
    creation_parameters = models.JSONField(null=True)
    trial_used_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    # The one checkout that may be open.
    checkout_key = models.UUIDField(null=True)
    checkout_started_at = models.DateTimeField(null=True)
    checkout_parameters = models.JSONField(null=True)
    checkout_id = models.CharField(max_length=255, blank=True)
    checkout_url = models.TextField(blank=True)
    checkout_expires_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            unique_everywhere("stripe_id", name="customer_once"),
            models.UniqueConstraint(fields=["organization"], name="one_customer_an_organization"),
            RoleAccess(
                name="customer_organization_by_stripe_id",
                role="saas_lookup",
                command="SELECT",
                columns=("stripe_id", "organization_id"),
                rows="true",
            ),
            RoleAccess(
                name="customer_organizations_seen",
                role="saas_worker",
                command="SELECT",
                columns=("organization_id", "stripe_id"),
                rows="stripe_id IS NOT NULL",
            ),
            seen_by_support(
                "customer", columns=("id", "organization_id", "stripe_id", "trial_used_at", "created_at")
            ),
        ]

    def __str__(self) -> str:
        return self.stripe_id or "not at Stripe yet"


class Subscription(TenantModel):
    """The columns of SubscriptionState, and what they come to."""

    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="subscriptions")
    stripe_id = models.CharField(max_length=255)
    status = models.CharField(max_length=32, choices=Status.choices)
    activated_at = models.DateTimeField(null=True)

    snapshot_key = models.CharField(max_length=400, blank=True)
    snapshot_status = models.CharField(max_length=32, blank=True)
    plan = models.CharField(max_length=32, blank=True)
    interval = models.CharField(max_length=16, blank=True)
    period_start = models.DateTimeField(null=True)
    period_end = models.DateTimeField(null=True)
    cancel_at_period_end = models.BooleanField(default=False)
    trial_end = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    payment_key = models.CharField(max_length=400, blank=True)
    payment = models.CharField(max_length=16, choices=Payment.choices, blank=True)
    payment_due_at = models.DateTimeField(null=True)
    payment_period_end = models.DateTimeField(null=True)
    was_paid = models.BooleanField(default=False)

    class Meta:
        constraints = [
            unique_everywhere("stripe_id", name="subscription_once"),
            models.CheckConstraint(
                name="subscription_status_known", condition=models.Q(status__in=Status.values)
            ),
            RoleAccess(
                name="subscription_searched",
                role="saas_lookup",
                command="SELECT",
                columns=("stripe_id", "organization_id"),
                rows="true",
            ),
            seen_by_support(
                "subscription",
                columns=(
                    "id",
                    "organization_id",
                    "stripe_id",
                    "status",
                    "plan",
                    "interval",
                    "period_start",
                    "period_end",
                    "cancel_at_period_end",
                    "trial_end",
                    "started_at",
                    "ended_at",
                    "payment",
                    "payment_due_at",
                ),
            ),
        ]

    def __str__(self) -> str:
        return self.stripe_id

    @property
    def state(self) -> SubscriptionState:
        return SubscriptionState(**{name: getattr(self, name) for name in SubscriptionState.__slots__})

    def take_state(self, state: SubscriptionState) -> None:
        for name, value in asdict(state).items():
            setattr(self, name, value)
        self.status = state.status


class EventState(models.TextChoices):
    RECEIVED = "received"
    PROCESSED = "processed"
    STALE = "stale"
    FAILED = "failed"
    # Of a customer that is not known (yet): it belongs to nobody.
    PARKED = "parked"
    # It names one organization and belongs to another's customer: nothing is done about it.
    CONFLICT = "conflict"


EVENT_CONSTRAINT = "event_once"
OPEN_STATES = (EventState.RECEIVED, EventState.FAILED)
# All but the payload, which shows inside its organization alone.
EVENT_FACTS = (
    "id",
    "organization_id",
    "stripe_id",
    "type",
    "created",
    "customer_id",
    "claims",
    "state",
    "error",
    "attempts",
    "received_at",
)


class StripeEvent(TenantModel):
    """The inbox: an event is stored once, before anything is done about it."""

    secret_fields = ("signed_body", "signature")

    organization = models.ForeignKey(  # type: ignore[assignment]
        Organization,
        on_delete=models.CASCADE,
        default=organization_in_force,
        editable=False,
        related_name="+",
        db_index=False,
        null=True,
    )
    stripe_id = models.CharField(max_length=255)
    type = models.CharField(max_length=100)
    created = models.BigIntegerField()
    payload = models.JSONField()
    # Of an event of nobody: what Stripe signed. Whoever it is given to looks at the signature again.
    signed_body = models.TextField(blank=True)
    signature = models.TextField(blank=True)
    customer_id = models.CharField(max_length=255, blank=True)
    # Organizations that its metadata name.
    claims = models.JSONField(default=list)
    state = models.CharField(max_length=16, choices=EventState.choices, default=EventState.RECEIVED)
    error = models.TextField(blank=True)
    attempts = models.PositiveIntegerField(default=0)
    received_at = models.DateTimeField(auto_now_add=True)
    processed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            unique_everywhere("stripe_id", name=EVENT_CONSTRAINT),
            models.CheckConstraint(name="event_state_known", condition=models.Q(state__in=EventState.values)),
            RoleAccess(
                name="event_of_nobody_stored",
                role="saas_app",
                command="INSERT",
                rows="organization_id IS NULL AND state IN ('parked', 'conflict')",
            ),
            RoleAccess(
                name="event_of_nobody_removed",
                role="saas_worker",
                command="DELETE",
                rows="organization_id IS NULL AND received_at < now() - interval '30 days'",
            ),
            RoleAccess(
                name="event_facts_seen",
                role="saas_worker",
                command="SELECT",
                columns=EVENT_FACTS,
                rows="true",
            ),
            RoleAccess(
                name="event_of_nobody_given",
                role="saas_worker",
                command="UPDATE",
                columns=("organization_id", "state", "error"),
                rows="organization_id IS NULL",
                new_rows="true",
            ),
            seen_by_support("stripe_event", columns=(*EVENT_FACTS, "processed_at", "payload")),
        ]
        indexes = [
            models.Index(fields=["received_at", "id"], name="event_by_receipt"),
            models.Index(fields=["organization", "stripe_id"], name="event_by_stripe_id"),
            models.Index(
                fields=["received_at"], name="event_of_nobody", condition=models.Q(organization__isnull=True)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.stripe_id}"
