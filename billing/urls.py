from django.urls import path

from billing.api.views import Payments, Plans, StripeWebhook, SubscriptionView

urlpatterns = [
    path("payments/plans", Plans.as_view({"get": "list"}), name="plans"),
    path("payments/subscription", SubscriptionView.as_view({"get": "retrieve"}), name="subscription"),
    path("payments/checkout", Payments.as_view({"post": "checkout"}), name="checkout"),
    path("payments/portal", Payments.as_view({"post": "portal"}), name="portal"),
    path("webhooks/stripe", StripeWebhook.as_view(), name="stripe_webhook"),
]
