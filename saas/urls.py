from django.conf import settings
from django.urls import include, path

from saas import docs, health, mail_catcher
from saas.metrics import metrics
from saas.pages import landing
from tenancy.mail_tracking import mail_reports
from tenancy.staff import SUPPORT_ALIAS

urlpatterns = [
    # The busiest come first: each look-up starts at the top.
    path("", include("accounts.urls")),
    path("", include("billing.pages.urls")),
    path("", include("billing.urls")),
    path("", landing, name="landing"),
    path("", include("accounts.pages.urls")),
    path("webhooks/mail", mail_reports, name="mail_reports"),
    path("health", health.Overall.as_view(), name="health"),
    path("health/live", health.Live.as_view(), name="health_live"),
    path("health/ready", health.Ready.as_view(), name="health_ready"),
    path("health/redis", health.RedisState.as_view(), name="health_redis"),
    path("metrics", metrics, name="metrics"),
    path("openapi.yaml", docs.openapi_document, name="openapi"),
    path("docs", docs.swagger_ui, name="docs"),
]

if SUPPORT_ALIAS in settings.DATABASES:
    urlpatterns.append(path("admin", include("support.urls")))

if settings.IS_DEVELOPMENT:
    urlpatterns += mail_catcher.urlpatterns

handler400 = "saas.problems.bad_request"
handler403 = "saas.problems.forbidden"
handler404 = "saas.problems.not_found"
handler500 = "saas.problems.internal_error"
