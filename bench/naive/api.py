from django.db import connection
from rest_framework import generics, serializers

from bench.naive.models import Organization, User


class OrganizationSerializer(serializers.ModelSerializer):
    class Meta:
        model = Organization
        fields = ("id", "slug", "name", "plan", "access")


class ProfileSerializer(serializers.ModelSerializer):
    org = OrganizationSerializer(source="organization", read_only=True)

    class Meta:
        model = User
        fields = (
            *("id", "email", "email_verified", "name", "role", "locale", "timezone"),
            *("created_at", "last_login_at", "org"),
        )


class TenantMixin:
    """The usual recipe: a setting of the session, which the policies of the tables read."""

    def initial(self, request, *args, **kwargs):
        super().initial(request, *args, **kwargs)
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('app.tenant', %s, false)", [str(request.user.organization_id)])


class Me(TenantMixin, generics.RetrieveAPIView):
    serializer_class = ProfileSerializer

    def get_object(self):
        return self.request.user
