"""The log of what staff looked at and did; nothing here can be changed."""

from typing import Any

from django import forms
from django.http import HttpResponse
from django.views.decorators.http import require_safe

from support import selectors
from support.guard import StaffRequest, staff_page
from support.pages import filters, page, rows_of_page
from tenancy.support_audit import SupportAction


class AuditForm(forms.Form):
    organization_id = forms.UUIDField(required=False, label="Organization's id")
    staff_email = forms.CharField(required=False, max_length=254, label="Staff member's address")
    action = forms.ChoiceField(required=False, choices=[("", "any"), *SupportAction.choices])


@require_safe
@staff_page
def audit(request: StaffRequest) -> HttpResponse:
    form = AuditForm(request.GET)
    conditions: dict[str, Any] = form.cleaned_data if form.is_valid() else {}
    rows = selectors.audit(**{name: value for name, value in conditions.items() if value})
    return page(
        request,
        "audit",
        title="Audit log",
        form=form,
        rows=rows_of_page(request, rows),
        filters=filters(request),
    )
