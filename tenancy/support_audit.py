"""What support staff looked at and did: written by functions of the database alone, and never changed."""

import uuid
from datetime import timedelta

from django.db import connection, models
from django.utils.translation import gettext_lazy as _

from tenancy.fence import Fence, RoleAccess

SUPPORT_ROLE = "saas_support"
# As tenancy.opened_organizations() has it.
ACCESS_LASTS = timedelta(minutes=60)
# A look as a customer too, as tenancy.look_lasts() has it.
LOOK_LASTS = timedelta(minutes=60)
ASK_LOOK = "SELECT tenancy.look_lasts(%s, %s)"
END_LOOK = "SELECT tenancy.end_look(%s, %s)"
# Of these a row of the staff member in force is fresh; read once a statement.
OPENED = "(SELECT tenancy.opened_organizations())::uuid[]"


class SupportAction(models.TextChoices):
    SEARCH = "search"
    # Written by tenancy.finish_organization_removal(), in nobody's name.
    ORGANIZATION_REMOVED = "organization_removed", _("Organization removed")
    OPEN_ACCESS = "open_access", _("Open access")
    BEGIN_LOOK = "begin_look", _("Look as the customer")
    END_LOOK = "end_look", _("End the look")
    # What tenancy.defer_support_action() enqueues; the action's name is its task's.
    DEACTIVATE_USER = "support_deactivate_user", _("Deactivate the user")
    REACTIVATE_USER = "support_reactivate_user", _("Reactivate the user")
    END_SESSIONS = "support_end_sessions", _("End all sessions")
    RESEND_VERIFICATION = "support_resend_verification", _("Resend the verification")
    REPLAY_EVENT = "support_replay_event", _("Replay the event")
    RESEND_MAIL = "support_resend_mail", _("Resend the mail")


DEFERRED = tuple(action for action in SupportAction if action.value.startswith("support_"))


class SupportAudit(models.Model):
    """Refers to nobody's rows: it survives the organization and the staff member."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    at = models.DateTimeField()
    staff_id = models.UUIDField()
    staff_email = models.CharField(max_length=254)
    action = models.CharField(max_length=64)
    # A search is about none.
    organization_id = models.UUIDField(null=True)
    reason = models.TextField(blank=True)
    target = models.TextField(blank=True)
    details = models.JSONField(default=dict)
    # A row counts once its transaction is committed, or a rollback could take it back after the look.
    transaction_number = models.BigIntegerField()

    class Meta:
        constraints = [
            Fence(name="support_audit_fence", read_only=True),
            RoleAccess(
                name="support_audit_seen",
                role=SUPPORT_ROLE,
                command="SELECT",
                rows="(SELECT tenancy.current_staff()) IS NOT NULL",
            ),
        ]
        indexes = [
            models.Index(fields=["organization_id", "at", "id"], name="support_audit_of_organization"),
            models.Index(fields=["staff_id", "at"], name="support_audit_of_staff"),
            models.Index(fields=["at", "id"], name="support_audit_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.action} by {self.staff_email}"

    @property
    def label(self) -> str:
        return str(SupportAction(self.action).label)


def look_lasts(look_id: uuid.UUID, *, user_id: uuid.UUID) -> bool:
    """Begun as this very user, not ended, within its hour, by staff who are still active, in the organization in
    force, which allows it."""
    with connection.cursor() as cursor:
        cursor.execute(ASK_LOOK, [look_id, user_id])
        return bool(cursor.fetchone()[0])


def end_look(look_id: uuid.UUID, *, cause: str) -> None:
    """Write down, once, that a look at the organization in force has ended."""
    with connection.cursor() as cursor:
        cursor.execute(END_LOOK, [look_id, cause])


def seen_by_support(table: str, *, columns: tuple[str, ...], key: str = "organization_id") -> RoleAccess:
    """The support role reads these columns of organizations that its staff member has opened."""
    return RoleAccess(
        name=f"{table}_seen_by_support",
        role=SUPPORT_ROLE,
        command="SELECT",
        columns=columns,
        rows=f"{key} = ANY ({OPENED})",
    )
