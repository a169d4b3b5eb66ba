from django.urls import path

from accounts.api.auth import PublicAuth, Tokens
from accounts.api.jwks import Jwks
from accounts.api.users import Me, Members, Sessions

urlpatterns = [
    path("auth/register", PublicAuth.as_view({"post": "register"}), name="register"),
    path("auth/login", PublicAuth.as_view({"post": "login"}), name="login"),
    path("auth/refresh", PublicAuth.as_view({"post": "refresh"}), name="refresh"),
    path("auth/logout", PublicAuth.as_view({"post": "logout"}), name="logout"),
    path("auth/validate", Tokens.as_view({"post": "validate"}), name="validate"),
    path("auth/sessions", Sessions.as_view({"get": "list"}), name="sessions"),
    path("auth/sessions/<uuid:id>", Sessions.as_view({"delete": "destroy"}), name="session"),
    path("users/me", Me.as_view({"get": "retrieve", "patch": "partial_update"}), name="me"),
    path("users/org", Members.as_view({"get": "list"}), name="members"),
    path(
        "users/org/<uuid:id>",
        Members.as_view({"patch": "partial_update", "delete": "destroy"}),
        name="member",
    ),
    path(".well-known/jwks.json", Jwks.as_view(), name="jwks"),
]
