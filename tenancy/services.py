from django.db import transaction

from tenancy.models import Organization


@transaction.atomic
def rename_organization(*, name: str) -> None:
    """The one in force. Its slug stays, since links may hold it."""
    Organization.objects.update(name=name)
