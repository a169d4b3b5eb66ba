"""Plans, subscription, checkout and portal, and the webhook. What calls Stripe owns its transactions."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from billing import stripe_client
from billing.api.serializers import (
    CheckoutAnswer,
    CheckoutRequest,
    PlanList,
    PortalAnswer,
    PortalRequest,
    SubscriptionAnswer,
)
from billing.plans import CURRENCY, PLANS, lookup_key
from billing.selectors import standing
from billing.services import events
from billing.services.checkout import (
    CheckoutInProgress,
    SubscriptionExists,
    start_checkout,
    way_back,
    ways_back,
)
from billing.services.portal import NoBillingCustomer, open_portal
from saas.kit.errors import may_raise
from saas.kit.serializers import read, represent
from tenancy.permissions import IsAdmin, caller_of

PROVIDER_FAILURES = (
    stripe_client.PaymentProviderError,
    stripe_client.PaymentProviderUnavailable,
    stripe_client.BillingNotConfigured,
)


class Plans(ViewSet):
    authentication_classes = ()
    permission_classes = ()

    @extend_schema(operation_id="list_plans", responses=PlanList)
    def list(self, request: Request) -> Response:
        return Response(represent(PlanList, {"data": [_plan(code) for code in PLANS]}))


class SubscriptionView(ViewSet):
    @extend_schema(operation_id="get_subscription", responses=SubscriptionAnswer)
    def retrieve(self, request: Request) -> Response:
        return Response(represent(SubscriptionAnswer, standing()))


class Payments(ViewSet):
    permission_classes = (IsAdmin,)
    owns_transactions = True
    works_read_only = True

    @extend_schema(operation_id="checkout", request=CheckoutRequest, responses={201: CheckoutAnswer})
    @may_raise(SubscriptionExists, CheckoutInProgress, *PROVIDER_FAILURES)
    def checkout(self, request: Request) -> Response:
        """Open a checkout of a plan; the answer's `url` is where the customer pays."""
        fields = read(CheckoutRequest, request)
        begun = start_checkout(organization_id=caller_of(request).organization_id, **ways_back() | fields)
        return Response(represent(CheckoutAnswer, begun), status=201)

    @extend_schema(operation_id="portal", request=PortalRequest, responses={201: PortalAnswer})
    @may_raise(NoBillingCustomer, *PROVIDER_FAILURES)
    def portal(self, request: Request) -> Response:
        """A link to the pages where the customer pays, changes the card or the plan, and cancels."""
        fields = {"return_url": way_back()} | read(PortalRequest, request)
        return Response(
            {"url": open_portal(organization_id=caller_of(request).organization_id, **fields)}, status=201
        )


def _plan(code: str) -> dict[str, Any]:
    plan = PLANS[code]
    return {
        "code": plan.code,
        "name": plan.name,
        "description": plan.description,
        "trial_days": plan.trial_days,
        "limits": plan.limits,
        "prices": [
            {
                "interval": interval,
                "amount": amount,
                "currency": CURRENCY,
                "lookup_key": lookup_key(code, interval),
            }
            for interval, amount in plan.prices.items()
        ],
    }


class AnyAccept(BaseContentNegotiation):
    """Stripe asks for nothing, and gets JSON."""

    def select_parser(self, request: Request, parsers: Any) -> None:
        return None

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        renderer: BaseRenderer = renderers[0]
        return renderer, renderer.media_type


class StripeWebhook(APIView):
    authentication_classes = ()
    permission_classes = ()
    content_negotiation_class = AnyAccept
    owns_transactions = True

    @extend_schema(
        operation_id="stripe_webhook",
        request={"application/json": OpenApiTypes.OBJECT},
        parameters=[OpenApiParameter("Stripe-Signature", str, OpenApiParameter.HEADER, required=True)],
        responses=inline_serializer("StripeWebhookAnswer", {"result": serializers.CharField()}),
    )
    @may_raise(stripe_client.InvalidSignature, stripe_client.BillingNotConfigured)
    def post(self, request: Request) -> Response:
        """For Stripe: events, verified against the signing secret and stored before anything else."""
        body = request._request.body
        signature = request.headers.get("Stripe-Signature", "")
        event = stripe_client.verified_event(body, signature)
        result = events.receive(event, signed_body=body.decode(), signature=signature)
        return Response({"result": result})
