"""The README's walk-through, typed as it stands, against the real server."""

import json
import re
import shutil
import subprocess

import pytest

from tests.project.launching import ROOT
from tests.project.test_gunicorn import running

BLOCK = re.compile(r"```sh walk\n(.*?)```", re.DOTALL)


def walk(port):
    blocks = BLOCK.findall((ROOT / "README.md").read_text())
    # Each command's output on a line of its own.
    script = "\n".join(f"{block}\necho" for block in blocks).replace("localhost:8000", f"127.0.0.1:{port}")
    script = script.replace(
        '"Authorization: Bearer $TOKEN"\ncurl', '"Authorization: Bearer $TOKEN"; echo\ncurl'
    )
    done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, timeout=120, check=True)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_walk_through_works(tmp_path):
    with running(tmp_path / "log") as server:
        registered, me, refreshed, logged_out, refused = walk(server.port)
    assert registered["token_type"] == "Bearer"
    assert me["email"] == "ada@example.com"
    assert me["org"]["name"] == "Analytical"
    assert refreshed["access_token"]
    assert logged_out == {"status": "logged_out"}
    assert (refused["status"], refused["code"]) == (401, "invalid_token")
