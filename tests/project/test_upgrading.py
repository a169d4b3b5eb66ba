"""docs/upgrading.md: its commands as they stand, on a database of their own."""

import os
import re
import subprocess
import sys

from django.conf import settings
from django.core.management import get_commands

from tests.conftest import copy_database, with_database
from tests.project.launching import ROOT

DOCUMENT = (ROOT / "docs" / "upgrading.md").read_text()


def test_the_commands_of_an_upgrade_work(own_database, superuser_url):
    name = f"{own_database}_upgrade"
    copy_database(superuser_url, name)
    (block,) = re.findall(r"```sh upgrade\n(.*?)```", DOCUMENT, re.DOTALL)
    timeout = "from django.db import connections as c; print(c['owner'].cursor().execute('SHOW lock_timeout').fetchone())"
    (options,) = re.findall(r"^ *(PGOPTIONS=.*) manage\.py", block, re.MULTILINE)
    script = block + f'{options} manage.py shell --no-imports -c "{timeout}"'
    environment = dict(os.environ)
    for variable in settings.DATABASE_ROLES.values():
        environment[variable] = with_database(environment[variable], name)
    done = subprocess.run(
        ["bash", "-euc", script.replace("manage.py", f"{sys.executable} manage.py")],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "No planned migration operations" in done.stdout
    assert "Context keys accepted" in done.stdout
    assert "The fence is whole." in done.stdout
    assert "('5s',)" in done.stdout


def test_every_command_that_is_named_exists():
    named = set(re.findall(r"manage\.py (\w+)", DOCUMENT))
    assert {"backup", "migrate", "doctor", "restore"} <= named
    assert named <= set(get_commands())
