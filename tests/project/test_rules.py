"""What is forbidden is found; `make check` runs the same."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project.launching import ROOT
from tests.project.rules import problems

BROKEN = [
    ("SAAS001", 'cursor.execute(f"SELECT {name} FROM users")'),
    ("SAAS001", 'cursor.execute("SELECT name FROM users WHERE id = %s" % id)'),
    ("SAAS001", 'cursor.execute("SELECT name FROM users WHERE id = " + id)'),
    ("SAAS001", 'cursor.execute("SELECT name FROM users WHERE id = {}".format(id))'),
    ("SAAS001", 'User.objects.raw(f"{query}")'),
    ("SAAS001", 'STATEMENT = f"CREATE POLICY mine ON {table} USING (true)"'),
    ("SAAS001", 'cursor.execute(f"DELETE FROM {table}")  # noqa: SAAS001'),
    ("SAAS002", "cursor.execute(\"SELECT set_config('app.current_org_id', %s, true)\", [id])"),
    ("SAAS002", "cursor.execute(\"SELECT tenancy.set_context('org', %s, %s)\", [id, proof])"),
    ("SAAS002", 'NAME = "app.current_staff"'),
    ("SAAS002", "cursor.execute(\"SET LOCAL app.tenant = '1'\")"),
]
ALLOWED = [
    'cursor.execute("SELECT name FROM users WHERE id = %s", [id])',
    'connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))',
    'cursor.execute(f"DELETE FROM {table}")  # noqa: SAAS001 - a quoted name',
    'cursor.execute(f"DELETE FROM {table}")  # noqa: S608 - a quoted name',
    'message = f"Select {count} rows"',
    'cursor.execute("RESET ALL")',
]
# Ruff's, beside those: a program through a shell, a weak hash, a file where anybody writes, an unverified certificate.
UNSAFE = [
    ("S602", "subprocess.run(command, shell=True)"),
    ("S603", "subprocess.run([program])"),
    ("S608", 'cursor.execute(f"SELECT name FROM users WHERE id = {id}")'),
    ("S324", "hashlib.md5(text)"),
    ("S308", "mark_safe(text)"),
    ("S301", "pickle.loads(body)"),
    ("S501", "requests.get(url, verify=False)"),
    ("S105", 'password = "sesame-open"'),
    ("S101", "assert is_allowed"),
]
IMPORTS = (
    "import hashlib, pickle, subprocess\nimport requests\nfrom django.utils.safestring import mark_safe\n"
)


def broken_rules(tmp_path, name, text):
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_text(f"{text}\n")
    return [message.partition(" ")[0] for _, message in problems(tmp_path)]


class TestOurRules:
    def test_nothing_of_ours_breaks_them(self):
        assert list(problems(ROOT)) == []

    @pytest.mark.parametrize(("rule", "line"), BROKEN)
    def test_it_finds(self, tmp_path, rule, line):
        assert broken_rules(tmp_path, "billing/services/x.py", line) == [rule]

    @pytest.mark.parametrize("line", ALLOWED)
    def test_it_allows(self, tmp_path, line):
        assert broken_rules(tmp_path, "billing/services/x.py", line) == []

    def test_the_context_is_set_in_its_place(self, tmp_path):
        line = "SET = \"SELECT set_config('app.current_org_id', %s, true)\""
        assert broken_rules(tmp_path, "tenancy/context.py", line) == []

    @pytest.mark.parametrize("text", ["{{ name|safe }}", "{{ name | safe }}", "{% autoescape off %}"])
    def test_it_finds_unescaped_text(self, tmp_path, text):
        assert broken_rules(tmp_path, "templates/accounts/x.html", text) == ["SAAS003"]


@pytest.mark.parametrize("package", ["billing", "tenancy", "deploy"])
def test_ruff_finds_what_is_unsafe(package):
    """In the packages of the product; the file is where its name says, for the settings' sake, but on no disk."""
    text = IMPORTS + "\n".join(line for _, line in UNSAFE)
    command = [sys.executable, "-m", "ruff", "check", "--quiet", "--output-format=concise", "--no-cache"]
    command += ["--stdin-filename", f"{package}/x.py", "-"]
    done = subprocess.run(command, input=text, cwd=ROOT, capture_output=True, text=True, check=False)
    for number, (rule, line) in enumerate(UNSAFE, start=len(IMPORTS.splitlines()) + 1):
        assert f"x.py:{number}:" in done.stdout, line
        assert any(f":{number}:" in found and rule in found for found in done.stdout.splitlines()), line


@pytest.mark.parametrize("module", ["billing/plans.py", "saas/health.py", "accounts/tasks.py"])
def test_stripe_is_imported_in_one_place(tmp_path, module):
    for package in ("accounts", "billing", "saas", "support", "tenancy"):
        shutil.copytree(ROOT / package, tmp_path / package)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / module).open("a") as file:
        file.write("import stripe\n")
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Stripe is known in one place BROKEN" in done.stdout, done.stdout
    assert "KEPT" in done.stdout
