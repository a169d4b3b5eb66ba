"""Examines a live database: is the fence whole? Reads catalogs and, for foreign keys, the rows themselves."""

from django.db import connections

from tenancy.inspection.findings import Finding
from tenancy.inspection.foreign_keys import examine_foreign_keys
from tenancy.inspection.functions import examine_functions
from tenancy.inspection.grants import examine_grants
from tenancy.inspection.policies import examine_policies
from tenancy.inspection.roles import examine_roles
from tenancy.inspection.tables import examine_tables

EXAMINATIONS = (
    examine_roles,
    examine_tables,
    examine_policies,
    examine_foreign_keys,
    examine_grants,
    examine_functions,
)


def inspect_isolation(*, using: str = "owner") -> list[Finding]:
    """Every hole in the fence of the database behind `using`; an empty list says that there is none."""
    with connections[using].cursor() as cursor:
        return [finding for examine in EXAMINATIONS for finding in examine(cursor)]
