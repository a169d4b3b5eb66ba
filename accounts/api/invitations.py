"""The organization's open invitations."""

from uuid import UUID

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from accounts import selectors
from accounts.api.cursors import page_response
from accounts.api.serializers import InvitationAnswer, InvitationList, InvitationRequest, PageQuery
from accounts.api.users import ID
from accounts.services.invitations import (
    AlreadyMember,
    EmailNotVerified,
    invite_member,
    withdraw_invitation,
)
from accounts.services.members import RoleTooLow, SeatLimitReached
from saas.kit.errors import may_raise
from saas.kit.serializers import parse_query, read, represent
from tenancy.permissions import IsAdmin, caller_of


class Invitations(ViewSet):
    permission_classes = (IsAdmin,)

    @extend_schema(operation_id="list_invitations", parameters=[PageQuery], responses=InvitationList)
    def list(self, request: Request) -> Response:
        query = parse_query(PageQuery, request)
        rows = selectors.pending_invitations().select_related("invited_by")
        return page_response(InvitationAnswer, rows, limit=query["limit"], cursor=query.get("cursor"))

    @extend_schema(
        operation_id="create_invitation", request=InvitationRequest, responses={201: InvitationAnswer}
    )
    @may_raise(EmailNotVerified, RoleTooLow, AlreadyMember, SeatLimitReached)
    def create(self, request: Request) -> Response:
        """Mail a link to an address. The same address again gets a new link, and the old one is void."""
        invitation = invite_member(**read(InvitationRequest, request), by=caller_of(request).user_id)
        return Response(represent(InvitationAnswer, invitation), status=201)

    @extend_schema(operation_id="delete_invitation", parameters=[ID], responses={204: OpenApiResponse(None)})
    def destroy(self, request: Request, id: UUID) -> Response:
        withdraw_invitation(id, by=caller_of(request).user_id)
        return Response(status=204)
