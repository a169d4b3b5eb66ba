"""The context behind PgBouncer in transaction mode, where a connection serves many clients in turn."""

import os
import shutil
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections

from accounts.models import User
from saas.launcher.processes import free_port
from tenancy.context import PlantedStatement, org_context
from tests.project.launching import eventually

CONFIG = """
[databases]
* = host=127.0.0.1 port={server_port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {directory}/users
pool_mode = transaction
default_pool_size = 1
"""


@pytest.fixture
def bouncer(own_database, tmp_path_factory):
    """An alias whose clients all share one server connection."""
    binary = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if binary is None:
        pytest.skip("pgbouncer is not installed")
    direct, port = connections["default"].settings_dict, free_port()
    directory = tmp_path_factory.mktemp("pgbouncer")
    config = directory / "pgbouncer.ini"
    config.write_text(CONFIG.format(server_port=direct["PORT"], port=port, directory=directory))
    (directory / "users").write_text(f'"{direct["USER"]}" "{direct["PASSWORD"]}"\n')
    command = [binary, "-q", str(config)]
    if os.geteuid() == 0:
        # It refuses to run as root; as nobody it has to get at its files.
        for parent in (config, directory, *directory.parents):
            if parent.stat().st_uid == 0 and parent != parent.parent and str(parent).startswith("/tmp/"):
                parent.chmod(0o755 if parent.is_dir() else 0o644)
        command = [*command[:1], "-u", "nobody", *command[1:]]
    with (directory / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        assert eventually(lambda: listens(port)), (directory / "log").read_text()
        # As DATABASE_PREPARED_STATEMENTS=0 says.
        options = {**direct["OPTIONS"], "prepare_threshold": None}
        settings = {**direct, "PORT": str(port), "OPTIONS": options}
        connections.settings["bouncer"] = settings
        yield "bouncer"
    finally:
        connections["bouncer"].close()
        del connections["bouncer"]
        del connections.settings["bouncer"]
        process.terminate()
        process.wait()


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def backend(alias):
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid(), coalesce(current_setting('app.current_org_id', true), '')")
        return cursor.fetchone()


def test_no_context_reaches_the_next_client(bouncer, alice, charlie):
    def visit(person):
        try:
            before = backend(bouncer)
            with org_context(person.organization_id, using=bouncer):
                names = set(User.objects.using(bouncer).values_list("name", flat=True))
                inside = backend(bouncer)
            return names == {person.user.name}, before, inside, backend(bouncer)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        visits = list(pool.map(visit, [alice, charlie] * 20))
    assert all(is_right for is_right, *_ in visits)
    assert {outside for _, before, _, after in visits for outside in (before[1], after[1])} == {""}
    backends = {answer[0] for _, *answers in visits for answer in answers}
    assert len(backends) == 1, "the clients did not share a connection: the test proves nothing"
    assert {inside[1] for _, _, inside, _ in visits} == {
        str(alice.organization_id),
        str(charlie.organization_id),
    }


def test_a_connection_on_which_somebody_planted_a_statement_serves_nobody_else(bouncer, alice):
    before, _ = backend(bouncer)
    with connections[bouncer].cursor() as cursor:
        cursor.execute("PREPARE planted AS SELECT 1")
    with pytest.raises(PlantedStatement), org_context(alice.organization_id, using=bouncer):
        pytest.fail("the context was opened")
    with org_context(alice.organization_id, using=bouncer):
        assert [user.name for user in User.objects.using(bouncer).all()] == [alice.user.name]
    after, _ = backend(bouncer)
    assert after != before
