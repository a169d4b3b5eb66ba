"""The reference: a bare WSGI callable that does a request's real work, and nothing else, on the same gunicorn."""

import os
import threading
from collections.abc import Callable, Iterable
from typing import Any

import orjson
import psycopg
import redis

from bench import work

SELECT = work.PROFILE.format("%s")
BEGIN = (
    "BEGIN; SELECT set_config('app.current_org_id', %s, true), set_config('app.current_org_proof', %s, true)"
)
cache = redis.Redis.from_url(os.environ["REDIS_URL"], protocol=2)
own = threading.local()


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    bearer = work.verify(environ["HTTP_AUTHORIZATION"])
    if not work.is_admitted(_gate(bearer)):
        start_response("429 Too Many Requests", [("Content-Length", "0")])
        return []
    body = orjson.dumps(work.profile(_row(bearer)), option=orjson.OPT_UTC_Z)
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def _gate(bearer: work.Bearer) -> Any:
    keys = work.gate_keys(bearer)
    try:
        return cache.evalsha(work.GATE_SHA, len(keys), *keys, *work.GATE_ARGS)
    except redis.exceptions.NoScriptError:
        return cache.eval(work.GATE_TEXT, len(keys), *keys, *work.GATE_ARGS)


def _row(bearer: work.Bearer) -> Any:
    """Three round trips: BEGIN with the context, the prepared SELECT, COMMIT."""
    if not hasattr(own, "connection"):
        own.connection = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
        own.begin = psycopg.ClientCursor(own.connection)
    own.begin.execute(BEGIN, work.context(bearer))
    row = own.connection.execute(SELECT, [bearer.user_id], prepare=True).fetchone()
    own.connection.execute("COMMIT")
    return row
