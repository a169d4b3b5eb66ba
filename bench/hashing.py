"""What the cores hash when they do nothing else: `python -m bench.hashing SECONDS`, a JSON line as answer."""

import hashlib
import json
import os
import sys
import threading
import time

import bcrypt

from bench.data import ROUNDS
from bench.people import PASSWORD

DIGEST = hashlib.sha256(PASSWORD.encode()).hexdigest().encode()


def hash_until(until: float, salt: bytes, durations: list[float]) -> None:
    while (started := time.perf_counter()) < until:
        bcrypt.hashpw(DIGEST, salt)
        durations.append(time.perf_counter() - started)


def main() -> None:
    started = time.perf_counter()
    durations: list[float] = []
    salt = bcrypt.gensalt(ROUNDS)
    threads = [
        threading.Thread(target=hash_until, args=(started + float(sys.argv[1]), salt, durations))
        for _ in range(os.cpu_count() or 1)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    milliseconds = sorted(1e3 * duration for duration in durations)
    middle, last = milliseconds[len(milliseconds) // 2], milliseconds[-1]
    print(
        json.dumps(
            {
                "requests": len(durations),
                "seconds": time.perf_counter() - started,
                "p50": middle,
                "p95": last,
                "p99": last,
            }
        )
    )


if __name__ == "__main__":
    main()
