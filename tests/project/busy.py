"""An application that tells how many requests it serves at once. gunicorn runs it with the platform's configuration."""

import threading
import time

now = 0
lock = threading.Lock()


def application(environ, start_response):
    """GET /SECONDS takes so long, and answers how many were served when it began."""
    global now
    with lock:
        now += 1
        seen = now
    time.sleep(float(environ["PATH_INFO"][1:]))
    with lock:
        now -= 1
    body = str(seen).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
