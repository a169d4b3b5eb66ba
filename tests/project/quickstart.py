"""docs/quickstart.md, typed as it stands."""

import os
import re
import subprocess

from tests.project.launching import ROOT


def type_quickstart(stack):
    text = (ROOT / "docs" / "quickstart.md").read_text().replace("localhost:8000", f"localhost:{stack.port}")
    blocks = re.findall(r"```sh quickstart\n(.*?)```", text, re.DOTALL)
    script = "\necho\n".join([*blocks, 'echo "TOKEN $TOKEN"'])
    done = subprocess.run(
        ["bash", "-euc", script],
        cwd=stack.clone,
        env=stack.environment | {"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
