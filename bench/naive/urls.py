from django.urls import path

from bench.naive.api import Me

urlpatterns = [path("users/me", Me.as_view())]
