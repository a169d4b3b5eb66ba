"""What a suspended organization may still do: everything but write."""

from django.utils.translation import gettext_lazy as _

from saas.kit.errors import DomainError
from tenancy.models import Access, Organization


class SubscriptionRequired(DomainError):
    code = "subscription_required"
    status = 402
    title = "Subscription required"
    detail = (
        "The organization's access is read-only until its subscription is paid. An owner or admin can do that "
        "with POST /payments/portal."
    )
    words = _(
        "Your organization can be read but not changed until its subscription is paid. Nothing is lost. An owner or "
        "admin can pay on the billing page."
    )


def refuse_read_only() -> None:
    """Raises SubscriptionRequired if the organization in force is suspended. PostgreSQL says so, no cache."""
    if Organization.objects.filter(access=Access.READ_ONLY).exists():
        raise SubscriptionRequired
