"""gunicorn with production's settings, and nginx in front of it, as production has them."""

import os
import subprocess
import sys

import pytest
from django.conf import settings

from tests.deploy.proxying import proxying
from tests.project.serving import PRODUCTION, running


@pytest.fixture(scope="session")
def web(own_database, tmp_path_factory):
    folder = tmp_path_factory.mktemp("web")
    environment = {**PRODUCTION, "STATIC_ROOT": str(folder / "static")}
    command = [sys.executable, "manage.py", "collectstatic", "--no-input", "--verbosity=0"]
    # Others' files are many, and take long to compress.
    command += ["--ignore=drf_spectacular_sidecar", "--ignore=rest_framework", "--ignore=admin"]
    subprocess.run(command, cwd=settings.BASE_DIR, env={**os.environ, **environment}, check=True)
    with running(folder / "log", **environment) as server:
        yield server


@pytest.fixture(scope="session")
def proxy(web, tmp_path_factory):
    with proxying(tmp_path_factory.mktemp("nginx"), web.port) as proxy:
        yield proxy
