"""What the commands of operations have in common."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from django.core.management.base import CommandError

from saas.operations.errors import OperationRefused


@contextmanager
def refusals() -> Iterator[None]:
    """What an operator can mend is told in a line, without a traceback."""
    try:
        yield
    except (OperationRefused, psycopg.Error, OSError) as error:
        raise CommandError(str(error).strip()) from error
