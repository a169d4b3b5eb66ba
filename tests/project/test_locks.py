"""What is installed is what the lock files say, down to the bytes."""

import hashlib
import os
import re
import subprocess
import sys
import zipfile
from itertools import combinations

import pytest

from tests.project.launching import ROOT

LOCKS = {path.stem: path for path in ROOT.glob("requirements*.lock")}
PINNED = re.compile(r"^([\w.-]+)(?:\[[\w,]+\])?==([^\s;]+)", re.MULTILINE)
LOCKED = re.compile(
    r"^([\w.-]+)==([^\s;]+)(?: ;[^\n]*?)? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.M
)
INSTALLS = re.compile(r"pip install [^`\n]*-r [^`\n]*")
OTHER = "0" * 64


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(path, pattern=PINNED):
    return {normal(match[1]): match[2] for match in pattern.finditer(path.read_text())}


class TestLocks:
    def test_each_file_of_requirements_has_one(self):
        assert {path.stem for path in ROOT.glob("requirements*.txt")} == set(LOCKS)

    @pytest.mark.parametrize("name", LOCKS)
    def test_every_requirement_is_in_it(self, name):
        wanted = pinned(ROOT / f"{name}.txt")
        assert wanted
        assert wanted.items() <= pinned(LOCKS[name]).items(), "run `make lock`"

    @pytest.mark.parametrize("name", LOCKS)
    def test_every_package_has_hashes(self, name):
        assert pinned(LOCKS[name]) == pinned(LOCKS[name], LOCKED)

    @pytest.mark.parametrize("name", LOCKS)
    def test_no_line_says_where_to_look(self, name):
        lines = [line.strip() for line in LOCKS[name].read_text().splitlines()]
        assert not [
            line
            for line in lines
            if "://" in line or (line.startswith("-") and not line.startswith("--hash="))
        ]

    def test_they_agree(self):
        for one, other in combinations(map(pinned, LOCKS.values()), 2):
            for name in one.keys() & other.keys():
                assert one[name] == other[name], name

    def test_production_has_what_the_image_has(self):
        production, image = (pinned(LOCKS[name]) for name in ("requirements", "requirements-observability"))
        assert production.items() <= image.items()


def test_nothing_installs_without_hashes():
    places = [
        ROOT / "Makefile",
        ROOT / "README.md",
        *(ROOT / "deploy").rglob("*"),
        *(ROOT / "docs").rglob("*.md"),
    ]
    places += [*(ROOT / "saas").rglob("*.py")]
    found = [
        line
        for path in places
        if path.is_file()
        for line in INSTALLS.findall(path.read_text(errors="ignore"))
    ]
    assert len(found) >= 5, found
    assert all("--require-hashes" in line and "--only-binary=:all:" in line for line in found), found


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    folder = tmp_path_factory.mktemp("environment") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    return folder / "bin" / "python"


class Shop:
    """A folder with lock files and wheels; its installer can reach nothing else."""

    def __init__(self, folder, python):
        self.folder = folder
        self.python = python
        self.venv = python.parents[1]
        self.lock("embedded", self.wheel("servers"))

    def wheel(self, name):
        """Its line of a lock file."""
        path = self.folder / f"{name}-1.0-py3-none-any.whl"
        info = f"{name}-1.0.dist-info"
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.writestr(f"{name}.py", "")
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(
                f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n"
            )
        return f"{name}==1.0 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"

    def lock(self, name, *lines):
        (self.folder / f"requirements-{name}.lock").write_text("".join(lines))

    def install(self, name):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PIP_CONFIG_FILE": os.devnull}
        environment |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.folder)}
        command = [sys.executable, "-m", "saas.launcher.install", self.venv, f"requirements-{name}.lock"]
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )

    def has(self, name):
        return subprocess.run([self.python, "-c", f"import {name}"], capture_output=True).returncode == 0

    def is_stamped(self, name):
        return (self.venv / f"installed-requirements-{name}").exists()


def tampered(line):
    return f"{line.partition(':')[0]}:{OTHER}\n"


class TestInstall:
    @pytest.fixture
    def shop(self, tmp_path, python):
        return Shop(tmp_path, python)

    def test_it_works(self, shop):
        shop.lock("good", shop.wheel("good"))
        done = shop.install("good")
        assert done.returncode == 0, done.stderr
        assert shop.has("good")
        assert shop.has("servers")
        assert shop.is_stamped("good")

    def test_it_refuses_other_bytes(self, shop):
        shop.lock("other", tampered(shop.wheel("other")))
        done = shop.install("other")
        assert done.returncode != 0
        assert "DO NOT MATCH THE HASHES" in done.stderr
        assert not shop.has("other")
        assert not shop.is_stamped("other")

    def test_it_refuses_what_has_no_hash(self, shop):
        shop.lock("bare", shop.wheel("bare").partition(" ")[0] + "\n")
        done = shop.install("bare")
        assert done.returncode != 0
        assert "hash" in done.stderr
        assert not shop.has("bare")

    def test_it_refuses_servers_of_other_bytes(self, shop):
        shop.lock("fine", shop.wheel("fine"))
        shop.lock("embedded", tampered(shop.wheel("postgres_of_nobody")))
        assert shop.install("fine").returncode != 0
        assert not shop.is_stamped("fine")

    def test_it_goes_on_without_servers_for_the_platform(self, shop):
        shop.lock("plain", shop.wheel("plain"))
        shop.lock("embedded", f"nowhere==1.0 --hash=sha256:{OTHER}\n")
        done = shop.install("plain")
        assert done.returncode == 0, done.stderr
        assert "No embedded servers for this platform" in done.stdout
        assert shop.is_stamped("plain")
