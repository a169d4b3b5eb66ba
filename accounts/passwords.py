"""What a password must be, and how one is checked without telling whether its account exists."""

from functools import cache
from types import SimpleNamespace
from typing import Any, cast

from django.conf import settings
from django.contrib.auth.hashers import check_password, make_password
from django.contrib.auth.password_validation import UserAttributeSimilarityValidator, validate_password
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from accounts.hashers import BulkheadPasswordHasher
from accounts.models import User
from saas.kit.errors import FieldError, ValidationFailed

# Django's validator says it; in German we say it otherwise.
gettext_noop("This password is too common.")


class MaximumLengthValidator:
    def __init__(self, max_length: int) -> None:
        self.max_length = max_length

    def validate(self, password: str, user: Any = None) -> None:
        if len(password) > self.max_length:
            raise ValidationError(self.get_help_text(), code="password_too_long")

    def get_help_text(self) -> str:
        return _("A password has at most %(limit)s characters.") % {"limit": self.max_length}


class SimilarityValidator(UserAttributeSimilarityValidator):
    """Refuses a password like the email address, the name, the organization or a word of PASSWORD_WORDS."""

    def __init__(self) -> None:
        super().__init__(
            user_attributes=("email", "name", "organization_name", "platform"), max_similarity=0.7
        )

    def get_error_message(self) -> str:
        return _("The password is too much like the email address, the name, the organization or this site.")


def check_new_password(
    password: str, *, email: str, name: str, organization_name: str, field: str = "password"
) -> None:
    """Raises ValidationFailed of the field with every reason why the password is refused."""
    about = SimpleNamespace(
        email=email,
        name=name,
        organization_name=organization_name,
        platform=" ".join(settings.PASSWORD_WORDS),
        _meta=User._meta,
    )
    try:
        validate_password(password, about)  # type: ignore[arg-type]
    except ValidationError as error:
        raise ValidationFailed(
            FieldError((field,), each.code or "invalid", each.messages[0]) for each in error.error_list
        ) from error


def hash_password(password: str) -> str:
    """Takes about a fifth of a second; raises HashedInTransaction inside a database transaction."""
    return make_password(password)


def verify_password(password: str, encoded: str | None) -> bool:
    """Does the same work for an account that does not exist (`encoded` None) as for a wrong password."""
    matches = check_password(password, encoded or _nobodys_hash())
    return matches and encoded is not None


@cache
def _nobodys_hash() -> str:
    """A well-formed hash that no password has; making a real one would cost the first asker twice the time."""
    hasher = BulkheadPasswordHasher()
    return f"{hasher.algorithm}${cast(Any, hasher.salt()).decode()}{'.' * 31}"
