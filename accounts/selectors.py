"""Reads of people and sessions. Each runs inside the organization's context, but for organization_of_email."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from django.db import connection
from django.db.models import Q, QuerySet

from accounts.models import Invitation, Session, User
from accounts.profiles import COLUMNS, Profile, profile_of_columns
from accounts.tokens import InvalidToken, SessionClaims
from saas.kit import clock
from saas.kit.statements import OneRow, one_row
from tenancy.context import find_in_context, org_context
from tenancy.models import SUPPORT_ORGANIZATION_ID
from tenancy.support_audit import look_lasts

R = TypeVar("R")

ORGANIZATION_FOR_EMAIL = "SELECT tenancy.organization_for_email(%s)"


@dataclass(frozen=True, slots=True)
class LiveProfile:
    """Whose a live session is; who of the support looks through it, if anybody does."""

    looking_staff_id: UUID | None
    looking_staff_email: str
    expires_at: datetime
    profile: Profile


def organization_of_email(email: str) -> UUID | None:
    """The organization that an address belongs to, before there is a context; no other fact of it."""
    with connection.cursor() as cursor:
        cursor.execute(ORGANIZATION_FOR_EMAIL, [email])
        organization_id: UUID | None = cursor.fetchone()[0]
    return organization_id


def organization_of_customer(email: str) -> UUID | None:
    """The same without the support staff, who have ways of their own."""
    organization_id = organization_of_email(email)
    return None if organization_id == SUPPORT_ORGANIZATION_ID else organization_id


def live_session(claims: SessionClaims) -> Session | None:
    """With its user and their organization: who is asked for a session is often asked for a profile next.

    None also for a look of the support's that was ended elsewhere. Opens the organization's context if it is not open.
    """
    session = _found(_live_session, claims)
    return session if session and (session.looking_staff_id is None or _look_lasts(claims)) else None


def live_profile(claims: SessionClaims) -> LiveProfile | None:
    """The same, with no more than each request needs of the three rows: no password, nothing of the device."""
    row = _found(_live_profile, claims)
    if row is None or (row[0] is not None and not _look_lasts(claims)):
        return None
    staff_id, staff_email, expires_at, *profile = row
    return LiveProfile(staff_id, staff_email, expires_at, profile_of_columns(profile))


def _found(find: OneRow[Any, R], claims: SessionClaims) -> R | None:
    return find_in_context(
        claims.org_id, find, session_id=claims.sid, user_id=claims.user_id, now=clock.now()
    )


def _look_lasts(claims: SessionClaims) -> bool:
    with org_context(claims.org_id):
        return look_lasts(claims.sid, user_id=claims.user_id)


@one_row
def _live_session(*, session_id: UUID, user_id: UUID, now: datetime) -> QuerySet[Session]:
    return _live(user_id, now).select_related("user__organization").filter(id=session_id)


@one_row
def _live_profile(*, session_id: UUID, user_id: UUID, now: datetime) -> QuerySet[Session, tuple[Any, ...]]:
    sessions = _live(user_id, now).filter(id=session_id)
    return sessions.values_list("looking_staff_id", "looking_staff_email", "expires_at", *COLUMNS)


def session_alone(claims: SessionClaims) -> Session | None:
    """A live session's row without its user's, in the organization's open context."""
    return _session_alone(session_id=claims.sid, user_id=claims.user_id, now=clock.now())


@one_row
def _session_alone(*, session_id: UUID, user_id: UUID, now: datetime) -> QuerySet[Session]:
    return _live(user_id, now).filter(id=session_id)


def email_of(claims: SessionClaims) -> str:
    """The caller's own, in a context of its own. Raises InvalidToken if the person was removed."""
    with org_context(claims.org_id):
        user = User.objects.only("email").filter(id=claims.user_id).first()
    if user is None:
        raise InvalidToken
    return user.email


def live_sessions(user_id: UUID) -> QuerySet[Session]:
    """Neither revoked nor run out, of a user who is not deactivated; the latest first."""
    return _live(user_id, clock.now()).order_by("-last_seen_at", "id")


def _live(user_id: UUID, now: datetime) -> QuerySet[Session]:
    return Session.objects.filter(
        user_id=user_id, revoked_at=None, expires_at__gt=now, user__deactivated_at=None
    )


def members(*, role: str = "", status: str = "", q: str = "") -> QuerySet[User]:
    """The organization's people in a stable order; `q` looks into names and addresses."""
    people = User.objects.order_by("organization_id", "created_at", "id")
    if role:
        people = people.filter(role=role)
    if status:
        people = people.filter(deactivated_at__isnull=status == "active")
    if q:
        people = people.filter(Q(email__icontains=q) | Q(name__icontains=q))
    return people


def names_by_id(user_ids: Iterable[str]) -> dict[str, str]:
    """What to call people; whoever was removed is missing, and so is what is no user's id."""
    known = {id for id in user_ids if is_uuid(id)}
    return {str(user.id): user.name or user.email for user in User.objects.filter(id__in=known)}


def is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def pending_invitations() -> QuerySet[Invitation]:
    """Neither used nor taken back, and not run out; in a stable order."""
    return Invitation.objects.filter(expires_at__gt=clock.now()).order_by("created_at", "id")


def seats_taken(*, but_for: str = "") -> int:
    """By active members, and kept for who is invited, `but_for` an address."""
    invited = pending_invitations().exclude(email__iexact=but_for)
    return User.objects.filter(deactivated_at=None).count() + invited.count()
