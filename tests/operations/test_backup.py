import json
import os
import signal
import stat
import subprocess
import sys
import time

import pytest

from saas.operations.fingerprints import tables
from saas.operations.manifests import SUFFIX

LAST_SESSION = "SELECT id FROM accounts_session ORDER BY id DESC LIMIT 1"
# Steps of a restore, then as much of a death as there is.
DIE_AFTER = """
import django, os, pathlib, signal, sys
django.setup()
from saas.operations.databases import only_operation
from saas.operations.restore import Restore
with only_operation() as superuser:
    restore = Restore(pathlib.Path(sys.argv[1]), superuser, replace=True)
    for name, step in restore.steps:
        step()
        if name == sys.argv[2]:
            os.kill(os.getpid(), signal.SIGKILL)
"""
STEPS = ["fill", "verify", "migrate", "end sessions", "swap"]


def content(platform, name=None):
    """Of every table: how many rows, and their checksum."""
    with platform.connect(name) as owner:
        return tables(owner)


def manifest_of(dump):
    return dump.with_name(dump.name + SUFFIX)


def refusal(done):
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr


class TestBackup:
    def test_the_manifest_says_what_is_in_every_table(self, platform, backup):
        written = json.loads(manifest_of(backup).read_text())
        found = {name: (each["rows"], each["checksum"]) for name, each in written["tables"].items()}
        assert found["public.accounts_session"][0] == 21
        assert found == content(platform)

    def test_it_is_its_owners_alone(self, backup):
        for path in (backup, manifest_of(backup)):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_what_is_written_meanwhile_does_not_disturb_it(self, platform, tmp_path):
        writer = platform.start("-c", WRITER)
        try:
            done = platform.manage("backup", str(tmp_path), "--json")
        finally:
            writer.kill()
            writer.wait()
        assert done.returncode == 0, done.stderr
        assert platform.ask("SELECT count(*) FROM tenancy_organization")[0][0] > 21
        assert json.loads(done.stdout)["tables"] == len(content(platform))

    def test_a_killed_one_leaves_no_file_that_looks_whole(self, platform, tmp_path):
        """Killed while it waits for a table that somebody holds."""
        with platform.connect() as holder, holder.transaction():
            holder.execute("LOCK TABLE accounts_session")
            saving = platform.start("manage.py", "backup", str(tmp_path))
            wait_until(lambda: platform.ask("SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))
            os.killpg(saving.pid, signal.SIGKILL)
            saving.wait()
        assert not list(tmp_path.glob("saas*"))
        assert list(tmp_path.glob(".*.unfinished"))
        done = platform.manage("backup", str(tmp_path))
        assert done.returncode == 0, done.stderr
        assert not list(tmp_path.glob(".*"))

    def test_a_hole_in_the_fence_is_no_backup(self, platform, tmp_path):
        platform.change("DROP POLICY accounts_user_fence ON accounts_user")
        assert "accounts_user_fence is missing" in refusal(platform.manage("backup", str(tmp_path)))
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("variable", ["BOOTSTRAP_DATABASE_URL", "OWNER_DATABASE_URL"])
    def test_it_says_what_is_missing(self, platform, tmp_path, variable):
        environment = {**os.environ, variable: ""}
        done = subprocess.run(
            [sys.executable, "manage.py", "backup", str(tmp_path)],
            env=environment,
            capture_output=True,
            text=True,
        )
        assert f"{variable} is not set" in refusal(done)


class TestRestore:
    def test_backup_destroy_restore(self, platform, backup):
        before = content(platform)
        platform.destroy()
        assert platform.databases() == set()
        done = platform.manage("restore", str(backup))
        assert done.returncode == 0, done.stderr
        after = content(platform)
        sessions = platform.ask("SELECT DISTINCT revoke_reason FROM accounts_session")
        assert after.keys() == before.keys()
        assert {name: each.rows for name, each in after.items()} == {
            name: each.rows for name, each in before.items()
        }
        # The sessions were ended, and nothing else is another.
        assert {name for name in after if after[name] != before[name]} == {"public.accounts_session"}
        assert sessions == [("restored",)]
        isolation = platform.manage("check_isolation")
        assert isolation.returncode == 0, isolation.stdout
        # The runtime roles and the context's keys work there.
        ended = platform.manage("revoke_tokens", "--all", "--dry-run")
        assert ended.stdout == "0 sessions would be ended\n", ended.stderr

    def test_an_old_one_is_put_aside(self, platform, backup):
        platform.change("DELETE FROM accounts_session")
        assert "--replace" in refusal(platform.manage("restore", str(backup)))
        done = platform.manage("restore", str(backup), "--replace", "--json")
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout)
        assert report["sessions_ended"] == 21
        assert platform.databases() == {platform.name, report["put_aside"]}
        assert platform.ask("SELECT count(*) FROM accounts_session") == [(21,)]
        assert platform.ask("SELECT count(*) FROM accounts_session", name=report["put_aside"]) == [(0,)]

    @pytest.mark.parametrize(
        "thing",
        ["CREATE SCHEMA erp; CREATE TABLE erp.orders ()", "CREATE VIEW one AS SELECT 1", "CREATE SEQUENCE s"],
    )
    def test_anothers_database_is_not_empty(self, thing, platform, backup):
        platform.destroy()
        platform.make_empty()
        platform.change(thing)
        assert "--replace" in refusal(platform.manage("restore", str(backup)))

    @pytest.mark.parametrize(("command", "suffix"), [("backup", "_verified"), ("restore", "_restored")])
    def test_anothers_database_is_in_the_way(self, command, suffix, platform, backup, tmp_path):
        name = f"{platform.name}{suffix}"
        platform.make_empty(name)
        where = [str(tmp_path)] if command == "backup" else [str(backup), "--replace"]
        assert "made by somebody else" in refusal(platform.manage(command, *where))
        assert name in platform.databases()

    def test_a_dry_run_changes_nothing(self, platform, backup):
        before = content(platform)
        done = platform.manage("restore", str(backup), "--replace", "--dry-run")
        assert "would be restored" in done.stdout, done.stderr
        assert (content(platform), platform.databases()) == (before, {platform.name})

    def test_kept_sessions_are_those_that_were_not_ended_since(self, platform, backup):
        ((ended,),) = platform.ask(LAST_SESSION)
        platform.change("UPDATE accounts_session SET revoked_at = now() WHERE id = %s", ended)
        done = platform.manage("restore", str(backup), "--replace", "--keep-sessions")
        assert done.returncode == 0, done.stderr
        assert platform.ask("SELECT id FROM accounts_session WHERE revoked_at IS NOT NULL") == [(ended,)]

    def test_without_the_old_database_no_session_is_kept(self, platform, backup):
        platform.destroy()
        assert "--keep-sessions needs" in refusal(platform.manage("restore", str(backup), "--keep-sessions"))

    def test_nobody_may_be_in_the_old_database(self, platform, backup):
        with platform.connect(variable="DATABASE_URL"):
            done = platform.manage("restore", str(backup), "--replace")
        assert "in use by saas_app (1): stop web and worker" in refusal(done)

    def test_killed_after_any_step_a_whole_database_is_there(self, platform, backup):
        """Each restore also begins with what the one before it left."""
        before = content(platform)
        for step in STEPS:
            dead = platform.start("-c", DIE_AFTER, str(backup), step)
            assert dead.wait() == -signal.SIGKILL
            after = content(platform)
            assert {name for name in after if after[name] != before[name]} <= {"public.accounts_session"}
        assert platform.manage("restore", str(backup), "--replace").returncode == 0


class TestSpoiled:
    def spoil_and_restore(self, platform, backup):
        platform.destroy()
        message = refusal(platform.manage("restore", str(backup)))
        assert platform.databases() == set()
        return message

    def test_a_truncated_dump(self, platform, backup):
        with backup.open("r+b") as file:
            file.truncate(backup.stat().st_size - 1)
        assert "bytes, its manifest says" in self.spoil_and_restore(platform, backup)

    @pytest.mark.parametrize("place", [0, 0.5, 1])
    def test_a_flipped_bit(self, platform, backup, place):
        content = bytearray(backup.read_bytes())
        content[int(place * (len(content) - 1))] ^= 1
        backup.write_bytes(content)
        assert "spoiled" in self.spoil_and_restore(platform, backup)

    def test_no_manifest(self, platform, backup):
        manifest_of(backup).unlink()
        assert "has no manifest" in self.spoil_and_restore(platform, backup)

    def test_another_ones_manifest(self, platform, backup, tmp_path):
        platform.change("DELETE FROM accounts_session")
        platform.manage("backup", str(tmp_path / "later"))
        (later,) = (tmp_path / "later").glob(f"*{SUFFIX}")
        later.rename(manifest_of(backup))
        assert "spoiled" in self.spoil_and_restore(platform, backup)

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', '{"format": 2}', "\0"])
    def test_a_manifest_that_is_none(self, platform, backup, text):
        manifest_of(backup).write_text(text)
        assert manifest_of(backup).name in self.spoil_and_restore(platform, backup)

    def test_a_manifest_that_counts_other_rows(self, platform, backup):
        written = json.loads(manifest_of(backup).read_text())
        written["tables"]["public.accounts_user"]["checksum"] = "0" * 32
        manifest_of(backup).write_text(json.dumps(written))
        platform.change("DELETE FROM accounts_session")
        before = content(platform)
        message = refusal(platform.manage("restore", str(backup), "--replace"))
        assert "not what was saved: public.accounts_user has" in message
        assert content(platform) == before

    def test_a_newer_release(self, platform, backup):
        written = json.loads(manifest_of(backup).read_text())
        written["migrations"].append("accounts.9999_future")
        manifest_of(backup).write_text(json.dumps(written))
        assert "lacks the migrations accounts.9999_future" in self.spoil_and_restore(platform, backup)


WRITER = """
import os, psycopg, time
with psycopg.connect(os.environ["OWNER_DATABASE_URL"], autocommit=True) as owner:
    while True:
        owner.execute("INSERT INTO tenancy_organization (id, slug, name, plan, access, support_allowed, created_at) "
            "VALUES (gen_random_uuid(), gen_random_uuid()::text, 'x', 'free', 'full', true, now())")
        time.sleep(0.01)
"""


def wait_until(happens, seconds=20):
    deadline = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)
