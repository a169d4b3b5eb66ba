"""What pages take and the API does not, as serializers like the API's."""

from accounts.api.serializers import NewEmailField
from saas.kit.serializers import NameField, StrictSerializer


class EmailChange(StrictSerializer):
    email = NewEmailField()


class OrganizationChange(StrictSerializer):
    name = NameField()


class Confirmation(StrictSerializer):
    """A button, and nothing to fill in."""
