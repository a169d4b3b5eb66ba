"""Workers that are renewed, replaced or killed under load: no write is lost, and no request that need not be."""

import os
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from accounts.models import User
from tenancy.context import org_context
from tests.conftest import make_owner, manage
from tests.faults.clients import Clients
from tests.project.launching import eventually
from tests.project.serving import running

pytestmark = pytest.mark.soak

WORKERS = 2
CLIENTS = 40
REQUESTS = 20_000
# What the web can do without: policies of other roles.
LAST = {"billing": "0002"}


@pytest.fixture
def people():
    return [make_owner(f"ada{number}@example.com", f"Engine {number}", "Ada") for number in range(CLIENTS)]


@pytest.fixture
def waiting_clients_move():
    """As docs/deployment.md has it: who waits at a socket that closes is handed to another worker's."""
    setting = Path("/proc/sys/net/ipv4/tcp_migrate_req")
    before = setting.read_text()
    if before.strip() == "1":
        yield
        return
    if not os.access(setting, os.W_OK):
        pytest.skip(
            "Only root may set net.ipv4.tcp_migrate_req, without which a client is cut off now and then."
        )
    setting.write_text("1")
    yield
    setting.write_text(before)


def children(pid):
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return {int(child) for child in path.read_text().split()} if path.exists() else set()


def renew_workers(server):
    before = children(server.process.pid)
    server.process.send_signal(signal.SIGHUP)
    assert eventually(lambda: len(now := children(server.process.pid)) == WORKERS and not before & now)


def migrate():
    for app, migration in LAST.items():
        manage("migrate", "--no-input", app, migration)
    manage("migrate", "--no-input")


def test_no_request_is_lost(tmp_path, people, waiting_clients_move):
    size = {"WEB_WORKERS": str(WORKERS)}
    with ExitStack() as new, running(tmp_path / "old", **size) as old, Clients(old.port, people) as clients:
        for _ in range(3):
            renew_workers(old)
            time.sleep(1)
        migrate()
        # A release: a new master takes the same port, then the old one ends.
        master = new.enter_context(running(tmp_path / "new", port=old.port, **size))
        assert eventually(lambda: len(children(master.process.pid)) == WORKERS)
        old.process.terminate()
        assert old.process.wait(60) == 0
        assert eventually(lambda: clients.asked >= REQUESTS, seconds=300)
        clients.stop()
    assert clients.failures == []
    assert clients.answers.keys() == {200}
    for person in people:
        with org_context(person.organization_id):
            assert User.objects.get().name == clients.names[person.user.id]


def kill_workers(server, clients, count):
    before, asked = children(server.process.pid), clients.asked
    for pid in sorted(before)[:count]:
        os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: clients.answers.total() > asked + 500, seconds=60)
    assert eventually(lambda: len(children(server.process.pid)) == WORKERS)


def test_killed_workers_take_no_more_than_what_they_had(tmp_path, people):
    kills = 4
    with (
        running(tmp_path / "log", WEB_WORKERS=str(WORKERS)) as server,
        Clients(server.port, people) as clients,
    ):
        for _ in range(kills):
            kill_workers(server, clients, 1)
        # A client waits for one answer at a time.
        assert 0 < len(clients.failures) <= kills * CLIENTS
        # Without any worker connections are refused, for the moment that new ones take.
        kill_workers(server, clients, WORKERS)
        clients.stop()
    assert clients.answers.keys() == {200}
    for person in people:
        with org_context(person.organization_id):
            name = User.objects.get().name
        assert name in (clients.names.get(person.user.id, "Ada"), clients.unsure.get(person.user.id))
