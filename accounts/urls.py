from django.urls import path

from accounts.api.auth import PublicAuth, Tokens
from accounts.api.invitations import Invitations
from accounts.api.jwks import Jwks
from accounts.api.lifecycle import Links, Password
from accounts.api.users import Me, Members, Sessions

urlpatterns = [
    path("users/me", Me.as_view({"get": "retrieve", "patch": "partial_update"}), name="me"),
    path("users/org", Members.as_view({"get": "list"}), name="members"),
    path(
        "users/org/<uuid:id>",
        Members.as_view({"patch": "partial_update", "delete": "destroy"}),
        name="member",
    ),
    path("auth/register", PublicAuth.as_view({"post": "register"}), name="register"),
    path("auth/login", PublicAuth.as_view({"post": "login"}), name="login"),
    path("auth/refresh", PublicAuth.as_view({"post": "refresh"}), name="refresh"),
    path("auth/logout", PublicAuth.as_view({"post": "logout"}), name="logout"),
    path("auth/validate", Tokens.as_view({"post": "validate"}), name="validate"),
    path("auth/verify-email", Links.as_view({"post": "verify_email"}), name="verify_email"),
    path(
        "auth/verify-email/resend", Links.as_view({"post": "resend_verification"}), name="resend_verification"
    ),
    path("auth/look", Links.as_view({"post": "begin_look"}), name="begin_look"),
    path("auth/password/forgot", Links.as_view({"post": "forgot_password"}), name="forgot_password"),
    path("auth/password/reset", Links.as_view({"post": "reset_password"}), name="reset_password"),
    path("auth/password/change", Password.as_view({"post": "change"}), name="change_password"),
    path("orgs/invitations", Invitations.as_view({"get": "list", "post": "create"}), name="invitations"),
    path("orgs/invitations/<uuid:id>", Invitations.as_view({"delete": "destroy"}), name="invitation"),
    path("invitations/accept", Links.as_view({"post": "accept_invitation"}), name="accept_invitation"),
    path("auth/sessions", Sessions.as_view({"get": "list"}), name="sessions"),
    path("auth/sessions/<uuid:id>", Sessions.as_view({"delete": "destroy"}), name="session"),
    path(".well-known/jwks.json", Jwks.as_view(), name="jwks"),
]
