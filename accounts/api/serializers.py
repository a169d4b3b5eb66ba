"""Shapes of requests and answers. What is unknown or of another type is refused, never dropped."""

import zoneinfo
from functools import cache
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from saas.kit.serializers import (
    DigitsField,
    NameField,
    StrictBooleanField,
    StrictCharField,
    StrictEmailField,
    StrictSerializer,
)
from tenancy.models import Role

# It walks the file system, and what it finds changes with the installation alone.
available_timezones = cache(zoneinfo.available_timezones)
SCOPES = ("local", "others", "global")


class NewEmailField(StrictEmailField):
    """An address to write to: in ASCII, since look-alike letters make two read the same, and with a domain's name."""

    def to_internal_value(self, data: Any) -> str:
        value = super().to_internal_value(data)
        if not value.isascii():
            raise serializers.ValidationError(
                _("Write the address in ASCII (a domain as xn--…)."), "not_ascii"
            )
        if value.endswith("]"):
            raise serializers.ValidationError(_("Give a domain's name, not an IP address."), "ip_address")
        return value


class NewPasswordField(StrictCharField):
    def __init__(self) -> None:
        super().__init__(plain_text=False, min_length=8, max_length=128)


class RegisterRequest(StrictSerializer):
    email = NewEmailField()
    password = NewPasswordField()
    org = NameField(required=False)
    organization = NameField(required=False, help_text="An alias of `org`.")
    name = NameField(required=False, default="", allow_blank=True)

    def to_internal_value(self, data: Any) -> Any:
        self.fields["org"].required = "organization" not in data
        return super().to_internal_value(data)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        given = [attrs.pop(name) for name in ("org", "organization") if name in attrs]
        if len(given) == 2:
            raise serializers.ValidationError(
                {"organization": "Give `org` or `organization`, not both."}, "invalid"
            )
        return {**attrs, "organization_name": given[0]}


class RegistrationRequested(serializers.Serializer[Any]):
    status = serializers.CharField(default="verification_sent")


class EmailRequest(StrictSerializer):
    email = StrictCharField(max_length=254)


class ResendRequest(StrictSerializer):
    email = StrictCharField(max_length=254, required=False, help_text="Whose; without it the caller's.")


class MailRequested(serializers.Serializer[Any]):
    status = serializers.CharField(default="accepted")


class LinkRequest(StrictSerializer):
    token = StrictCharField(plain_text=False, max_length=4096)


class EmailVerified(serializers.Serializer[Any]):
    status = serializers.CharField(default="verified")


class ResetRequest(LinkRequest):
    password = NewPasswordField()


class PasswordChange(StrictSerializer):
    current_password = StrictCharField(plain_text=False, max_length=1024)
    new_password = NewPasswordField()


class PasswordChanged(serializers.Serializer[Any]):
    status = serializers.CharField(default="password_changed")


class AcceptRequest(ResetRequest):
    name = NameField(required=False, default="", allow_blank=True)


class LoginRequest(StrictSerializer):
    email = StrictCharField(max_length=254)
    password = StrictCharField(plain_text=False, max_length=1024)


class RefreshRequest(StrictSerializer):
    refresh_token = StrictCharField(plain_text=False, max_length=4096)


class LogoutRequest(StrictSerializer):
    refresh_token = StrictCharField(plain_text=False, max_length=4096, required=False)
    scope = serializers.ChoiceField(SCOPES, required=False, default="local")


class ValidateRequest(StrictSerializer):
    token = StrictCharField(plain_text=False, max_length=4096, required=False)


class TokenAnswer(serializers.Serializer[Any]):
    access_token = serializers.CharField()
    refresh_token = serializers.CharField()
    token_type = serializers.CharField(default="Bearer")
    expires_in = serializers.IntegerField(help_text="Seconds")
    user_id = serializers.UUIDField()
    org_id = serializers.UUIDField()


class LookAnswer(serializers.Serializer[Any]):
    access_token = serializers.CharField(help_text="Says who looks in `act` (RFC 8693), and reads alone.")
    token_type = serializers.CharField(default="Bearer")
    expires_in = serializers.IntegerField(help_text="Seconds")
    user_id = serializers.UUIDField()
    org_id = serializers.UUIDField()


class RegisterAnswer(TokenAnswer):
    token = serializers.CharField(source="access_token", help_text="Equals `access_token`.")


class LogoutAnswer(serializers.Serializer[Any]):
    status = serializers.CharField(default="logged_out")


class ActorAnswer(serializers.Serializer[Any]):
    sub = serializers.UUIDField()


class ValidateAnswer(serializers.Serializer[Any]):
    active = serializers.BooleanField()
    token_type = serializers.CharField(required=False)
    user_id = serializers.UUIDField(required=False)
    org_id = serializers.UUIDField(required=False)
    role = serializers.CharField(required=False)
    sid = serializers.UUIDField(required=False)
    jti = serializers.UUIDField(required=False)
    iss = serializers.CharField(required=False)
    aud = serializers.CharField(required=False)
    iat = serializers.IntegerField(required=False)
    exp = serializers.IntegerField(required=False)
    act = ActorAnswer(required=False, help_text="Who of the support staff looks as the user (RFC 8693).")


class SessionAnswer(serializers.Serializer[Any]):
    id = serializers.UUIDField(help_text="The `sid` of its tokens.")
    created_at = serializers.DateTimeField()
    last_seen_at = serializers.DateTimeField()
    ip = serializers.IPAddressField(allow_null=True)
    user_agent = serializers.CharField()
    current = serializers.SerializerMethodField()

    def get_current(self, session: Any) -> bool:
        return bool(session.id == self.context["session_id"])


# The answer of an action `list`, which the document would otherwise call an array of these.
@extend_schema_serializer(many=False)
class SessionList(serializers.Serializer[Any]):
    data = SessionAnswer(many=True)  # type: ignore[assignment]


class OrganizationAnswer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    slug = serializers.CharField()
    name = serializers.CharField()
    plan = serializers.CharField()
    access = serializers.CharField()


class ProfileAnswer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    email = serializers.EmailField()
    email_verified = serializers.SerializerMethodField()
    name = serializers.CharField()
    role = serializers.CharField()
    locale = serializers.CharField()
    timezone = serializers.CharField()
    created_at = serializers.DateTimeField()
    last_login_at = serializers.DateTimeField(allow_null=True)
    org = OrganizationAnswer(source="organization")

    def get_email_verified(self, user: Any) -> bool:
        return user.email_verified_at is not None


class ProfileChange(StrictSerializer):
    email = NewEmailField(required=False, help_text="Stays as it is until the link mailed there is used.")
    name = NameField(required=False, allow_blank=True)
    locale = StrictCharField(max_length=16, required=False)
    timezone = StrictCharField(max_length=64, required=False)

    def validate_locale(self, value: str) -> str:
        if value not in dict(settings.LANGUAGES):
            raise serializers.ValidationError(_("This language is not available."), "unknown_locale")
        return value

    def validate_timezone(self, value: str) -> str:
        if value == "localtime" or value not in available_timezones():
            raise serializers.ValidationError(
                _("Give a time zone's name, such as Europe/Berlin."), "unknown_timezone"
            )
        return value


class MemberAnswer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    email = serializers.EmailField()
    email_verified = serializers.SerializerMethodField()
    name = serializers.CharField()
    role = serializers.CharField()
    active = serializers.BooleanField(source="is_active")
    created_at = serializers.DateTimeField()
    last_login_at = serializers.DateTimeField(allow_null=True)

    def get_email_verified(self, user: Any) -> bool:
        return user.email_verified_at is not None


@extend_schema_serializer(many=False)
class MemberList(serializers.Serializer[Any]):
    data = MemberAnswer(many=True)  # type: ignore[assignment]
    next_cursor = serializers.CharField(allow_null=True)
    has_more = serializers.BooleanField()


class MemberChange(StrictSerializer):
    role = serializers.ChoiceField(Role.choices, required=False)
    active = StrictBooleanField(required=False)


class RoleChange(StrictSerializer):
    role = serializers.ChoiceField(Role.choices)


class PageQuery(StrictSerializer):
    limit = DigitsField(min_value=1, max_value=100, default=25)
    cursor = StrictCharField(max_length=200, required=False)


class MemberQuery(PageQuery):
    role = serializers.ChoiceField(Role.choices, required=False)
    status = serializers.ChoiceField(("active", "deactivated"), required=False)
    q = StrictCharField(max_length=200, required=False)


class InvitationRequest(StrictSerializer):
    email = NewEmailField()
    role = serializers.ChoiceField(Role.choices, required=False, default=Role.MEMBER)


class InviterAnswer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()
    email = serializers.EmailField()


class InvitationAnswer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    email = serializers.EmailField()
    role = serializers.CharField()
    invited_by = InviterAnswer(allow_null=True)
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()


@extend_schema_serializer(many=False)
class InvitationList(serializers.Serializer[Any]):
    data = InvitationAnswer(many=True)  # type: ignore[assignment]
    next_cursor = serializers.CharField(allow_null=True)
    has_more = serializers.BooleanField()
