"""Asks for known vulnerabilities of everything that is locked: python -m saas.launcher.audit [pip-audit's options]

pip-audit alone finds nothing also where nobody answers that knows anything. So it has to find something first.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

# Its holes are known since 2019, and a version that was published keeps them.
VULNERABLE = "django==2.2.1"
PIP_AUDIT = (sys.executable, "-m", "pip_audit", "--strict", "--disable-pip", "--progress-spinner=off")
SILENT = (
    f"Nothing was checked: whoever was asked for vulnerabilities does not know those of {VULNERABLE}. `make audit` "
    "needs a network in which the advisory service answers (PyPI's, or another one: ARGS='--vulnerability-service osv')."
)


def knows_vulnerabilities(options: list[str]) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder) / "requirements.txt"
        requirements.write_text(f"{VULNERABLE}\n")
        command = [*PIP_AUDIT, "--no-deps", "--format=json", "-r", str(requirements), *options]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    try:
        return any(found["vulns"] for found in json.loads(done.stdout)["dependencies"])
    except (ValueError, KeyError):
        return False


def audit(options: list[str]) -> int:
    """pip-audit's exit code: 0 means that the service was asked about every package and knows of nothing."""
    locks = [part for path in sorted(Path().glob("requirements*.lock")) for part in ("-r", str(path))]
    return subprocess.run([*PIP_AUDIT, "--require-hashes", *locks, *options], check=False).returncode


if __name__ == "__main__":
    if not knows_vulnerabilities(sys.argv[1:]):
        sys.exit(SILENT)
    sys.exit(audit(sys.argv[1:]))
