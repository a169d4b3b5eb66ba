from django.urls import path

from support.views import actions, audit, log_in, organizations, rows

# The namespace that the templates of Django's admin name.
app_name = "admin"
ORGANIZATION = "/organizations/<uuid:organization_id>"
urlpatterns = [
    path("", organizations.index, name="index"),
    path("/login", log_in.log_in, name="support_login"),
    path("/login/second-factor", log_in.second_factor, name="support_second_factor"),
    path("/logout", log_in.log_out, name="support_logout"),
    path("/audit", audit.audit, name="support_audit"),
    path(ORGANIZATION, organizations.organization, name="support_organization"),
    path(f"{ORGANIZATION}/open", organizations.open_organization, name="support_open"),
    path(f"{ORGANIZATION}/actions", actions.act, name="support_act"),
    path(f"{ORGANIZATION}/users", rows.users, name="support_users"),
    path(f"{ORGANIZATION}/users/<uuid:user_id>", rows.user, name="support_user"),
    path(f"{ORGANIZATION}/users/<uuid:user_id>/look", actions.look, name="support_look"),
    path(f"{ORGANIZATION}/events", rows.events, name="support_events"),
    path(f"{ORGANIZATION}/events/<str:stripe_id>", rows.event, name="support_event"),
    path(f"{ORGANIZATION}/mails", rows.mails, name="support_mails"),
    path(f"{ORGANIZATION}/mails/<uuid:mail_id>", rows.mail, name="support_mail"),
]
