"""Over SMTP. What HTTP's errors say is tested with the provider's fake in test_sendgrid.py."""

import smtplib
import socket

import pytest

from tenancy.mail_failures import state_after
from tenancy.models import MailState


def test_a_recipient_that_is_refused_for_good_ends_it():
    error = smtplib.SMTPRecipientsRefused({"a@b.example": (550, b"no such user")})
    assert state_after(error) == MailState.FAILED


@pytest.mark.parametrize(
    "error",
    [
        smtplib.SMTPRecipientsRefused({"a@b.example": (450, b"busy")}),
        smtplib.SMTPRecipientsRefused({"a@b.example": (550, b"no"), "c@d.example": (450, b"busy")}),
        smtplib.SMTPSenderRefused(550, b"not you", "no-reply@localhost"),
        smtplib.SMTPDataError(554, b"no"),
        smtplib.SMTPAuthenticationError(535, b"no"),
        smtplib.SMTPConnectError(421, b"busy"),
        ConnectionRefusedError(),
        socket.gaierror(-2, "Name or service not known"),
        TimeoutError("timed out"),
    ],
)
def test_what_was_certainly_not_taken_is_tried_again(error):
    assert state_after(error) == MailState.QUEUED


@pytest.mark.parametrize(
    "error",
    [smtplib.SMTPServerDisconnected("Connection unexpectedly closed: timed out"), ConnectionResetError()],
)
def test_a_line_that_is_cut_leaves_it_open(error):
    assert state_after(error) == MailState.SENDING
