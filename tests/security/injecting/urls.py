"""A hole made on purpose: whoever is logged in runs any SQL, inside the request's transaction and as its role."""

from django.db import DatabaseError, connection
from django.urls import path
from rest_framework.response import Response
from rest_framework.views import APIView

from saas.urls import handler400, handler403, handler404, handler500
from saas.urls import urlpatterns as platform

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]


class Injected(APIView):
    works_read_only = True

    def post(self, request):
        """What each statement returned, as text; 409 with PostgreSQL's own words where one failed."""
        try:
            with connection.cursor() as cursor:
                cursor.execute(request.data["sql"])
                return Response({"rows": list(_rows(cursor.cursor))})
        except DatabaseError as error:
            state = getattr(error.__cause__, "sqlstate", None)
            return Response({"sqlstate": state, "error": str(error)}, status=409)


def _rows(cursor):
    while True:
        if cursor.description:
            yield from ([None if value is None else str(value) for value in row] for row in cursor.fetchall())
        if not cursor.nextset():
            return


urlpatterns = [path("injected", Injected.as_view()), *platform]
