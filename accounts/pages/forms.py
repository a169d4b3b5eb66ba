"""What pages take and the API does not, as serializers like the API's."""

from rest_framework import serializers

from accounts.api.serializers import NewEmailField
from saas.kit.serializers import NameField, StrictSerializer


class EmailChange(StrictSerializer):
    email = NewEmailField()


class OrganizationChange(StrictSerializer):
    name = NameField()


class SupportChange(StrictSerializer):
    is_allowed = serializers.BooleanField()


class Confirmation(StrictSerializer):
    """A button, and nothing to fill in."""
