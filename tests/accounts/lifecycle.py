"""What the tests of mailed links share: the background's part, and reading a link out of a mail."""

import re

from accounts import tasks
from tenancy.context import org_context
from tenancy.mails import send_mail
from tenancy.models import SUPPORT_ORGANIZATION_ID, Mail
from tests.accounts.asking import jobs

LINK = re.compile(r"https?://\S+/(?P<purpose>[a-z-]+)\?token=(?P<token>\S+)")
ASKED = ("mail_registration_link", "mail_reset_link", "mail_verification_link")


def do_what_was_asked(owner):
    """Run the jobs that answer strangers, as the worker does."""
    for name in ASKED:
        for organization_id, arguments in jobs(owner, name):
            assert organization_id == SUPPORT_ORGANIZATION_ID
            getattr(tasks, name).func.__wrapped__(organization_id, **arguments)
        owner.execute("DELETE FROM procrastinate_jobs WHERE task_name = %s", [name])


def sent(outbox, organization_id, message):
    """Send what is queued of one message; the mails that went out, oldest first."""
    with org_context(organization_id):
        mails = list(Mail.objects.filter(message=message, state="queued").order_by("created_at"))
    before = len(outbox)
    for mail in mails:
        send_mail(organization_id, mail_id=mail.id)
    return outbox[before:]


def token_in(mail, purpose):
    found = LINK.search(mail.body)
    assert found["purpose"] == purpose, mail.body
    return found["token"]
