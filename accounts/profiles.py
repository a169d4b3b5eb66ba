"""What a person is told of themselves: read with the session's row, and repeated by Redis for at most 30 seconds."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from accounts.models import User
from accounts.tokens import SessionClaims
from saas.kit.sealing import NotSealedHere, seal_bytes, unseal_bytes

PURPOSE = "session-facts"


@dataclass(frozen=True, slots=True)
class ProfileOrganization:
    """The person's organization."""

    id: UUID
    slug: str
    name: str
    plan: str
    access: str


@dataclass(frozen=True, slots=True)
class Profile:
    """From Redis, ids and moments are text, as they are in an answer."""

    id: UUID
    email: str
    email_verified_at: datetime | None
    name: str
    role: str
    locale: str
    timezone: str
    created_at: datetime
    last_login_at: datetime | None
    organization: ProfileOrganization


# Of a session's row: a Profile's fields in their order, then its organization's.
COLUMNS = (
    *(f"user__{each.name}" for each in fields(Profile) if each.name != "organization"),
    *(f"user__organization__{each.name}" for each in fields(ProfileOrganization)),
)
PLACE = len(fields(Profile)) - 1


def profile_of_columns(values: Sequence[Any]) -> Profile:
    place = ProfileOrganization(*values[PLACE:])
    return Profile(*[*values[:PLACE], place])


def profile_of(user: User) -> Profile:
    """`user` with its organization."""
    organization: Any = user.organization
    place = ProfileOrganization(
        organization.id, organization.slug, organization.name, organization.plan, organization.access
    )
    return Profile(
        user.id,
        user.email,
        user.email_verified_at,
        user.name,
        user.role,
        user.locale,
        user.timezone,
        user.created_at,
        user.last_login_at,
        place,
    )


def to_facts(profile: Profile, claims: SessionClaims) -> bytes:
    """Sealed: who gets at Redis, or at a dump of it, learns nothing of a person and can't make one an owner."""
    return seal_bytes(PURPOSE, orjson.dumps(profile, option=orjson.OPT_UTC_Z), place=_place(claims))


def from_facts(facts: bytes, claims: SessionClaims) -> Profile | None:
    """None for what was not sealed for this very session, such as under an older SECRET_KEY."""
    try:
        known = orjson.loads(unseal_bytes(PURPOSE, facts, place=_place(claims)))
        return Profile(**{**known, "organization": ProfileOrganization(**known["organization"])})
    except (NotSealedHere, TypeError):  # A TypeError: an older release wrote it.
        return None


def _place(claims: SessionClaims) -> str:
    return f"{claims.cache_tag}:{claims.sid}"
