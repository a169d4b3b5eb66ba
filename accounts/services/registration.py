"""A new organization with its owner, in one transaction."""

import secrets
from collections.abc import Iterator
from uuid import uuid4

from django.db import IntegrityError, transaction
from django.utils.text import slugify

from accounts.models import EMAIL_KEY_CONSTRAINT, Session, User
from accounts.passwords import check_new_password, hash_password
from accounts.selectors import organization_of_email
from accounts.services.sessions import Device, open_session
from saas.kit.errors import DomainError
from tenancy.context import org_context
from tenancy.database import violated_constraint
from tenancy.mails import queue_mail
from tenancy.models import Organization, Role

SLUG_CONSTRAINT = "tenancy_organization_slug_key"
SLUG_TRIES = 6


class EmailTaken(DomainError):
    code = "email_taken"
    status = 409
    title = "Email address taken"
    detail = "An account with this email address exists already."


def register_owner(
    *, email: str, password: str, organization_name: str, name: str, device: Device
) -> Session:
    """Make an organization and its owner, and log the owner in. Opens its own transaction: hashing stays outside.

    Raises EmailTaken or ValidationFailed; then nothing is left behind.
    """
    check_new_password(password, email=email, name=name, organization_name=organization_name)
    if organization_of_email(email):
        raise EmailTaken
    encoded = hash_password(password)
    organization_id = uuid4()
    with org_context(organization_id):
        organization = _create_organization(Organization(id=organization_id, name=organization_name))
        owner = User(organization=organization, email=email, password=encoded, name=name, role=Role.OWNER)
        try:
            owner.save(force_insert=True)
        except IntegrityError as error:
            if violated_constraint(error) == EMAIL_KEY_CONSTRAINT:
                raise EmailTaken from error
            raise
        session = open_session(user=owner, device=device)
        queue_mail("accounts/welcome", user_id=owner.id)
    return session


def _create_organization(organization: Organization) -> Organization:
    for slug in _slugs(organization.name):
        organization.slug = slug
        try:
            with transaction.atomic():
                organization.save(force_insert=True)
        except IntegrityError as error:
            if violated_constraint(error) != SLUG_CONSTRAINT:
                raise
        else:
            return organization
    raise RuntimeError(f"no free slug in {SLUG_TRIES} tries")


def _slugs(name: str) -> Iterator[str]:
    base = slugify(name)[:50].strip("-_") or "org"
    yield base
    for _ in range(SLUG_TRIES - 1):
        yield f"{base}-{secrets.token_hex(4)}"
