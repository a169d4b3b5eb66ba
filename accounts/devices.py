"""Where a session is opened from, and how a person recognizes it."""

from django.http import HttpRequest
from django.utils.translation import get_language_from_request
from django.utils.translation import gettext as _

from accounts.services.sessions import Device
from saas.kit.http import client_address

# Whoever imitates another names that one too, so the first that fits counts.
BROWSERS = {
    "Edg/": "Edge",
    "OPR/": "Opera",
    "SamsungBrowser/": "Samsung Internet",
    "Firefox/": "Firefox",
    "FxiOS/": "Firefox",
    "CriOS/": "Chrome",
    "Chrome/": "Chrome",
    "Safari/": "Safari",
    "curl/": "curl",
}
SYSTEMS = {
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Android": "Android",
    "Windows": "Windows",
    "Macintosh": "Mac",
    "CrOS": "ChromeOS",
    "Linux": "Linux",
}


def device_of(request: HttpRequest) -> Device:
    return Device(ip=client_address(request), user_agent=request.headers.get("User-Agent", ""))


def language_of(request: HttpRequest) -> str:
    """Of those that there are, the one that the browser asks for."""
    return get_language_from_request(request)


def device_name(user_agent: str) -> str:
    """Such as `Firefox on Linux`. What it does not know it shows as it is, and it decides nothing."""
    browser = _first(BROWSERS, user_agent)
    system = _first(SYSTEMS, user_agent)
    if browser and system:
        return _("%(browser)s on %(system)s") % {"browser": browser, "system": system}
    return browser or system or user_agent[:60] or _("Unknown device")


def _first(names: dict[str, str], user_agent: str) -> str:
    return next((name for mark, name in names.items() if mark in user_agent), "")
