"""An application that tells how many requests it serves at once. gunicorn runs it with the platform's configuration."""

import gc
import threading
import time

now = 0
lock = threading.Lock()
kept = []


def application(environ, start_response):
    """GET /SECONDS takes so long, and answers how many were served when it began.

    GET /keep makes 50,000 objects that stay, and answers how many the garbage collector goes through.
    """
    path = environ["PATH_INFO"][1:]
    body = (keep() if path == "keep" else serve(float(path))).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def serve(seconds):
    global now
    with lock:
        now += 1
        seen = now
    time.sleep(seconds)
    with lock:
        now -= 1
    return str(seen)


def keep():
    kept.append([[] for _ in range(50_000)])
    return str(len(gc.get_objects()))
