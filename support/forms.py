from django import forms

from tenancy.support_audit import DEFERRED


class LogInForm(forms.Form):
    email = forms.EmailField(max_length=254, widget=forms.EmailInput(attrs={"autocomplete": "username"}))
    password = forms.CharField(
        max_length=128, strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "current-password"})
    )


class CodeForm(forms.Form):
    code = forms.CharField(
        max_length=40,
        widget=forms.TextInput(
            attrs={"autocomplete": "one-time-code", "autofocus": True, "inputmode": "text"}
        ),
    )


class ReasonForm(forms.Form):
    # PostgreSQL decides whether it says something: tenancy.says_something().
    reason = forms.CharField(max_length=500)


class ActionForm(ReasonForm):
    action = forms.ChoiceField(choices=[(action.value, action.label) for action in DEFERRED])
    target = forms.CharField(max_length=255)


class SearchForm(forms.Form):
    q = forms.CharField(min_length=3, max_length=254, label="Name, member's address or Stripe id")
    page = forms.IntegerField(min_value=1, max_value=1000, required=False, widget=forms.HiddenInput)
