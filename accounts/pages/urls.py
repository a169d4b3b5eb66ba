from django.urls import path

from accounts.pages import account, entrance

urlpatterns = [
    path("register", entrance.register, name="sign_up"),
    path("login", entrance.log_in_page, name="log_in"),
    path("mail-sent", entrance.mail_sent, name="mail_sent"),
    path("logout", entrance.log_out_page, name="log_out"),
    path("account", account.profile, name="account"),
    path("account/sessions", account.sessions, name="account_sessions"),
    path("account/sessions/others/end", account.end_other_sessions, name="end_other_sessions"),
    path("account/sessions/<uuid:id>/end", account.end_session, name="end_session"),
]
