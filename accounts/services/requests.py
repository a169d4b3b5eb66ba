"""What somebody asks for by an address alone. Answered in the background, so neither the answer nor its time
tells whether the address has an account."""

from collections.abc import Iterator
from contextlib import contextmanager

from accounts.models import User
from accounts.selectors import organization_of_customer
from accounts.services.addresses import mail_link, send_verification
from tenancy.context import org_context
from tenancy.jobs import defer
from tenancy.models import SUPPORT_ORGANIZATION_ID


def request_mail(task: str, *, email: str) -> None:
    """Enqueue a task of accounts.tasks that mails a link to the address, if it has an account.

    Opens its own transaction.
    """
    with org_context(SUPPORT_ORGANIZATION_ID):
        defer(task, email=email)


def mail_reset_link(email: str) -> None:
    with _account(email) as user:
        if user:
            mail_link("accounts/reset_password", user.email, user=user)


def mail_verification_link(email: str) -> None:
    with _account(email) as user:
        if user:
            send_verification(user)


@contextmanager
def _account(email: str) -> Iterator[User | None]:
    """In the context of the address's organization: its active user."""
    organization_id = organization_of_customer(email)
    if organization_id is None:
        yield None
        return
    with org_context(organization_id):
        yield User.objects.filter(email_key=email.lower(), deactivated_at=None).first()
