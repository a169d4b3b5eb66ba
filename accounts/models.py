"""People and their sessions, both fenced by organization."""

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models.functions import Lower

from tenancy.fence import RoleAccess
from tenancy.models import ADMINS, SUPPORT_ORGANIZATION_ID, Role, TenantModel
from tenancy.support_audit import seen_by_support

DEFAULT_LOCALE = "en"
EMAIL_CONSTRAINT = "email_once"
# What a person may still want to see of a session that ended; then the worker may remove it, and no earlier.
PRUNABLE = "coalesce(revoked_at, expires_at) < now() - interval '30 days'"
OF_STAFF = f"organization_id = '{SUPPORT_ORGANIZATION_ID}'"


class UserManager(BaseUserManager["User"]):
    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email_key=(username or "").lower())


class User(TenantModel, AbstractBaseUser):
    secret_fields = ("password",)

    email = models.EmailField(max_length=254)
    # Computed by PostgreSQL, so no writer can make it disagree with the address.
    email_key = models.GeneratedField(
        expression=Lower("email"), output_field=models.CharField(max_length=254), db_persist=True
    )
    # What the address is to become once the link that was mailed there is used.
    pending_email = models.EmailField(max_length=254, blank=True, default="", db_default="")
    email_verified_at = models.DateTimeField(null=True, blank=True)
    name = models.CharField(max_length=200, blank=True)
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.MEMBER)
    locale = models.CharField(max_length=16, default=DEFAULT_LOCALE)
    timezone = models.CharField(max_length=64, default="UTC")
    is_staff = models.BooleanField(default=False, editable=False)
    deactivated_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    last_login_at = models.DateTimeField(null=True, blank=True)

    last_login = None
    USERNAME_FIELD = "email_key"
    EMAIL_FIELD = "email"
    objects = UserManager()

    class Meta:
        constraints = [
            # By lower(): see "What the fence does not hide" in docs/tenancy.md.
            models.UniqueConstraint(Lower("email"), name=EMAIL_CONSTRAINT),
            models.CheckConstraint(name="user_role_known", condition=models.Q(role__in=Role.values)),
            models.CheckConstraint(
                name="staff_in_support_organization",
                condition=models.Q(is_staff=False) | models.Q(organization_id=SUPPORT_ORGANIZATION_ID),
            ),
            RoleAccess(
                name="user_organization_by_email",
                role="saas_lookup",
                command="SELECT",
                columns=("email", "organization_id"),
                rows="true",
            ),
            RoleAccess(
                name="user_searched",
                role="saas_lookup",
                command="SELECT",
                columns=("id", "email", "is_staff", "deactivated_at"),
                rows="true",
            ),
            # Never the password.
            seen_by_support(
                "user",
                columns=(
                    "id",
                    "organization_id",
                    "email",
                    "email_key",
                    "email_verified_at",
                    "pending_email",
                    "name",
                    "role",
                    "locale",
                    "timezone",
                    "is_staff",
                    "deactivated_at",
                    "created_at",
                    "updated_at",
                    "last_login_at",
                ),
            ),
        ]
        indexes = [
            models.Index(fields=["organization", "created_at", "id"], name="user_by_creation"),
            models.Index(fields=["organization", "email_key"], name="user_by_email"),
        ]

    def __str__(self) -> str:
        return self.email

    @property
    def is_admin(self) -> bool:
        return self.role in ADMINS

    @property
    def is_owner(self) -> bool:
        return self.role == Role.OWNER

    @property
    def is_active(self) -> bool:  # type: ignore[override]
        return self.deactivated_at is None


class Session(TenantModel):
    """The truth about a log-in, for API and pages alike; Redis holds copies for at most 30 seconds."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="sessions")
    created_at = models.DateTimeField(auto_now_add=True)
    last_seen_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    ip = models.GenericIPAddressField(null=True)
    user_agent = models.CharField(max_length=300, blank=True)
    refresh_generation = models.PositiveIntegerField(default=1)
    rotated_at = models.DateTimeField(null=True)
    # [generation, Unix seconds] of rotations so young that the rotated token is still honoured.
    recent_rotations = models.JSONField(default=list)
    revoked_at = models.DateTimeField(null=True)
    revoke_reason = models.CharField(max_length=32, blank=True)
    # Of the support staff, who looks as the user through this session; its id is the look's in the support's log.
    looking_staff_id = models.UUIDField(null=True)
    looking_staff_email = models.CharField(max_length=254, blank=True, default="", db_default="")

    class Meta:
        constraints = [
            RoleAccess(
                name="session_prunable_seen",
                role="saas_worker",
                command="SELECT",
                columns=("id", "revoked_at", "expires_at"),
                rows=PRUNABLE,
            ),
            RoleAccess(name="session_prunable_removed", role="saas_worker", command="DELETE", rows=PRUNABLE),
            RoleAccess(
                name="staff_session_known",
                role="saas_lookup",
                command="SELECT",
                columns=("id", "organization_id", "user_id", "last_seen_at", "expires_at", "revoked_at"),
                rows=OF_STAFF,
            ),
            RoleAccess(
                name="staff_session_touched",
                role="saas_lookup",
                command="UPDATE",
                columns=("last_seen_at",),
                rows=OF_STAFF,
            ),
            seen_by_support(
                "session",
                columns=(
                    "id",
                    "organization_id",
                    "user_id",
                    "created_at",
                    "last_seen_at",
                    "expires_at",
                    "ip",
                    "user_agent",
                    "revoked_at",
                    "revoke_reason",
                    "looking_staff_id",
                    "looking_staff_email",
                ),
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)

    @property
    def is_look(self) -> bool:
        """Whether support staff look as the user, and may do nothing else."""
        return self.looking_staff_id is not None


class Invitation(TenantModel):
    """Asks somebody into the organization; it is removed when they come, and can't be used once it has run out."""

    email = models.EmailField(max_length=254)
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.MEMBER)
    invited_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint("organization", Lower("email"), name="invitation_once_an_address"),
            models.CheckConstraint(name="invitation_role_known", condition=models.Q(role__in=Role.values)),
        ]

    def __str__(self) -> str:
        return self.email
