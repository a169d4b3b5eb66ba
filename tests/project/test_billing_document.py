"""docs/billing.md against the code."""

import re

from django.conf import settings

from billing.handlers import HANDLERS

TEXT = (settings.BASE_DIR / "docs" / "billing.md").read_text()


def test_every_handled_event_is_documented_and_the_reverse():
    table = TEXT.partition("## Events")[2].partition("\n\nAn event")[0]
    documented = {name for line in table.splitlines() for name in re.findall(r"`([a-z_]+\.[a-z_.]+)`", line)}
    assert documented == HANDLERS.keys()
