"""What accounts does in the background, each in the context of the organization that asked for it."""

from uuid import UUID

from accounts.services.pruning import prune_sessions
from accounts.services.sessions import write_blacklist
from saas.kit.lock import LockHeld, distributed_lock
from tenancy.jobs import organization_task, platform_task


@organization_task(name="blacklist_sessions", owns_transactions=True)
def blacklist_sessions(organization_id: UUID, *, sessions: dict[str, list[str]]) -> None:
    """Repeats the Redis half of a revocation, whose truth is committed already, until it lands."""
    write_blacklist(organization_id, sessions)


@platform_task(name="prune_sessions", cron="41 3 * * *")
def prune_old_sessions() -> None:
    try:
        with distributed_lock("prune_sessions", seconds=600):
            prune_sessions()
    except LockHeld:
        pass  # Somebody prunes already, by hand or on another worker.
