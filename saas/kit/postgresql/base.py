"""Django's backend for PostgreSQL, with a health check that costs no round trip."""

import select
from typing import Any

from django.db.backends.postgresql import base


class DatabaseWrapper(base.DatabaseWrapper):
    def is_usable(self) -> bool:
        """Whether a kept connection still works; Django asks before a request's first query.

        A server that closed the connection, or said goodbye on it, left something to read: then it is tried
        with a query. A line that was cut in silence shows only in a timeout, whoever asks.
        """
        connection: Any = self.connection
        if connection is None or connection.closed:
            return False
        return not _has_something_to_read(connection.fileno()) or super().is_usable()


def _has_something_to_read(descriptor: int) -> bool:
    # Not select(): it refuses descriptors over 1023.
    poll = select.poll()
    poll.register(descriptor, select.POLLIN | select.POLLHUP | select.POLLERR)
    return bool(poll.poll(0))
