"""A new organization with its owner, in one transaction."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import orjson
from django.db import IntegrityError, transaction
from django.utils.text import slugify

from accounts.models import DEFAULT_LOCALE, EMAIL_CONSTRAINT, Session, User
from accounts.passwords import check_new_password, hash_password
from accounts.selectors import organization_of_email
from accounts.services.addresses import EmailTaken, mail_link
from accounts.services.sessions import Device, open_session
from saas.kit import clock
from saas.kit.sealing import seal, unseal
from tenancy.context import org_context
from tenancy.database import violated_constraint
from tenancy.jobs import defer
from tenancy.mails import queue_mail
from tenancy.models import SLUG_CONSTRAINT, SUPPORT_ORGANIZATION_ID, Organization, Role

SLUG_TRIES = 6
SEALED_FOR = "accounts.registration"


def register_owner(
    *,
    email: str,
    password: str,
    organization_name: str,
    name: str,
    device: Device,
    locale: str = DEFAULT_LOCALE,
) -> Session:
    """Make an organization and its owner, and log the owner in. Opens its own transaction: hashing stays outside.

    Raises EmailTaken or ValidationFailed; then nothing is left behind.
    """
    check_new_password(password, email=email, name=name, organization_name=organization_name)
    if organization_of_email(email):
        raise EmailTaken
    encoded = hash_password(password)
    with _new_organization(organization_name):
        owner = create_user(email=email, password=encoded, name=name, role=Role.OWNER, locale=locale)
        queue_mail("accounts/welcome", user_id=owner.id)
        return open_session(user=owner, device=device)


def request_registration(
    *, email: str, password: str, organization_name: str, name: str, locale: str = DEFAULT_LOCALE
) -> None:
    """Mail a link that registers, unless the address has an account. Nothing is made before the link is used.

    The background does it, so that neither the answer nor its time tells which it was. Opens its own
    transaction: hashing stays outside. Raises ValidationFailed.
    """
    check_new_password(password, email=email, name=name, organization_name=organization_name)
    wish = {"email": email, "password": hash_password(password), "name": name, "locale": locale}
    sealed = seal(SEALED_FOR, orjson.dumps({**wish, "organization_name": organization_name}))
    with org_context(SUPPORT_ORGANIZATION_ID):
        defer(
            "mail_registration_link",
            email=email,
            organization_name=organization_name,
            locale=locale,
            sealed=sealed,
        )


def mail_registration_link(*, email: str, organization_name: str, locale: str, sealed: str) -> None:
    """To whoever has no account yet; to others, that they have one. Opens its own transaction."""
    organization_id = organization_of_email(email)
    if organization_id is None:
        with org_context(SUPPORT_ORGANIZATION_ID):
            organization = {"name": organization_name}
            mail_link(
                "accounts/finish_registration", email, sealed=sealed, organization=organization, locale=locale
            )
    elif organization_id != SUPPORT_ORGANIZATION_ID:
        with org_context(organization_id):
            user = User.objects.get_by_natural_key(email)
            mail_link("accounts/registered_again", user.email, user=user)


def finish_registration(sealed: str) -> None:
    """Make what request_registration was asked for; the address is verified. Raises EmailTaken.

    Opens its own transaction.
    """
    wish = orjson.loads(unseal(SEALED_FOR, sealed))
    with _new_organization(wish.pop("organization_name")):
        owner = create_user(**wish, role=Role.OWNER, email_verified_at=clock.now())
        queue_mail("accounts/welcome", user_id=owner.id)


def create_user(*, email: str, password: str, **facts: Any) -> User:
    """Of the organization in force; `password` is hashed already. Raises EmailTaken."""
    try:
        return User.objects.create(email=email, password=password, **facts)
    except IntegrityError as error:
        if violated_constraint(error) == EMAIL_CONSTRAINT:
            raise EmailTaken from error
        raise


@contextmanager
def _new_organization(name: str) -> Iterator[None]:
    organization = Organization(id=uuid4(), name=name)
    with org_context(organization.id):
        _create_organization(organization)
        yield


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
    for _again in range(SLUG_TRIES - 1):
        yield f"{base}-{secrets.token_hex(4)}"
