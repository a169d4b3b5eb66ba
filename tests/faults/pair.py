"""A PostgreSQL of one's own and its standby, which has all that the first one acknowledged."""

import os
import shutil
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit, urlunsplit

import psycopg
from django.conf import settings
from django.db import connections

from saas.launcher.servers import Postgres
from tenancy.bootstrap import bootstrap
from tests.conftest import manage, role_passwords
from tests.project.launching import eventually

DATABASE = "saas_pair"
MAY_REPLICATE = "host replication all 127.0.0.1/32 scram-sha-256\n"


class Pair:
    """`first` serves; `second` follows it, until it is promoted."""

    def __init__(self, directory):
        self.first = Postgres(directory / "first")
        self.second = Postgres(directory / "second")

    def start(self):
        self.first.start()
        bootstrap(self.first.url, database=DATABASE, passwords=role_passwords())
        manage("migrate", "--verbosity=0", **self.environment(self.first))
        self.first.stop()
        with (self.first.data_dir / "pg_hba.conf").open("a") as file:
            file.write(MAY_REPLICATE)
        shutil.copytree(self.first.data_dir, self.second.data_dir, dirs_exist_ok=True)
        source = f"host=127.0.0.1 port={self.first.port} user=postgres password={self.first.password}"
        with (self.second.data_dir / "postgresql.auto.conf").open("a") as file:
            file.write(f"primary_conninfo = '{source}'\n")
        (self.second.data_dir / "standby.signal").touch()
        self.second.password = self.first.password
        self.first.start()
        self.second.start()
        # From here on a commit is acknowledged once both have it.
        self.first_does("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
        assert eventually(self._is_in_step)

    def _is_in_step(self):
        with psycopg.connect(self.first.url) as superuser:
            rows = superuser.execute("SELECT sync_state FROM pg_stat_replication").fetchall()
        return rows == [("sync",)]

    def first_does(self, *statements):
        with psycopg.connect(self.first.url, autocommit=True) as superuser:
            for statement in statements:
                superuser.execute(statement)

    def promote(self):
        with psycopg.connect(self.second.url, autocommit=True) as superuser:
            assert superuser.execute("SELECT pg_promote()").fetchone() == (True,)

    def stop(self):
        for server in (self.first, self.second):
            server.stop()

    def environment(self, *servers):
        """The variables of whoever asks these servers: the first of them that takes writes."""
        return {name: _address(os.environ[name], servers) for name in settings.DATABASE_ROLES.values()}


def _address(url, servers):
    parts = urlsplit(url)
    hosts = ",".join("127.0.0.1" for _ in servers)
    ports = ",".join(str(server.port) for server in servers)
    query = f"host={hosts}&port={ports}&target_session_attrs=read-write"
    credentials = f"{parts.username}:{parts.password}@"
    return urlunsplit(parts._replace(netloc=credentials, path=f"/{DATABASE}", query=query))


@contextmanager
def serving_this_process(server):
    """Django's connections of this process go to another server."""
    with ExitStack() as restore:
        for alias in settings.DATABASE_ROLES:
            connections[alias].close()
            known = connections[alias].settings_dict
            restore.callback(known.update, {name: known[name] for name in ("HOST", "PORT", "NAME")})
            restore.callback(connections[alias].close)
            known.update(HOST="127.0.0.1", PORT=str(server.port), NAME=DATABASE)
        yield
