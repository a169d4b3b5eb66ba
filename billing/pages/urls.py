from django.urls import path

from billing.pages import views

urlpatterns = [
    path("billing", views.billing, name="billing"),
    path("billing/checkout", views.checkout, name="billing_checkout"),
    path("billing/portal", views.portal, name="billing_portal"),
    path("billing/invoices", views.invoices, name="billing_invoices"),
]
