from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.keys import jwks


class JwksAnswer(serializers.Serializer[Any]):
    keys = serializers.ListField(child=serializers.DictField())


class Jwks(APIView):
    """The public keys that verify access tokens (RFC 7517)."""

    authentication_classes = ()
    permission_classes = ()
    is_rate_limited = False

    @extend_schema(operation_id="jwks", responses=JwksAnswer)
    def get(self, request: Request) -> Response:
        return Response(jwks(), headers={"Cache-Control": "public, max-age=600"})
