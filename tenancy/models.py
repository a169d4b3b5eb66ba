"""Organizations, and the base class that fences every tenant table."""

import uuid
from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.backends.utils import truncate_name
from django.db.models.base import ModelBase
from django.db.models.fields.related import lazy_related_operation
from django.utils.translation import gettext_lazy as _

from tenancy.context import organization_in_force
from tenancy.fence import Fence, RoleAccess, TenantReference, unique_everywhere
from tenancy.support_audit import SupportAudit as SupportAudit
from tenancy.support_audit import seen_by_support

# Support staff belong to this organization and to no other; it exists from the first migration on.
SUPPORT_ORGANIZATION_ID = uuid.UUID(int=1)
NAME_LIMIT = 63
SLUG_CONSTRAINT = "slug_once"
# What a new organization gets; billing's free plan is made of it.
FREE_SEATS = 3


class Role(models.TextChoices):
    OWNER = "owner", _("Owner")
    ADMIN = "admin", _("Admin")
    MEMBER = "member", _("Member")


# Who may look after an organization.
ADMINS = (Role.OWNER, Role.ADMIN)


class Access(models.TextChoices):
    FULL = "full"
    READ_ONLY = "read_only"


class Organization(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    slug = models.SlugField(max_length=63, db_index=False)
    name = models.CharField(max_length=200)
    # Billing writes down what a plan allows; nobody here asks upward.
    plan = models.CharField(max_length=32, default="free")
    access = models.CharField(max_length=16, choices=Access.choices, default=Access.FULL)
    seat_limit = models.PositiveIntegerField(null=True, blank=True, default=FREE_SEATS)
    # Off: support staff can't open access to it.
    support_allowed = models.BooleanField(default=True, db_default=True)
    # When it was last switched off: what was open then stays closed.
    support_closed_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            unique_everywhere("slug", name=SLUG_CONSTRAINT),
            Fence(name="organization_fence", column="id"),
            RoleAccess(
                name="organization_searched",
                role="saas_lookup",
                command="SELECT",
                columns=("slug", "name", "plan", "access", "support_allowed"),
                rows="true",
            ),
            seen_by_support(
                "organization",
                key="id",
                columns=(
                    "id",
                    "slug",
                    "name",
                    "plan",
                    "access",
                    "seat_limit",
                    "support_allowed",
                    "created_at",
                ),
            ),
            RoleAccess(
                name="organization_ids", role="saas_lookup", command="SELECT", columns=("id",), rows="true"
            ),
            models.CheckConstraint(
                name="organization_access_known", condition=models.Q(access__in=Access.values)
            ),
        ]

    def __str__(self) -> str:
        return self.slug


class TenantModelBase(ModelBase):
    """Adds the fence to each concrete subclass, whatever its own Meta says."""

    def __new__(cls, name: str, bases: tuple[type, ...], attrs: dict[str, Any], **kwargs: Any) -> Any:
        model: Any = super().__new__(cls, name, bases, attrs, **kwargs)
        if not model._meta.abstract and not model._meta.proxy and model._meta.managed:
            _add_constraint(model, Fence(name=_name(model, "fence")))
            for field in model._meta.local_fields:
                if isinstance(field, models.ForeignKey):
                    lazy_related_operation(_fence_reference, model, field.remote_field.model, field=field)
        return model


def _fence_reference(model: type[models.Model], target: type[models.Model], *, field: Any) -> None:
    if not isinstance(target, TenantModelBase):
        return
    field.db_constraint = False
    field.db_index = False
    name = _name(model, f"{field.name}_in_organization")
    _add_constraint(model, TenantReference(name=name, field=field.name, to=target._meta.db_table))


def _add_constraint(model: type[models.Model], constraint: models.BaseConstraint) -> None:
    constraints = [*model._meta.constraints, constraint]
    model._meta.constraints = constraints
    model._meta.original_attrs["constraints"] = constraints


def _name(model: type[models.Model], suffix: str) -> str:
    return truncate_name(f"{model._meta.db_table}_{suffix}", NAME_LIMIT)


class TenantModel(models.Model, metaclass=TenantModelBase):
    """Subclass it, and the table belongs to organizations: fenced by the next `makemigrations` and `migrate`.

    `organization` defaults to the one in force. Foreign keys to other tenant models become composite.
    """

    # Left out where an organization's rows are exported: what opens an account, or proves something to somebody.
    secret_fields: ClassVar[tuple[str, ...]] = ()

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(
        Organization,
        on_delete=models.CASCADE,
        default=organization_in_force,
        editable=False,
        related_name="+",
        db_index=False,
    )

    class Meta:
        abstract = True


class MailState(models.TextChoices):
    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    # The address bounced or complained before, or the person was deactivated: nothing is sent to them.
    SUPPRESSED = "suppressed"
    # The provider refused it for good: its error says why.
    FAILED = "failed"
    # Twice no answer came, or a worker died meanwhile: whether the provider took it can't be known.
    UNKNOWN = "unknown"


class Mail(TenantModel):
    """A mail to one person, queued with the change that causes it, once per (message, user, address, occasion)."""

    # Facts may hold a link that opens an account.
    secret_fields = ("facts",)

    # Nobody yet, for who is invited.
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, related_name="+")
    # Where it is not the user's present one.
    address = models.CharField(max_length=254, blank=True)
    message = models.CharField(max_length=64)
    occasion = models.CharField(max_length=200, blank=True)
    facts = models.JSONField(default=dict)
    message_id = models.CharField(max_length=200)
    state = models.CharField(max_length=16, choices=MailState.choices, default=MailState.QUEUED)
    # How often a worker died while it was being sent, or no answer came.
    crashes = models.PositiveSmallIntegerField(default=0)
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField(null=True)
    # Ids of the provider's events about it, so that one delivered again is known.
    provider_events = models.JSONField(default=list)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "user", "address", "message", "occasion"],
                name="mail_once_an_occasion",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                name="mail_has_an_address", condition=models.Q(user__isnull=False) | ~models.Q(address="")
            ),
            models.CheckConstraint(name="mail_state_known", condition=models.Q(state__in=MailState.values)),
            # Without its facts, which may hold a link that opens an account.
            seen_by_support(
                "mail",
                columns=(
                    "id",
                    "organization_id",
                    "user_id",
                    "address",
                    "message",
                    "occasion",
                    "message_id",
                    "state",
                    "crashes",
                    "error",
                    "created_at",
                    "sent_at",
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.message} to {self.user_id or self.address}"


class UndeliverableAddress(TenantModel):
    """An address that bounced for good, or whose owner complained: nothing is sent to it any more."""

    address = models.CharField(max_length=254)
    reason = models.CharField(max_length=32)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "address"], name="undeliverable_address_once")
        ]

    def __str__(self) -> str:
        return self.address


class OrganizationDeletion(TenantModel):
    """That the organization is to be removed, and from when on; the worker does it, and removes this row last."""

    due_at = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization"], name="one_deletion_an_organization"),
            RoleAccess(
                name="deletion_due_seen",
                role="saas_worker",
                command="SELECT",
                columns=("organization_id", "due_at"),
                rows="due_at <= now()",
            ),
        ]

    def __str__(self) -> str:
        return f"from {self.due_at} on"
