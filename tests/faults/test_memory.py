"""A gunicorn worker that gets no more address space, and is killed as the kernel does in the end: the others go on."""

import os
import resource
import signal
from pathlib import Path

import pytest

from accounts.models import User
from tenancy.context import org_context
from tests.conftest import make_owner
from tests.faults.clients import Clients
from tests.faults.test_restarts import children
from tests.project.launching import eventually, is_alive
from tests.project.serving import running

pytestmark = pytest.mark.soak

WORKERS = 2
CLIENTS = 20
REQUESTS = 300


def size_of(pid):
    """All that it has mapped, in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()


def troubles_of(clients):
    return clients.asked - clients.answers[200]


def test_a_worker_without_memory_loses_nothing_that_was_acknowledged(tmp_path):
    people = [make_owner(f"ada{number}@example.com", f"Engine {number}", "Ada") for number in range(CLIENTS)]
    with (
        running(tmp_path / "log", WEB_WORKERS=str(WORKERS)) as server,
        Clients(server.port, people) as clients,
    ):
        assert eventually(lambda: clients.answers[200] > REQUESTS, seconds=120)
        before = children(server.process.pid)
        victim = min(before)
        resource.prlimit(victim, resource.RLIMIT_AS, (size_of(victim), resource.RLIM_INFINITY))
        asked = clients.asked
        assert eventually(lambda: clients.asked > asked + REQUESTS, seconds=120)
        others = clients.answers.keys() - {200}
        assert others <= {500, 503}, clients.answers
        # What the kernel does in the end.
        if is_alive(victim):
            os.kill(victim, signal.SIGKILL)
        assert eventually(lambda: len(now := children(server.process.pid)) == WORKERS and victim not in now)
        assert before - {victim} <= children(server.process.pid)
        well, troubles = clients.answers[200], troubles_of(clients)
        assert eventually(lambda: clients.answers[200] > well + REQUESTS, seconds=120)
        clients.stop()
        # What was under way just then.
        assert troubles_of(clients) <= troubles + CLIENTS
        assert server.process.poll() is None
    for person in people:
        with org_context(person.organization_id):
            name = User.objects.get().name
        assert name in (clients.names.get(person.user.id, "Ada"), clients.unsure.get(person.user.id))
