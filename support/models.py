"""The second factor of the support staff, in their own organization."""

from django.conf import settings
from django.db import models

from tenancy.models import TenantModel


class SecondFactor(TenantModel):
    secret_fields = ("secret", "recovery_codes")

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    # Encrypted: support.services.second_factor.
    secret = models.TextField()
    confirmed_at = models.DateTimeField(null=True)
    # The time step of the last code, which is refused a second time.
    last_step = models.BigIntegerField(default=0)
    # Hashes of the recovery codes that are left.
    recovery_codes = models.JSONField(default=list)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "user"], name="one_second_factor_a_user")
        ]

    def __str__(self) -> str:
        return f"of {self.user_id}"
