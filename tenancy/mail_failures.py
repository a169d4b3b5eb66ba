"""What an error says of the mail that was being sent."""

import socket
import ssl
from collections.abc import Iterator
from smtplib import SMTPConnectError, SMTPRecipientsRefused, SMTPResponseException

from anymail.exceptions import AnymailError, AnymailRecipientsRefused, AnymailRequestsAPIError
from requests.exceptions import ConnectTimeout, TooManyRedirects
from urllib3.exceptions import NewConnectionError

from tenancy.models import MailState

# About the mail itself. Any other refusal may be about us (a key, a limit) or about the moment.
PERMANENT = (400, 413, 422)
# Before the mail left, or the provider sent us elsewhere. NewConnectionError includes names that don't resolve.
NOT_TAKEN = (
    ConnectionRefusedError,
    ConnectTimeout,
    NewConnectionError,
    SMTPConnectError,
    TooManyRedirects,
    socket.gaierror,
    ssl.SSLCertVerificationError,
)


class AnswerLost(Exception):
    """Whether the provider took the mail is open. Its one repetition waits until another mail went well, which makes it due,
    or for longer than a provider is down."""

    retry_in = 25 * 3600


def state_after(error: Exception) -> MailState:
    """FAILED if the provider refused the mail for good, QUEUED if it certainly did not take it.

    SENDING if that is open: the mail left, and no answer came.
    """
    if _is_permanent(error):
        return MailState.FAILED
    return MailState.QUEUED if _is_definite(error) else MailState.SENDING


def _is_permanent(error: Exception) -> bool:
    if isinstance(error, SMTPRecipientsRefused):
        return all(code >= 500 for code, _ in error.recipients.values())
    status = error.status_code if isinstance(error, AnymailError) else None
    return isinstance(error, AnymailRecipientsRefused) or status in PERMANENT


def _is_definite(error: Exception) -> bool:
    if isinstance(error, AnymailRequestsAPIError) and error.response is not None:
        return True
    # smtplib calls a timeout once it is connected SMTPServerDisconnected.
    if isinstance(error, SMTPResponseException | SMTPRecipientsRefused | TimeoutError):
        return True
    return any(isinstance(each, NOT_TAKEN) for each in _chain(error))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
