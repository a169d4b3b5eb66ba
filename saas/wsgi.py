import logging
import os

from django.conf import settings
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core import checks
from django.core.cache import close_caches
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import SystemCheckError
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import OperationalError, connections, reset_queries

from saas.checks import SETTINGS
from saas.kit.http import Utf8Request
from tenancy.database import verify_runtime_role

logger = logging.getLogger(__name__)

# As whitenoise's storage names it.
MANIFEST = "staticfiles.json"


def refuse_unsafe_start() -> None:
    """Raises SystemCheckError, ImproperlyConfigured or UnsafeDatabaseRole. A database that is down may come back."""
    messages = checks.run_checks(tags=[SETTINGS, checks.Tags.security])
    if errors := [message for message in messages if message.is_serious()]:
        raise SystemCheckError("\n".join(str(error) for error in errors))
    if not settings.IS_DEVELOPMENT and not staticfiles_storage.exists(MANIFEST):
        # Each page would be an error: its style's name is in there.
        raise ImproperlyConfigured(
            f"STATIC_ROOT ({settings.STATIC_ROOT}) holds no static files: run `manage.py collectstatic`"
        )
    try:
        verify_runtime_role()
    except OperationalError as error:
        logger.warning("PostgreSQL can't be reached yet: %s", error)
    finally:
        # gunicorn's workers are forks of this process: two of them on one connection would mix up their answers.
        connections.close_all()


os.environ.setdefault("DJANGO_SETTINGS_MODULE", "saas.settings")
logging.captureWarnings(True)
# What no line says is not looked up: Python's logging HOWTO, "Optimization".
logging._srcfile = None  # type: ignore[attr-defined]
logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
application = get_wsgi_application()
application.request_class = Utf8Request
# Of what Django does before and after each request, what does nothing here: queries are recorded in DEBUG alone, and
# connections to Redis are kept.
request_started.disconnect(reset_queries)
request_finished.disconnect(close_caches)
refuse_unsafe_start()
