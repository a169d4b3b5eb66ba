import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def clean_environment(**variables):
    """Ours without what a test run was given, so that the launcher sees just `variables`."""
    own = ("DATABASE_URL", "REDIS_URL", "HOST", "PORT", "MAKELEVEL", "TEST_")
    kept = {name: value for name, value in os.environ.items() if not any(part in name for part in own)}
    return kept | {"PYTHONPATH": str(ROOT)} | variables


def is_alive(pid):
    try:
        status = Path(f"/proc/{pid}/stat").read_text() if sys.platform == "linux" else ""
        os.kill(pid, 0)
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[:1] != ["Z"]


def eventually(condition, *, seconds=30, every=0.05):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
    return True
