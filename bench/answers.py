"""Every side must answer the same, or their figures say nothing of each other."""

import http.client
import json
import socket
from collections.abc import Iterable
from contextlib import closing
from typing import Any

from bench.load import WrongAnswers
from bench.sides import Side


def answer(port: int, message: bytes) -> tuple[int, Any]:
    """Status and JSON of one prepared request."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=30) as connection,
        closing(http.client.HTTPResponse(connection)) as response,
    ):
        connection.sendall(message)
        response.begin()
        return response.status, json.loads(response.read())


def refuse_differences(sides: Iterable[Side], message: bytes) -> None:
    """Raises WrongAnswers unless all sides answer one request with 200 and the same JSON."""
    given = {side.name: answer(side.port, message) for side in sides}
    expected = (200, next(iter(given.values()))[1])
    for name, found in given.items():
        if found != expected:
            raise WrongAnswers(f"{name} answered {found}, expected {expected}")
