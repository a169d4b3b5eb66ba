"""What the platform does in the background beside its apps."""

import logging

from saas.operations import deletion
from tenancy.jobs import platform_task

logger = logging.getLogger(__name__)


class DeletionsIncomplete(Exception):
    """Some organizations could not be removed yet: the log says why, and the next hour tries again."""


@platform_task(name="remove_due_organizations", cron="7 * * * *")
def remove_due_organizations() -> None:
    failures = 0
    for organization_id in deletion.due_organizations():
        try:
            deletion.remove(organization_id)
        except Exception:
            # One of them must not keep the others.
            logger.exception("Organization %s could not be removed yet", organization_id)
            failures += 1
        else:
            logger.info("Organization %s is removed", organization_id)
    if failures:
        raise DeletionsIncomplete(f"{failures} organizations could not be removed yet")
