"""Taking the links that prove who reads a mailbox."""

from accounts.links import read_registration
from accounts.services.addresses import confirm_address
from accounts.services.registration import finish_registration


def verify_email(token: str) -> None:
    """Finish a registration, or confirm a person's address. Opens its own transaction. Raises InvalidLink or EmailTaken."""
    sealed = read_registration(token)
    if sealed is None:
        confirm_address(token)
    else:
        finish_registration(sealed)
