"""What load balancers, orchestrators and monitors ask. No answer names a host, a user or a number of rows."""

from concurrent.futures import Future
from typing import Any

from django.conf import settings
from django.db import Error
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from saas import probe
from saas.kit.redis import PoolStatus, RedisUnavailable, ping, pool_status

DATABASE_SECONDS = 0.5
RETRY_AFTER = {"Retry-After": "5"}
BUSY_POOL_PERCENT = 80
SLOW_REDIS_MS = 50


class HealthChecks(serializers.Serializer[Any]):
    database = serializers.CharField(help_text="`ok` or `down`")
    migrations = serializers.CharField(help_text="`ok`, `pending` or `unknown`")
    redis = serializers.CharField(help_text="`ok` or `down`", required=False)


class Health(serializers.Serializer[Any]):
    status = serializers.CharField(help_text="`ok`, `degraded` or `down`")
    version = serializers.CharField()
    checks = HealthChecks(required=False)


class Pool(serializers.Serializer[Any]):
    max_connections = serializers.IntegerField()
    in_use = serializers.IntegerField()
    available = serializers.IntegerField()
    utilization_percent = serializers.FloatField()


class RedisHealth(serializers.Serializer[Any]):
    status = serializers.CharField(help_text="`ok` or `down`")
    latency_ms = serializers.FloatField(allow_null=True)
    environment = serializers.CharField()
    pool = Pool()
    warnings = serializers.ListField(child=serializers.CharField())


class AnyAccept(DefaultContentNegotiation):
    """A monitor gets its answer whatever it says that it accepts."""

    def select_renderer(self, request: Any, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type


class HealthView(APIView):
    authentication_classes = ()
    permission_classes = ()
    content_negotiation_class = AnyAccept
    is_rate_limited = False


class Overall(HealthView):
    """Whether all works: `degraded` without Redis, `down` without PostgreSQL or with migrations pending."""

    @extend_schema(operation_id="health", responses={200: Health, 503: OpenApiResponse(Health, "Down")})
    def get(self, request: Request) -> Response:
        database = probe.database.ask()
        redis = _redis_check()
        checks = {**_database_checks(database), "redis": redis}
        return _answer("down" if _is_down(checks) else "ok" if redis == "ok" else "degraded", checks)


class Live(HealthView):
    """Whether the process answers. It asks nobody else: an outage elsewhere is no reason to restart it."""

    @extend_schema(operation_id="health_live", responses=Health)
    def get(self, request: Request) -> Response:
        return Response({"status": "ok", "version": settings.VERSION})


class Ready(HealthView):
    """Whether requests should be sent here; without Redis they still work."""

    @extend_schema(
        operation_id="health_ready", responses={200: Health, 503: OpenApiResponse(Health, "Not ready")}
    )
    def get(self, request: Request) -> Response:
        checks = _database_checks(probe.database.ask())
        return _answer("down" if _is_down(checks) else "ok", checks)


class RedisState(HealthView):
    """This process's connections to Redis."""

    @extend_schema(
        operation_id="health_redis",
        responses={200: RedisHealth, 503: OpenApiResponse(RedisHealth, "Redis does not answer")},
    )
    def get(self, request: Request) -> Response:
        pool = pool_status()
        try:
            latency_ms = round(ping() * 1000, 2)
        except RedisUnavailable:
            body = _redis_body("down", None, pool, ["Redis does not answer."])
            return Response(body, status=503, headers=RETRY_AFTER)
        return Response(_redis_body("ok", latency_ms, pool, list(_warnings(latency_ms, pool))))


def _redis_check() -> str:
    try:
        ping()
    except RedisUnavailable:
        return "down"
    return "ok"


def _database_checks(answer: Future[bool]) -> dict[str, str]:
    try:
        is_migrated = answer.result(timeout=DATABASE_SECONDS)
    except (Error, TimeoutError):
        return {"database": "down", "migrations": "unknown"}
    return {"database": "ok", "migrations": "ok" if is_migrated else "pending"}


def _is_down(checks: dict[str, str]) -> bool:
    return (checks["database"], checks["migrations"]) != ("ok", "ok")


def _answer(status: str, checks: dict[str, str]) -> Response:
    body = {"status": status, "version": settings.VERSION, "checks": checks}
    if status == "down":
        return Response(body, status=503, headers=RETRY_AFTER)
    return Response(body)


def _redis_body(
    status: str, latency_ms: float | None, pool: PoolStatus, warnings: list[str]
) -> dict[str, Any]:
    return {
        "status": status,
        "latency_ms": latency_ms,
        "environment": settings.DEPLOYMENT_ENV,
        "pool": {
            "max_connections": pool.max_connections,
            "in_use": pool.in_use,
            "available": pool.available,
            "utilization_percent": pool.utilization_percent,
        },
        "warnings": warnings,
    }


def _warnings(latency_ms: float, pool: PoolStatus) -> list[str]:
    warnings = []
    if pool.utilization_percent >= BUSY_POOL_PERCENT:
        warnings.append(f"{BUSY_POOL_PERCENT}% or more of this process's connections are in use.")
    if latency_ms >= SLOW_REDIS_MS:
        warnings.append(f"Redis took {SLOW_REDIS_MS} ms or more to answer.")
    return warnings
