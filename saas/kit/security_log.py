"""Lines about who got in, who did not, and what became of their sessions. docs/monitoring.md lists the events."""

import logging
from typing import Any

from django.db import transaction

logger = logging.getLogger("saas.security")


def note(event: str, **facts: Any) -> None:
    """`facts` are ids and kinds: never a secret, and no address that somebody merely typed."""
    texts = {name: str(value) for name, value in facts.items() if value is not None}
    logger.info(event, extra={"event": event, **texts})


def note_after_commit(event: str, **facts: Any) -> None:
    """For what a rollback would make untrue."""
    transaction.on_commit(lambda: note(event, **facts))
