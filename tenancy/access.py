"""What a suspended organization may still do: everything but write."""

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


def refuse_read_only() -> None:
    """Raises SubscriptionRequired if the organization in force is suspended. PostgreSQL says so, no cache."""
    if Organization.objects.filter(access=Access.READ_ONLY).exists():
        raise SubscriptionRequired
