"""What accounts does in the background, each in the context of the organization that asked for it."""

from uuid import UUID

from accounts.services import registration, requests
from accounts.services.pruning import prune_sessions
from accounts.services.sessions import write_blacklist
from saas.kit.lock import LockHeld, distributed_lock
from tenancy.jobs import organization_task, platform_task
from tenancy.models import SUPPORT_ORGANIZATION_ID
from tenancy.retries import MisplacedJob


@organization_task(name="blacklist_sessions", owns_transactions=True)
def blacklist_sessions(organization_id: UUID, *, sessions: dict[str, list[str]]) -> None:
    """Repeats the Redis half of a revocation, whose truth is committed already, until it lands."""
    write_blacklist(organization_id, sessions)


@organization_task(name="mail_registration_link", owns_transactions=True)
def mail_registration_link(organization_id: UUID, **facts: str) -> None:
    _refuse_other_organizations(organization_id)
    registration.mail_registration_link(**facts)


@organization_task(name="mail_reset_link", owns_transactions=True)
def mail_reset_link(organization_id: UUID, *, email: str) -> None:
    _refuse_other_organizations(organization_id)
    requests.mail_reset_link(email)


@organization_task(name="mail_verification_link", owns_transactions=True)
def mail_verification_link(organization_id: UUID, *, email: str) -> None:
    _refuse_other_organizations(organization_id)
    requests.mail_verification_link(email)


def _refuse_other_organizations(organization_id: UUID) -> None:
    """These reach another organization by an address: no organization's own code may ask for that."""
    if organization_id != SUPPORT_ORGANIZATION_ID:
        raise MisplacedJob(f"{organization_id} asked for what belongs to nobody")


@platform_task(name="prune_sessions", cron="41 3 * * *")
def prune_old_sessions() -> None:
    try:
        with distributed_lock("prune_sessions", seconds=600):
            prune_sessions()
    except LockHeld:
        pass  # Somebody prunes already, by hand or on another worker.
