"""Every setting of the platform. DEPLOYMENT_ENV picks a column of the table; each value has its own variable."""

import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from anymail.exceptions import AnymailNotSupportedWarning
from django.core.exceptions import ImproperlyConfigured

from saas.kit import environment as env
from saas.kit.context_keys import parse_context_keys
from saas.kit.database_url import parse_database_url
from saas.kit.logs import logging_settings
from saas.kit.redis import cache_settings

BASE_DIR = Path(__file__).resolve().parent.parent
VERSION = "0.1.0"

DEPLOYMENT_ENV = env.choice("DEPLOYMENT_ENV", "production", ["development", "staging", "production"])
DEFAULTS: dict[str, Any] = {
    "development": {"web_workers": 1, "redis_connections": 20, "bcrypt_rounds": 12},
    "staging": {"web_workers": 2, "redis_connections": 60, "bcrypt_rounds": 12},
    "production": {"web_workers": 4, "redis_connections": 160, "bcrypt_rounds": 12},
}[DEPLOYMENT_ENV]
IS_DEVELOPMENT = DEPLOYMENT_ENV == "development"

DEBUG = False
SECRET_KEY = env.text("SECRET_KEY")
PUBLIC_URL = env.text("PUBLIC_URL", "http://localhost:8000").rstrip("/")
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
WEB_WORKERS = env.integer("WEB_WORKERS", DEFAULTS["web_workers"], minimum=1, maximum=256)
WEB_THREADS = env.integer("WEB_THREADS", 16, minimum=1, maximum=64)
TRUSTED_PROXY_COUNT = env.integer("TRUSTED_PROXY_COUNT", 0, maximum=10)
METRICS_TOKEN = env.text("METRICS_TOKEN")
WORKER_METRICS_HOST = env.text("WORKER_METRICS_HOST", "127.0.0.1")
WORKER_METRICS_PORT = env.integer("WORKER_METRICS_PORT", 0, maximum=65535)

INSTALLED_APPS = [
    "saas",
    "accounts",
    "billing",
    "support",
    "tenancy",
    "procrastinate.contrib.django",
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "support.apps.AdminWithoutLog",
    "corsheaders",
    "django_prometheus",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]
MIDDLEWARE = [
    "saas.metrics.MetricsMiddleware",
    "saas.middleware.RequestMiddleware",
    "saas.https.HttpsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "saas.middleware.HostMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "saas.pages.PageMiddleware",
    "saas.middleware.BodyLimitMiddleware",
    "saas.access.AccessMiddleware",
]
ROOT_URLCONF = "saas.urls"
WSGI_APPLICATION = "saas.wsgi.application"
APPEND_SLASH = False
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.messages.context_processors.messages",
                "saas.pages.person_and_place",
            ]
        },
    }
]
STATIC_URL = "/static/"
# In development whitenoise finds the files where they lie; elsewhere `collectstatic` puts them here.
STATIC_ROOT = env.text("STATIC_ROOT", "" if IS_DEVELOPMENT else str(BASE_DIR / ".local" / "static")) or None
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = IS_DEVELOPMENT
# Outside development a file's name holds its content's hash, so that clients keep it for good.
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if IS_DEVELOPMENT
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
FORMAT_MODULE_PATH = "saas.formats"
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = "UTC"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Databases: one alias a role. Web needs `default` alone; the others exist where their URL is given.
DATABASE_ROLES = {
    "default": "DATABASE_URL",
    "owner": "OWNER_DATABASE_URL",
    "worker": "WORKER_DATABASE_URL",
    "support": "SUPPORT_DATABASE_URL",
}
DATABASE_MAX_AGE = env.integer("DATABASE_MAX_AGE", 60)
# PostgreSQL plans a query once a connection. PgBouncer in transaction mode mixes that up, but for 1.22 and later.
DATABASE_PREPARED_STATEMENTS = env.boolean("DATABASE_PREPARED_STATEMENTS", True)


def database(url: str) -> dict[str, Any]:
    parsed = parse_database_url(url)
    options = {
        # Literals of a client-side binding show in pg_stat_activity to every session of the same role.
        "server_side_binding": True,
        "prepare_threshold": 5 if DATABASE_PREPARED_STATEMENTS else None,
        "connect_timeout": 3,
        "tcp_user_timeout": 5000,
        **parsed.pop("OPTIONS", {}),
    }
    return {
        "ENGINE": "saas.kit.postgresql",
        **parsed,
        "OPTIONS": options,
        "CONN_MAX_AGE": DATABASE_MAX_AGE,
        "CONN_HEALTH_CHECKS": True,  # without a round trip: saas.kit.postgresql
        # PgBouncer in transaction mode loses server-side cursors.
        "DISABLE_SERVER_SIDE_CURSORS": True,
    }


if not env.text("DATABASE_URL"):
    raise ImproperlyConfigured(
        "DATABASE_URL is not set. `make run` brings its own PostgreSQL; elsewhere give the URL of the role saas_app, "
        "such as postgres://saas_app:password@host:5432/saas"
    )
DATABASES = {alias: database(env.text(name)) for alias, name in DATABASE_ROLES.items() if env.text(name)}
# Its one table is not there: support.apps.AdminWithoutLog.
MIGRATION_MODULES = {"admin": None}
DATABASE_ROUTERS = ["tenancy.routers.RoleRouter"]
TENANCY_CONTEXT_KEYS = parse_context_keys(env.words("TENANCY_CONTEXT_KEYS"))
TENANCY_CONTEXT_SECONDS = env.integer("TENANCY_CONTEXT_SECONDS", 60, minimum=5, maximum=3600)
PROCRASTINATE_DATABASE_ALIAS = "worker"
PROCRASTINATE_ON_APP_READY = "tenancy.jobs.prepare_app"

# Redis
REDIS_URL = env.text("REDIS_URL", "redis://localhost:6379/0")
REDIS_CONNECTIONS = env.integer("REDIS_CONNECTIONS", DEFAULTS["redis_connections"], minimum=1)
CACHES = {"default": cache_settings(REDIS_URL, max_connections=max(1, REDIS_CONNECTIONS // WEB_WORKERS))}

# Accounts and tokens
AUTH_USER_MODEL = "accounts.User"
PASSWORD_HASHERS = ["accounts.hashers.BulkheadPasswordHasher"]
BCRYPT_ROUNDS = env.integer("BCRYPT_ROUNDS", DEFAULTS["bcrypt_rounds"], minimum=4, maximum=16)
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 8}},
    {"NAME": "accounts.passwords.MaximumLengthValidator", "OPTIONS": {"max_length": 128}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "accounts.passwords.SimilarityValidator"},
]
# What this site is called: its host's name, and what else is given.
PASSWORD_WORDS = [part for part in (urlsplit(PUBLIC_URL).hostname or "").split(".") if len(part) > 3]
PASSWORD_WORDS += env.words("PASSWORD_WORDS")
REGISTRATION_MODE = env.choice("REGISTRATION_MODE", "instant", ["instant", "verified"])
JWT_KEYS_DIR = Path(env.text("JWT_KEYS_DIR", str(BASE_DIR / ".local" / "jwt_keys")))
JWT_ISSUER = env.text("JWT_ISSUER", PUBLIC_URL)
JWT_AUDIENCE = env.text("JWT_AUDIENCE", "saas-api")
SESSION_FACTS_SECONDS = env.integer("SESSION_FACTS_SECONDS", 30, maximum=30)
SESSION_DAYS = env.integer("SESSION_DAYS", 90, minimum=1, maximum=3650)
SIMPLE_JWT: dict[str, Any] = {
    "ALGORITHM": "RS256",
    # Keys are read by `kid` from JWT_KEYS_DIR; simplejwt's own single key stays empty.
    "SIGNING_KEY": "",
    "ISSUER": JWT_ISSUER,
    "AUDIENCE": JWT_AUDIENCE,
    "LEEWAY": timedelta(seconds=10),
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=15),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=env.integer("REFRESH_TOKEN_DAYS", 30, minimum=1, maximum=365)),
    "USER_ID_CLAIM": "user_id",
    "TOKEN_TYPE_CLAIM": "token_type",
    "JTI_CLAIM": "jti",
}

# Mail
EMAIL_BACKEND = env.text(
    "EMAIL_BACKEND",
    "django.core.mail.backends.filebased.EmailBackend"
    if IS_DEVELOPMENT
    else "anymail.backends.sendgrid.EmailBackend",
)
EMAIL_FILE_PATH = env.text("EMAIL_FILE_PATH", str(BASE_DIR / ".local" / "mail"))
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.text("DEFAULT_FROM_EMAIL", "no-reply@localhost")
ANYMAIL = {
    "SENDGRID_API_KEY": env.text("SENDGRID_API_KEY"),
    "SENDGRID_API_URL": env.text("SENDGRID_API_URL", "https://api.sendgrid.com/v3/"),
    "SENDGRID_TRACKING_WEBHOOK_VERIFICATION_KEY": env.text("SENDGRID_WEBHOOK_KEY"),
    # Providers that sign nothing send this `user:password` instead.
    "WEBHOOK_SECRET": env.text("MAIL_WEBHOOK_SECRET"),
}
# Until the provider takes the connection, and until it answers: a mail that waits holds up others.
ANYMAIL_REQUESTS_TIMEOUT = (5, 30)

# Billing
STRIPE_SECRET_KEY = env.text("STRIPE_SECRET_KEY")
STRIPE_WEBHOOK_SECRETS = env.words("STRIPE_WEBHOOK_SECRET")
STRIPE_API_BASE = env.text("STRIPE_API_BASE", "https://api.stripe.com").rstrip("/")
BILLING_GRACE_DAYS = env.integer("BILLING_GRACE_DAYS", 0, maximum=90)

# API
REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.api.authentication.VerifiedCaller"],
    "DEFAULT_PERMISSION_CLASSES": ["tenancy.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": ["saas.kit.parsers.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["saas.kit.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "saas.openapi.ProblemAutoSchema",
    "EXCEPTION_HANDLER": "saas.problems.problem_exception_handler",
    "UNAUTHENTICATED_USER": None,
    "UNAUTHENTICATED_TOKEN": None,
    "URL_FORMAT_OVERRIDE": None,
    "DEFAULT_THROTTLE_CLASSES": [],
    "DEFAULT_METADATA_CLASS": "saas.problems.AllowedMethods",
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "saas.kit.parsers.ExactMediaType",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "SaaS platform API",
    "VERSION": VERSION,
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "SERVE_PERMISSIONS": [],
    "SERVE_AUTHENTICATION": [],
}
CORS_ALLOWED_ORIGINS = env.words("CORS_ALLOWED_ORIGINS")
if CORS_ALLOWED_ORIGINS:
    # Before pages, and before anything that a browser's OPTIONS would be refused by.
    MIDDLEWARE.insert(MIDDLEWARE.index("saas.pages.PageMiddleware"), "corsheaders.middleware.CorsMiddleware")
CORS_EXPOSE_HEADERS = ["X-Request-Id", "RateLimit", "RateLimit-Policy", "Retry-After", "ETag"]
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024

# Pages: a cookie holds a session's name alone, and each page defends itself against forged requests (saas.kit.pages).
# Without https a browser takes no cookie by the prefix that ties it to this very host.
COOKIE_PREFIX = "" if IS_DEVELOPMENT else "__Host-"
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
SESSION_COOKIE_NAME = f"{COOKIE_PREFIX}session"
SESSION_COOKIE_AGE = int(SIMPLE_JWT["REFRESH_TOKEN_LIFETIME"].total_seconds())
SESSION_COOKIE_SECURE = not IS_DEVELOPMENT
CSRF_COOKIE_NAME = f"{COOKIE_PREFIX}csrf"
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_SECURE = not IS_DEVELOPMENT
CSRF_FAILURE_VIEW = "saas.problems.forged"
MESSAGE_STORAGE = "saas.page_messages.HostCookieStorage"
LOGIN_URL = "log_in"

# Security headers
# security.W002, W006, W022: these headers are saas.middleware's, on every answer. W003: pages alone are opened by a
# cookie, and each of them checks its forms itself; the API takes tokens, which no other site can send.
# anymail.W003: Anymail no longer supports its SendGrid backend; tests/tenancy/test_sendgrid.py holds it to the contract.
# auth.E003: an address is unique without regard to case, by an expression that the check can't see.
SILENCED_SYSTEM_CHECKS = [
    "auth.E003",
    "security.W002",
    "security.W003",
    "security.W006",
    "security.W022",
    "anymail.W003",
]
warnings.filterwarnings("ignore", category=AnymailNotSupportedWarning)
SECURE_CONTENT_TYPE_NOSNIFF = False
SECURE_REFERRER_POLICY = None
SECURE_CROSS_ORIGIN_OPENER_POLICY = None
SECURE_HSTS_SECONDS = env.integer("SECURE_HSTS_SECONDS", 0 if IS_DEVELOPMENT else 31_536_000)
SECURE_HSTS_INCLUDE_SUBDOMAINS = not IS_DEVELOPMENT
SECURE_HSTS_PRELOAD = not IS_DEVELOPMENT
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXY_COUNT else None
SECURE_SSL_REDIRECT = env.boolean("SECURE_SSL_REDIRECT", not IS_DEVELOPMENT)
SECURE_REDIRECT_EXEMPT = [r"^health", r"^metrics"]

# Off while empty: saas/observability.py
SENTRY_DSN = env.text("SENTRY_DSN")
OTEL_EXPORTER_OTLP_ENDPOINT = env.text("OTEL_EXPORTER_OTLP_ENDPOINT")
if OTEL_EXPORTER_OTLP_ENDPOINT:
    MIDDLEWARE.insert(0, "saas.tracing.TracingMiddleware")
    PROCRASTINATE_ON_APP_READY = "saas.tracing.prepare_app"

PROMETHEUS_EXPORT_MIGRATIONS = False
LOG_LEVEL = env.choice("LOG_LEVEL", "INFO", ["DEBUG", "INFO", "WARNING", "ERROR"])
LOGGING = logging_settings(
    level=LOG_LEVEL, form=env.choice("LOG_FORMAT", "line" if IS_DEVELOPMENT else "json", ["line", "json"])
)
