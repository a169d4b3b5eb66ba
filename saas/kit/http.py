"""The request as ours sees it, and where it comes from."""

import re
from collections.abc import Callable, Mapping
from ipaddress import IPv6Address, ip_address
from typing import Any

from django.conf import settings
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.http import parse_header_parameters

WITH_PORT = re.compile(r"\[(?P<six>[^\]]*)\](?::\d+)?|(?P<four>[\d.]+):\d+")
# Where a server does not say (it listens on a UNIX socket): all such clients count as one.
UNKNOWN_ADDRESS = "0.0.0.0"  # noqa: S104 - nothing listens there
FORWARDING_HEADERS = ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA")


class Request(HttpRequest):
    """What our middlewares add. `caller` is None, or has `user_id` and `organization_id`.

    A page's errors are pages, and it has the `person` who asks, with their organization.
    """

    request_id: str
    # The code of the error that was answered, for the request's line in the log.
    refusal: str | None
    is_page: bool = False
    caller: Any | None
    person: Any | None = None
    # What saas.access found out: the verified token's claims, why there are none, whom Redis knows the session's
    # person to be.
    claims: Any | None
    token_error: Exception | None
    profile: Any | None
    # Django's, with what pages say on the next one.
    _messages: Any
    read_only_from_now_on: Callable[[], None]


class Utf8Request(WSGIRequest):
    """A request whose text is UTF-8, whatever its Content-Type says.

    Django would decode the address with its `charset`, before any middleware: `hex` or `idna` raise there.
    """

    def _set_content_type_params(self, meta: dict[str, Any]) -> None:
        try:
            self.content_type, self.content_params = parse_header_parameters(meta.get("CONTENT_TYPE", ""))
        except (LookupError, ValueError):
            self.content_type, self.content_params = "", {}
            meta["CONTENT_TYPE"] = ""


def add_headers(response: HttpResponseBase, headers: Mapping[str, str]) -> None:
    """Those that it lacks. They are ours: Django would look at each, every time, whether it can be sent."""
    present = response.headers._store  # type: ignore[attr-defined]
    for name, value in headers.items():
        present.setdefault(name.lower(), (name, value))


def client_address(request: HttpRequest) -> str:
    """The client's IP address, from X-Forwarded-For only as far as TRUSTED_PROXY_COUNT proxies vouch for it.

    Each of our proxies appends the address that it saw, so the client's is the N-th from the right. If there
    are fewer, or it is no address, the peer's own address counts. Always a valid address.
    """
    count = settings.TRUSTED_PROXY_COUNT
    if count:
        entries = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
        if len(entries) >= count and (address := _normal(entries[-count])):
            return address
    return peer_address(request)


def peer_address(request: HttpRequest) -> str:
    """The address at the other end of the connection, whatever any header says."""
    return _normal(request.META.get("REMOTE_ADDR", "")) or UNKNOWN_ADDRESS


def is_forwarded(request: HttpRequest) -> bool:
    """Whether a proxy, or somebody who plays one, stands in between."""
    return any(header in request.META for header in FORWARDING_HEADERS)


def is_local(request: HttpRequest) -> bool:
    """Whether this machine asks. Behind a proxy everybody seems to be it, so what is forwarded never is."""
    return ip_address(peer_address(request)).is_loopback and not is_forwarded(request)


def _normal(text: str) -> str | None:
    text = text.strip()
    if match := WITH_PORT.fullmatch(text):
        text = match["six"] or match["four"] or ""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.scope_id:
            return None
        address = address.ipv4_mapped or address
    return str(address)
