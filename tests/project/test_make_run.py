"""`make run` as a newcomer meets it: a clean clone, and no PostgreSQL, Redis or Docker on PATH."""

import html
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from uuid import uuid4

import pytest

from saas.launcher.account import NOBODY
from saas.launcher.processes import free_port
from tests.project.launching import ROOT, clean_environment, eventually, is_alive
from tests.project.quickstart import type_quickstart

# Python and make, and what a shell can't do without.
ON_PATH = ("make", "sh", "env", "cat", "cp", "ls", "mkdir", "mv", "rm", "test", "true", "uname")
PASSWORD = "a long enough passphrase"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds the processes through /proc")


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    clone = tmp_path_factory.mktemp("clone")
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\0"
    ):
        if name and (ROOT / name).exists():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, clone / name)
    return clone


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    directory = tmp_path_factory.mktemp("path")
    for name in ON_PATH:
        (directory / name).symlink_to(shutil.which(name))
    (directory / "python3").symlink_to(sys.executable)
    return str(directory)


class Stack:
    def __init__(self, clone, path, variables=(), **process):
        self.clone = clone
        self.process = process
        self.port = free_port()
        self.environment = clean_environment(PATH=path, PORT=str(self.port), VENV=sys.prefix)
        # What a test run sets for itself is not a newcomer's.
        for name in (
            "PYTHONPATH",
            "DEPLOYMENT_ENV",
            "SECRET_KEY",
            "TENANCY_CONTEXT_KEYS",
            "JWT_KEYS_DIR",
            "EMAIL_FILE_PATH",
            "PUBLIC_URL",
        ):
            self.environment.pop(name, None)
        for name in ("ALLOWED_HOSTS", "STRIPE_WEBHOOK_SECRET", "DJANGO_SETTINGS_MODULE"):
            self.environment.pop(name, None)
        self.environment |= variables

    def __enter__(self):
        self.log = self.clone / "make-run.log"
        with self.log.open("w") as output:
            self.make = subprocess.Popen(
                ["make", "run"],
                cwd=self.clone,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                **self.process,
            )
        assert eventually(lambda: "Ready after" in self.said or self.make.poll() is not None, seconds=120), (
            self.said
        )
        assert self.make.poll() is None, self.said
        return self

    def __exit__(self, *_):
        if self.make.poll() is None:
            self.make.terminate()
        self.make.wait()

    @property
    def said(self):
        return self.log.read_text()

    @property
    def launcher_pid(self):
        return int((self.clone / ".local" / "lock").read_text())

    def processes(self):
        """Everything below the launcher, gone or not yet gone."""
        parents = {}
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
        found = [self.launcher_pid]
        for pid in found:
            found += [child for child, parent in parents.items() if parent == pid]
        return found

    def call(self, method, path, body=None, token=None):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            method=method,
            data=json.dumps(body).encode() if body is not None else None,
            headers={"Content-Type": "application/json"}
            | ({"Authorization": f"Bearer {token}"} if token else {}),
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def log_in(self):
        """As the demo organization's owner; return the token."""
        log_in = {"email": "demo@example.com", "password": "correct-horse-demo"}
        return self.call("POST", "/auth/login", log_in)[1]["access_token"]

    def becomes(self, status, access, token):
        """Whether the subscription does, once the webhooks are here."""

        def is_so():
            answer = self.call("GET", "/payments/subscription", token=token)[1]
            return (answer["status"], answer["access"]) == (status, access)

        return eventually(is_so)

    def mails(self):
        page = browse(f"http://localhost:{self.port}/dev/mail")
        return [html.unescape(subject) for subject in re.findall(r'mail/[^"]+">([^<]+)</a>', page)]

    def env(self):
        made = subprocess.run(
            ["make", "-s", "env"],
            cwd=self.clone,
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return dict(line.split("=", 1) for line in made.stdout.splitlines())


def test_a_newcomer_registers_logs_in_and_out_and_nothing_outlives_the_launcher(clone, path):
    with Stack(clone, path) as stack:
        assert "from its wheel" in stack.said
        status, health = stack.call("GET", "/health")
        assert (status, health["status"]) == (200, "ok"), health
        registration = {"email": "newcomer@example.com", "password": PASSWORD, "org": "Newcomers"}
        status, answer = stack.call("POST", "/auth/register", registration)
        assert status == 201, answer
        status, answer = stack.call(
            "POST", "/auth/login", {"email": "newcomer@example.com", "password": PASSWORD}
        )
        assert status == 200, answer
        token = answer["access_token"]
        status, me = stack.call("GET", "/users/me", token=token)
        assert (status, me["email"]) == (200, "newcomer@example.com")
        assert stack.call("POST", "/auth/logout", {}, token=token)[0] == 200
        assert stack.call("GET", "/users/me", token=token)[0] == 401
        assert stack.env()["PORT"] == str(stack.port)
        processes = stack.processes()
        assert len(processes) > 5
        assert len(standins(processes)) == 1
        assert "in Stripe's place: this is no Stripe and takes no money" in stack.said
        os.kill(stack.launcher_pid, signal.SIGKILL)
        assert eventually(lambda: not any(is_alive(pid) for pid in processes), seconds=60), stack.said


def test_a_later_start_keeps_the_data_and_prepares_nothing(clone, path):
    with Stack(clone, path) as stack:
        log_in = {"email": "newcomer@example.com", "password": PASSWORD}
        if stack.call("POST", "/auth/login", log_in)[0] == 401:
            stack.call("POST", "/auth/register", log_in | {"org": "Newcomers"})
    with Stack(clone, path) as stack:
        assert "Preparing" not in stack.said
        assert stack.call("POST", "/auth/login", log_in)[0] == 200
        processes = stack.processes()
        stack.make.terminate()
        stack.make.wait()
        assert eventually(lambda: not any(is_alive(pid) for pid in processes), seconds=60), stack.said
        assert not (clone / ".local" / "postgres" / "postmaster.pid").exists()


def test_a_server_that_dies_is_started_again(clone, path):
    with Stack(clone, path) as stack:
        pid = int((clone / ".local" / "postgres" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: "PostgreSQL ended; starting it again" in stack.said)
        assert eventually(lambda: stack.call("GET", "/health")[0] == 200, seconds=60), stack.said


class TestBilling:
    """In a person's steps: what is pressed on the stand-in's pages comes back by its webhook."""

    @pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
    def test_the_readmes_way_from_checkout_to_cancellation(self, clone, path):
        with Stack(clone, path) as stack:
            token = stack.log_in()
            checkout = json.loads(type_readme(stack.port))
            assert "no real money" in browse(checkout["url"])
            press(checkout["url"], "Pay", at=f"{checkout['url']}/pay")
            assert stack.becomes("trialing", "full", token), stack.said
            portal = stack.call("POST", "/payments/portal", {}, token)[1]["url"]
            press(portal, "End trial")
            assert stack.becomes("active", "full", token), stack.said
            press(portal, "Renew now (payment fails)")
            assert stack.becomes("past_due", "read_only", token), stack.said
            assert stack.call("PATCH", f"/users/org/{uuid4()}", {"role": "admin"}, token)[0] == 402
            press(portal, "Retry the failed payment (succeeds)")
            assert stack.becomes("active", "full", token), stack.said
            press(portal, "Cancel now")
            assert stack.becomes("none", "full", token), stack.said
            assert stack.call("GET", "/payments/subscription", token=token)[1]["plan"] == "free"
            expected = ["is on Starter now", "A payment failed", "Payment received", "has ended"]
            assert eventually(
                lambda: all(any(each in mail for mail in stack.mails()) for each in expected), every=1
            ), stack.mails()

    def test_a_stand_in_that_dies_comes_back_with_what_it_knew(self, clone, path):
        with Stack(clone, path) as stack:
            (pid,) = standins(stack.processes())
            os.kill(pid, signal.SIGKILL)
            assert eventually(lambda: "Stripe stand-in ended; starting it again" in stack.said)
            token = stack.log_in()
            checkout = {"plan": "professional"}
            assert eventually(lambda: stack.call("POST", "/payments/checkout", checkout, token)[0] == 201)

    def test_one_that_lost_its_plans_is_told_them_again(self, clone, path):
        with Stack(clone, path):
            pass
        (clone / ".local" / "stripe.json").unlink()
        with Stack(clone, path) as stack:
            assert "Preparing" in stack.said
            assert json.loads((clone / ".local" / "stripe.json").read_text())["prices"]

    def test_whoever_gives_a_key_gets_no_stand_in(self, clone, path):
        with Stack(clone, path, {"STRIPE_SECRET_KEY": "sk_test_of_ours"}) as stack:
            assert standins(stack.processes()) == []
            assert "stand-in" not in stack.said
            assert "sync_plans" in stack.said

    def test_its_events_arrive_under_names_and_a_secret_that_were_given(self, clone, path):
        given = {"ALLOWED_HOSTS": "localhost", "STRIPE_WEBHOOK_SECRET": "whsec_new,whsec_old"}
        with Stack(clone, path, given) as stack:
            registration = {"email": "late@example.com", "password": PASSWORD, "org": "Late"}
            token = stack.call("POST", "/auth/register", registration)[1]["access_token"]
            url = stack.call("POST", "/payments/checkout", {"plan": "starter"}, token)[1]["url"]
            press(url, "Pay", at=f"{url}/pay")
            assert stack.becomes("trialing", "full", token), stack.said


def standins(pids):
    return [pid for pid in pids if b"billing.standin" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def type_readme(port):
    """The README's checkout, typed as it stands; what the last command printed."""
    (block,) = re.findall(r"```sh billing\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    script = block.replace("localhost:8000", f"localhost:{port}")
    return subprocess.run(
        ["bash", "-euc", script], capture_output=True, text=True, timeout=60, check=True
    ).stdout


def browse(url, form=None):
    data = urllib.parse.urlencode(form).encode() if form is not None else None
    with urllib.request.urlopen(url, data, timeout=30) as answer:
        return answer.read().decode()


def press(url, label, *, at=None):
    """Send the form that the page's button stands in, with its hidden fields."""
    # Events carry whole seconds; a person never makes two in one.
    time.sleep(1.1)
    form = next(part for part in browse(url).split("<form")[1:] if f">{label}</button>" in part)
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form))
    button = re.search(rf'<button(?: name="(\w+)" value="(\w+)")?[^>]*>{re.escape(label)}</button>', form)
    if button[1]:
        fields[button[1]] = button[2]
    browse(at or url, fields)


def test_the_demo_organization_can_be_logged_in_to(clone, path):
    with Stack(clone, path) as stack:
        assert "demo@example.com" in stack.said


class TestOrdinaryUser:
    @pytest.fixture
    def stack(self, clone, path, tmp_path):
        if os.geteuid() != 0:
            pytest.skip("the other tests run as an ordinary user already")
        nobodys = Path(tempfile.mkdtemp(prefix="saas-nobody-"))
        shutil.copytree(clone, nobodys / "clone", ignore=shutil.ignore_patterns(".local"), symlinks=True)
        copy_interpreter(nobodys / "venv")
        for place in (nobodys, *nobodys.rglob("*")):
            os.chown(place, NOBODY, NOBODY, follow_symlinks=False)
        stack = Stack(nobodys / "clone", path, user=NOBODY, group=NOBODY, extra_groups=[])
        stack.environment |= {
            "VENV": str(nobodys / "venv"),
            "PYTHONPATH": sysconfig.get_path("purelib"),
            "HOME": str(nobodys),
            "LD_LIBRARY_PATH": str(nobodys / "venv" / "lib"),
            # Others' test directories are closed to nobody.
            "PATH": os.defpath,
        }
        yield stack
        shutil.rmtree(nobodys)

    def test_it_runs(self, stack):
        with stack:
            status, health = stack.call("GET", "/health")
            assert (status, health["status"]) == (200, "ok"), health
            assert {Path(f"/proc/{pid}").stat().st_uid for pid in stack.processes()} == {NOBODY}


def copy_interpreter(prefix):
    """The one that runs the tests may lie where only root can look."""
    base = Path(sys.base_prefix)
    library = Path(sysconfig.get_path("stdlib")).relative_to(base)
    left_out = shutil.ignore_patterns("test", "site-packages", "dist-packages", "__pycache__", "idlelib")
    shutil.copytree(base / library, prefix / library, ignore=left_out)
    for shared in (base / "lib").glob("libpython*.so*"):
        shutil.copy2(shared, prefix / "lib")
    (prefix / "bin").mkdir()
    shutil.copy2(Path(sys.executable).resolve(), prefix / "bin" / "python")


# The last: its app stays in the clone.
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_quickstart_leads_to_an_organization_a_fenced_model_and_a_plan(clone, path):
    with Stack(clone, path) as stack:
        said = type_quickstart(stack)
        me, checkout = (json.loads(line) for line in said.splitlines() if line.startswith("{"))
        assert (me["email"], me["org"]["name"]) == ("grace@example.com", "Compilers")
        assert "The fence is whole." in said
        migration = (stack.clone / "notes" / "migrations" / "0001_initial.py").read_text()
        assert "Fence(" in migration
        press(checkout["url"], "Pay", at=f"{checkout['url']}/pay")
        (token,) = re.findall(r"^TOKEN (.*)$", said, re.MULTILINE)
        assert stack.becomes("trialing", "full", token), stack.said
        assert stack.call("GET", "/payments/subscription", token=token)[1]["plan"] == "starter"
