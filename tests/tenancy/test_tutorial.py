"""The tutorial's code as it stands, and two apps that refer to each other, each migrated from nothing."""

import json
import os
import re
import subprocess
import sys

import psycopg
import pytest
from django.conf import settings

from tests.conftest import copy_database, with_database

DOCUMENT = settings.BASE_DIR / "docs" / "tenancy.md"
INDEXED = """
from django.db import models

from tenancy.fence import unique_everywhere
from tenancy.models import TenantModel


class Indexed(TenantModel):
    alone = models.CharField(max_length=9, unique=True)
    slug = models.SlugField()
    first = models.CharField(max_length=9)
    together = models.CharField(max_length=9)
    behind = models.CharField(max_length=9)
    backwards = models.CharField(max_length=9)
    old = models.TextField()

    class Meta:
        unique_together = [("old", "organization")]
        constraints = [
            models.UniqueConstraint(fields=["first", "behind"], name="first"),
            models.UniqueConstraint(fields=["organization", "behind"], name="behind"),
            unique_everywhere("backwards", name="backwards"),
        ]
        indexes = [models.Index(fields=["-together", "organization"], name="together")]
"""
REFERRING = """
from django.db import models
from tenancy.models import TenantModel

class {name}(TenantModel):
    title = models.CharField(max_length=20)
    other = models.ForeignKey("{app}.{other}", null=True, on_delete=models.SET_NULL)

    class Meta:
        ordering = ["title"]
"""


def code_block(label):
    return re.search(rf"```python {re.escape(label)}\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)[1]


class Project:
    """A project that has the platform's apps and some more, on a copy of the database."""

    def __init__(self, directory, database, apps):
        self.directory = directory
        names = list(apps)
        (directory / "more_settings.py").write_text(
            f"from saas.settings import *\nINSTALLED_APPS = [*INSTALLED_APPS, *{names!r}]\n"
        )
        for name, models in apps.items():
            (directory / name / "migrations").mkdir(parents=True)
            (directory / name / "__init__.py").touch()
            (directory / name / "migrations" / "__init__.py").touch()
            (directory / name / "models.py").write_text(models)
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "more_settings",
            "PYTHONPATH": os.pathsep.join([str(directory), str(settings.BASE_DIR)]),
        }
        for variable in settings.DATABASE_ROLES.values():
            self.environment[variable] = with_database(os.environ[variable], database)

    def run(self, *arguments):
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=settings.BASE_DIR,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def manage(self, *arguments):
        return self.run("manage.py", *arguments)


@pytest.fixture
def database(own_database, superuser_url):
    name = f"{own_database}_apps"
    copy_database(superuser_url, name)
    return name


@pytest.fixture
def query(database):
    with psycopg.connect(with_database(os.environ["OWNER_DATABASE_URL"], database)) as connection:
        yield lambda sql: connection.execute(sql).fetchall()


def test_the_tutorials_models_are_fenced(tmp_path, database, query):
    project = Project(tmp_path, database, {"projects": code_block("projects/models.py")})
    project.manage("makemigrations", "projects")
    project.manage("migrate", "--verbosity=0")
    assert "The fence is whole." in project.manage("check_isolation")
    forced = query(
        "SELECT relname FROM pg_class WHERE relforcerowsecurity AND relname LIKE 'projects%' ORDER BY 1"
    )
    assert forced == [("projects_project",), ("projects_task",)]
    use = (
        "import django; django.setup()\n"
        "from uuid import uuid4\nfrom tenancy.context import org_context\nfrom tenancy.models import Organization\n"
        "acme, globex = uuid4(), uuid4()\n"
        "for key in (acme, globex):\n"
        "    with org_context(key):\n        Organization.objects.create(id=key, slug=str(key), name='X')\n"
    )
    count = "\nwith org_context(acme):\n    print(Project.objects.count(), Task.objects.count())\n"
    assert project.run("-c", use + code_block("use") + count).split() == ["1", "1"]
    assert "No changes detected" in project.manage("makemigrations", "--check", "projects")
    project.manage("migrate", "--verbosity=0", "projects", "zero")


def test_two_apps_that_refer_to_each_other_migrate_from_nothing(tmp_path, database, query):
    apps = {
        "left": REFERRING.format(name="Left", app="right", other="Right"),
        "right": REFERRING.format(name="Right", app="left", other="Left"),
    }
    project = Project(tmp_path, database, apps)
    project.manage("makemigrations", "left", "right")
    project.manage("migrate", "--verbosity=0")
    keys = query(
        "SELECT conrelid::regclass::text, array_length(conkey, 1) FROM pg_constraint WHERE contype = 'f' "
        "AND conrelid IN ('left_left'::regclass, 'right_right'::regclass) AND confrelid <> 'tenancy_organization'::regclass"
    )
    assert sorted(keys) == [("left_left", 2), ("right_right", 2)]
    assert json.loads(project.manage("check_isolation", "--json")) == []


def test_an_unfenced_model_is_refused(tmp_path, database):
    plain = "from django.db import models\n\nclass Plain(models.Model):\n    name = models.CharField(max_length=9)\n"
    assert "(tenancy.E001) plain.Plain is not fenced" in refusal(tmp_path, database, {"plain": plain})


def test_a_text_indexed_over_all_organizations_is_refused(tmp_path, database):
    said = refusal(tmp_path, database, {"indexed": INDEXED})
    named = re.findall(r"\(tenancy.E006\) indexed.Indexed.(\w+) is indexed over all", said)
    assert sorted(named) == ["alone", "first", "old", "slug", "together"]


def refusal(tmp_path, database, apps):
    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=settings.BASE_DIR,
        env=Project(tmp_path, database, apps).environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    return done.stderr


def test_the_table_of_crossings_is_complete(owner_connection):
    table = DOCUMENT.read_text().partition("## What crosses organizations")[2].partition("##")[0]
    documented = dict.fromkeys(re.findall(r"`([\w.]+)`", table.partition("|---|")[2]))
    functions = owner_connection.execute(
        "SELECT 'tenancy.' || proname, proowner::regrole::text FROM pg_proc WHERE pronamespace = 'tenancy'::regnamespace"
    ).fetchall()
    policies = owner_connection.execute(
        "SELECT policyname, roles[1]::text FROM pg_policies WHERE NOT 'saas_app' = ANY(roles) AND roles[1] <> 'saas_lookup'"
    ).fetchall()
    assert set(documented) == {name for name, _ in [*functions, *policies]}
    for name, role in [*functions, *policies]:
        assert re.search(rf"\| {role} \| .*`{re.escape(name)}`", table), f"{name} is {role}'s"
