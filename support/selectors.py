"""What the screens read, as saas_support; PostgreSQL shows of an organization what a fresh access opens."""

from datetime import datetime
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from django.db import connections
from django.db.models import Model, Q, QuerySet

from accounts.models import Session, User
from billing.models import Customer, StripeEvent, Subscription
from tenancy.fence import RoleAccess
from tenancy.models import Mail, Organization, Role, SupportAudit
from tenancy.staff import SUPPORT_ALIAS, Staff
from tenancy.support_audit import ACCESS_LASTS, SUPPORT_ROLE, SupportAction

M = TypeVar("M", bound=Model)

STAFF_SESSION = "SELECT id, email FROM tenancy.staff_session(%s)"
SEARCH = (
    "SELECT id, slug, name, plan, access, support_allowed, member FROM tenancy.search_organizations(%s, %s)"
)
FOUND_AT_MOST = 50
SHORTEST_SEARCH = 3


class FoundOrganization(NamedTuple):
    id: UUID
    slug: str
    name: str
    plan: str
    access: str
    support_allowed: bool
    member: str | None


def staff_of_session(session_id: UUID) -> Staff | None:
    """Whose session it is, if it is neither over nor idle; PostgreSQL also notes that it was seen."""
    with connections[SUPPORT_ALIAS].cursor() as cursor:
        cursor.execute(STAFF_SESSION, [session_id])
        row = cursor.fetchone()
    return Staff(*row) if row else None


def found_organizations(query: str, *, page: int) -> list[FoundOrganization]:
    """A page of the organizations that a name, a member's address or a Stripe id fits. PostgreSQL logs the search."""
    with connections[SUPPORT_ALIAS].cursor() as cursor:
        cursor.execute(SEARCH, [query, (page - 1) * FOUND_AT_MOST])
        return [FoundOrganization(*row) for row in cursor.fetchall()]


def seen(model: type[M], *joined: str) -> QuerySet[M]:
    """Rows of opened organizations, with the columns that the support role may read, and `joined` ones."""
    access = next(
        each
        for each in model._meta.constraints
        if isinstance(each, RoleAccess) and each.role == SUPPORT_ROLE and each.command == "SELECT"
    )
    names = [field.name for field in model._meta.concrete_fields if field.column in access.columns]
    return model._default_manager.only(*names, *joined)


def organization(organization_id: UUID) -> Organization | None:
    return seen(Organization).filter(id=organization_id).first()


def opened_until(staff: Staff, organization_id: UUID) -> datetime | None:
    access = audit(
        staff_id=staff.id, organization_id=organization_id, action=SupportAction.OPEN_ACCESS
    ).first()
    return access.at + ACCESS_LASTS if access else None


def opened_organizations() -> QuerySet[Organization]:
    """Those that the staff member in force has open."""
    return seen(Organization).order_by("name", "id")


def users(organization_id: UUID, *, q: str = "") -> QuerySet[User]:
    people = seen(User).filter(organization_id=organization_id).order_by("created_at", "id")
    return people.filter(Q(email__icontains=q) | Q(name__icontains=q)) if q else people


def is_last_owner(user: User) -> bool:
    if user.role != Role.OWNER or not user.is_active:
        return False
    owners = seen(User).filter(organization=user.organization_id, role=Role.OWNER, deactivated_at=None)
    return not owners.exclude(id=user.id).exists()


def sessions(user: User) -> QuerySet[Session]:
    return seen(Session).filter(user_id=user.id).order_by("-last_seen_at", "id")


def subscriptions(organization_id: UUID) -> QuerySet[Subscription]:
    return seen(Subscription).filter(organization_id=organization_id).order_by("-started_at", "id")


def customer(organization_id: UUID) -> Customer | None:
    return seen(Customer).filter(organization_id=organization_id).first()


def events(organization_id: UUID, *, state: str = "") -> QuerySet[StripeEvent]:
    found = seen(StripeEvent).filter(organization_id=organization_id).defer("payload")
    return (found.filter(state=state) if state else found).order_by("-received_at", "-id")


def event(organization_id: UUID, stripe_id: str) -> StripeEvent | None:
    if "\0" in stripe_id:  # PostgreSQL takes none, and no event has one.
        return None
    return seen(StripeEvent).filter(organization_id=organization_id, stripe_id=stripe_id).first()


def mails(organization_id: UUID, *, state: str = "") -> QuerySet[Mail]:
    found = seen(Mail, "user__email").filter(organization_id=organization_id).select_related("user")
    return (found.filter(state=state) if state else found).order_by("-created_at", "-id")


def audit(**conditions: Any) -> QuerySet[SupportAudit]:
    return SupportAudit.objects.filter(**conditions).order_by("-at", "-id")
