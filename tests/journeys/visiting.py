"""What a person does in a browser, and what is looked at while they do it."""

import re
from pathlib import Path
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from django.urls import reverse

from tests.conftest import PASSWORD as GIVEN_PASSWORD
from tests.project.launching import ROOT, eventually

SHOTS = ROOT / ".local" / "screenshots"
NARROWEST = 320
WIDTHS = {"phone": 390, "desktop": 1280}
LINK = re.compile(r"https?://\S+")
PASSWORD = "a few words strung together"


class Visitor:
    def __init__(self, context, site):
        self.context, self.site = context, site
        self.page = context.new_page()
        self.problems = []
        self.page.on("pageerror", lambda error: self.problems.append(f"script: {error}"))
        self.page.on("console", self._note)

    def _note(self, message):
        # A refused form is an answer as well, which the console calls an error.
        if message.type == "error" and "status of 4" not in message.text:
            self.problems.append(f"console: {message.text}")

    def open(self, path):
        response = self.page.goto(path)
        assert response.ok, f"{path}: {response.status}"
        return self

    def fill(self, **values):
        for name, value in values.items():
            self.page.locator(f"[name={name}]").fill(value)
        return self

    def press(self, name):
        """A button by its visible name; what follows a colon is for those who hear the page."""
        label = re.compile(rf"^{re.escape(name)}(\s*:.*)?$")
        self.page.get_by_role("button", name=label).first.click()
        return self

    def press_like(self, pattern):
        self.page.get_by_role("button", name=re.compile(pattern)).first.click()
        return self

    def reads_eventually(self, path, *texts):
        """What a webhook changes shows a moment later: the page is opened again until it does."""

        def shows():
            self.open(path)
            return all(self.page.get_by_text(text).first.is_visible() for text in texts)

        assert eventually(shows, every=0.5), f"{path} never showed {texts}: {self.page.inner_text('main')}"
        return self

    def follow(self, name):
        self.page.get_by_role("link", name=name).first.click()
        return self

    def at(self, path):
        self.page.wait_for_url(lambda url: urlsplit(url).path == path)
        return self

    def reads(self, *texts):
        for text in texts:
            self.page.get_by_text(text).first.wait_for(state="visible")
        return self

    def mailed_link(self, address, purpose):
        """The link for `purpose` in the newest mail to the address, as the local catcher shows it."""
        found = []

        def look():
            found[:] = re.findall(
                rf"{re.escape(self.site.url)}/{purpose}\?token=[^\s\"<]+", self._mails_to(address)
            )
            return found

        assert eventually(look), f"no mail with a link to {purpose} for {address}"
        return found[0].removeprefix(self.site.url)

    def _mails_to(self, address):
        page = self.context.new_page()
        try:
            page.goto("/dev/mail")
            links = page.get_by_role("link").all()
            hrefs = [link.get_attribute("href") for link in links if address in _row(link)]
            texts = []
            for href in hrefs:
                page.goto(href)
                texts.append(page.content().replace("&amp;", "&"))
            return "\n".join(texts)
        finally:
            page.close()

    def has_no_problems(self):
        assert self.problems == []


def _row(link):
    return link.evaluate("link => (link.closest('li, tr, article') || link).textContent")


def open_page(visitor, pattern, person, *, log_in="Log in"):
    """Logs in where the page asks for it."""
    names = {"id": person.member.user.id} if "<uuid:id>" in str(pattern.pattern) else {}
    path = urlsplit(person.link).query if pattern.name == "invitation_page" else ""
    visitor.page.goto(reverse(pattern.name, kwargs=names) + (f"?{path}" if path else ""))
    if "/login?" in visitor.page.url:
        visitor.fill(email=person.user.email, password=GIVEN_PASSWORD).press(log_in)
        visitor.page.wait_for_url(lambda url: "/login" not in url)


def violations(page):
    """What axe finds, as rule and elements; nothing is left out."""
    found = Axe().run(page).response["violations"]
    return [(each["id"], [node["html"] for node in each["nodes"]]) for each in found]


def shoot(page, name, folder=SHOTS):
    """A picture of the whole page at phone and desktop width, for people to look at."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for width_name, width in WIDTHS.items():
        page.set_viewport_size({"width": width, "height": 900})
        page.screenshot(path=folder / f"{name}-{width_name}.png", full_page=True)
