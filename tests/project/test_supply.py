"""The bill of materials, and the audit that must not pass where it could ask nobody."""

import json
import re
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from saas.launcher.audit import VULNERABLE
from saas.launcher.processes import free_port
from tests.project.launching import ROOT, clean_environment
from tests.project.test_locks import LOCKS, normal, pinned


def make(*arguments):
    return subprocess.run(
        ["make", "--silent", f"VENV={sys.prefix}", *arguments],
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def bill(tmp_path_factory):
    path = tmp_path_factory.mktemp("bill") / "sbom.json"
    done = make("sbom", f"SBOM={path}")
    assert done.returncode == 0, done.stderr
    return json.loads(path.read_text())


class TestBillOfMaterials:
    def test_it_is_the_platforms(self, bill):
        assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
        assert bill["metadata"]["component"]["name"] == "saas-platform"

    def test_it_has_what_the_image_has_and_no_more(self, bill):
        found = {normal(each["name"]): each["version"] for each in bill["components"]}
        assert found == pinned(LOCKS["requirements-observability"])
        assert len(found) == len(bill["components"])
        assert "pytest" not in found

    def test_each_has_its_purl_and_hashes(self, bill):
        text = LOCKS["requirements-observability"].read_text()
        for each in bill["components"]:
            assert each["purl"].lower().startswith(f"pkg:pypi/{normal(each['name'])}@{each['version']}")
            (distribution,) = [ref for ref in each["externalReferences"] if ref["type"] == "distribution"]
            hashes = [digest["content"] for digest in distribution["hashes"] if digest["alg"] == "SHA-256"]
            assert hashes
            assert all(f"--hash=sha256:{digest}" in text for digest in hashes)


class Advisories:
    """Stands in for the advisory service (OSV's API): knows the holes of what it is given, and nothing else."""

    def __init__(self, *vulnerable):
        self.asked = set()
        advisories = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                name, version = query["package"]["name"], query["version"]
                advisories.asked.add((normal(name), version))
                found = {"vulns": [hole(name)]} if f"{name}=={version}" in vulnerable else {}
                body = json.dumps(found).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)


def hole(name):
    package = {"name": name, "ecosystem": "PyPI"}
    return {"id": "PYSEC-0-0", "summary": "A hole", "affected": [{"package": package, "versions": []}]}


@contextmanager
def advising(*vulnerable):
    advisories = Advisories(*vulnerable)
    thread = threading.Thread(target=advisories.server.serve_forever, args=[0.05])
    thread.start()
    try:
        yield advisories
    finally:
        advisories.server.shutdown()
        advisories.server.server_close()
        thread.join()


def audit(port, folder):
    options = (
        f"--vulnerability-service osv --osv-url http://127.0.0.1:{port}/ --cache-dir {folder} --timeout 60"
    )
    return make("audit", f"ARGS={options}")


class TestAudit:
    def test_it_asks_about_every_package(self, tmp_path):
        with advising(VULNERABLE) as advisories:
            done = audit(advisories.server.server_port, tmp_path)
        assert done.returncode == 0, done.stderr
        locked = {
            (name, version)
            for path in LOCKS.values()
            for line in path.read_text().splitlines()
            # Those of other systems are not asked about here.
            if (match := re.match(r"([\w.-]+)==(\S+) \\", line))
            for name, version in [(normal(match[1]), match[2])]
        }
        assert len(locked) > 150
        assert locked <= advisories.asked

    def test_a_vulnerable_package_is_a_failure(self, tmp_path):
        django = f"django=={pinned(LOCKS['requirements'])['django']}"
        with advising(VULNERABLE, django) as advisories:
            done = audit(advisories.server.server_port, tmp_path)
        assert done.returncode != 0
        assert "PYSEC-0-0" in done.stdout

    def test_a_service_that_knows_nothing_is_a_failure(self, tmp_path):
        with advising() as advisories:
            done = audit(advisories.server.server_port, tmp_path)
        assert done.returncode != 0
        assert "Nothing was checked" in done.stderr
        assert len(advisories.asked) == 1

    def test_a_service_that_is_away_is_a_failure(self, tmp_path):
        done = audit(free_port(), tmp_path)
        assert done.returncode != 0
        assert "Nothing was checked" in done.stderr
