"""A person's own profile and sessions, and the organization's people."""

import hashlib
from typing import Any, cast
from uuid import UUID

from django.utils.http import parse_etags
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from accounts import selectors
from accounts.api.cursors import page_response
from accounts.api.serializers import (
    MemberAnswer,
    MemberChange,
    MemberList,
    MemberQuery,
    ProfileAnswer,
    ProfileChange,
    SessionAnswer,
    SessionList,
)
from accounts.callers import Caller
from accounts.models import User
from accounts.profiles import Profile
from accounts.services.members import (
    LastOwner,
    RoleTooLow,
    SeatLimitReached,
    change_member,
    remove_member,
    update_profile,
)
from accounts.services.sessions import revoke_own_session
from saas.kit.errors import may_raise
from saas.kit.parsers import MergePatchParser, StrictJSONParser
from saas.kit.renderers import JSONRenderer
from saas.kit.serializers import parse_query, read, represent
from tenancy.permissions import IsAdmin, caller_of

ID = OpenApiParameter("id", {"type": "string", "format": "uuid"}, OpenApiParameter.PATH)


class Me(ViewSet):
    works_read_only = True
    parser_classes = (MergePatchParser, StrictJSONParser)

    @extend_schema(operation_id="get_me", responses={200: ProfileAnswer, 304: OpenApiResponse(None)})
    def retrieve(self, request: Request) -> Response:
        """Up to 30 s old in what others changed, such as the plan; what the person changed shows at once."""
        response = _profile(cast(Caller, request.user).profile)
        etag = response.headers["ETag"]
        known = [
            known.removeprefix("W/") for known in parse_etags(request.META.get("HTTP_IF_NONE_MATCH", ""))
        ]
        return Response(status=304, headers={"ETag": etag}) if etag in known or "*" in known else response

    # It needs none: the caller's profile came with the caller.
    retrieve.owns_transactions = True  # type: ignore[attr-defined]

    @extend_schema(
        operation_id="update_me",
        request=ProfileChange,
        responses={200: ProfileAnswer, 202: OpenApiResponse(ProfileAnswer, "A link went to the new address")},
    )
    def partial_update(self, request: Request) -> Response:
        """JSON merge patch (RFC 7396). A new `email` counts once the link that is mailed there is used."""
        changes = read(ProfileChange, request)
        caller = caller_of(request)
        user = update_profile(user_id=caller.user_id, session_id=caller.session_id, changes=changes)
        return _profile(user, status=202 if user.pending_email and "email" in changes else 200)


class Sessions(ViewSet):
    works_read_only = True

    @extend_schema(operation_id="list_sessions", responses=SessionList)
    def list(self, request: Request) -> Response:
        sessions = selectors.live_sessions(caller_of(request).user_id)
        context = {"session_id": caller_of(request).session_id}
        return Response({"data": SessionAnswer(sessions, many=True, context=context).data})

    @extend_schema(operation_id="delete_session", parameters=[ID], responses={204: None})
    def destroy(self, request: Request, id: UUID) -> Response:
        revoke_own_session(user_id=caller_of(request).user_id, session_id=id)
        return Response(status=204)


class Members(ViewSet):
    permission_classes = (IsAdmin,)

    @extend_schema(operation_id="list_members", parameters=[MemberQuery], responses=MemberList)
    def list(self, request: Request) -> Response:
        query = parse_query(MemberQuery, request)
        limit, cursor = query.pop("limit"), query.pop("cursor", None)
        return page_response(MemberAnswer, selectors.members(**query), limit=limit, cursor=cursor)

    @extend_schema(
        operation_id="update_member", parameters=[ID], request=MemberChange, responses=MemberAnswer
    )
    @may_raise(LastOwner, RoleTooLow, SeatLimitReached)
    def partial_update(self, request: Request, id: UUID) -> Response:
        changes = read(MemberChange, request)
        member = change_member(
            user_id=id,
            by=caller_of(request).user_id,
            role=changes.get("role"),
            is_active=changes.get("active"),
        )
        return Response(represent(MemberAnswer, member))

    @extend_schema(operation_id="delete_member", parameters=[ID], responses={204: OpenApiResponse(None)})
    @may_raise(LastOwner, RoleTooLow)
    def destroy(self, request: Request, id: UUID) -> Response:
        remove_member(user_id=id, by=caller_of(request).user_id)
        return Response(status=204)


def _profile(user: User | Profile, *, status: int = 200) -> Response:
    data: dict[str, Any] = represent(ProfileAnswer, user)
    digest = hashlib.sha256(JSONRenderer().render(data)).hexdigest()
    return Response(data, status=status, headers={"ETag": f'"{digest[:32]}"'})
