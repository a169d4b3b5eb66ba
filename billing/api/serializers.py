from typing import Any

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from billing.plans import INTERVALS, SOLD
from billing.services.checkout import is_own_url
from saas.kit.serializers import StrictCharField, StrictSerializer
from tenancy.models import Access

URL_LENGTH = 2000


class LimitsAnswer(serializers.Serializer[Any]):
    seats = serializers.IntegerField(allow_null=True, help_text="null: no limit")


class PriceAnswer(serializers.Serializer[Any]):
    interval = serializers.ChoiceField(list(INTERVALS))
    amount = serializers.IntegerField(help_text="In the currency's smallest unit.")
    currency = serializers.CharField()
    lookup_key = serializers.CharField(help_text="The price's name at Stripe.")


class PlanAnswer(serializers.Serializer[Any]):
    code = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField()
    trial_days = serializers.IntegerField(help_text="One trial an organization.")
    limits = LimitsAnswer()
    prices = PriceAnswer(many=True)


@extend_schema_serializer(many=False)
class PlanList(serializers.Serializer[Any]):
    data = PlanAnswer(many=True)  # type: ignore[assignment]


class SubscriptionAnswer(serializers.Serializer[Any]):
    plan = serializers.CharField()
    status = serializers.CharField(help_text="As at Stripe; `none` on the free plan.")
    access = serializers.ChoiceField(Access.choices)
    grace_ends_at = serializers.DateTimeField(allow_null=True, help_text="When a failed payment suspends.")
    current_period_end = serializers.DateTimeField(allow_null=True)
    cancel_at_period_end = serializers.BooleanField()
    limits = LimitsAnswer()


class UrlField(StrictCharField):
    """An address of ours: whoever comes back from Stripe is not sent elsewhere."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=URL_LENGTH, required=False, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        url = super().to_internal_value(data)
        if not is_own_url(url):
            raise serializers.ValidationError(
                "Give an address of this platform or of one of its front-ends.", "foreign_url"
            )
        return url


class CheckoutRequest(StrictSerializer):
    plan = serializers.ChoiceField([plan.code for plan in SOLD])
    interval = serializers.ChoiceField(list(INTERVALS), required=False, default="monthly")
    success_url = UrlField()
    cancel_url = UrlField()


class CheckoutAnswer(serializers.Serializer[Any]):
    id = serializers.CharField(source="checkout_id")
    url = serializers.CharField(source="checkout_url", help_text="Open it in the browser.")
    expires_at = serializers.DateTimeField(source="checkout_expires_at")


class PortalRequest(StrictSerializer):
    return_url = UrlField()


class PortalAnswer(serializers.Serializer[Any]):
    url = serializers.CharField()
