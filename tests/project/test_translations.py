"""Every text that people read is translated, and the compiled catalogue is the one that can be read here."""

import gettext
import re
import shutil
import subprocess
import sys

import pytest
from django.conf import settings

ROOT = settings.BASE_DIR
LANGUAGES = [code for code, _ in settings.LANGUAGES if code != settings.LANGUAGE_CODE]
PLACEHOLDER = re.compile(r"%\(\w+\)s|%[sd]|\{\w*\}")

needs_gettext = pytest.mark.skipif(shutil.which("xgettext") is None, reason="gettext is not installed")


def po_file(root, language):
    return root / "locale" / language / "LC_MESSAGES" / "django.po"


def catalogue(mo_file):
    """The texts by msgid; a plural's by (msgid, number of the form)."""
    with mo_file.open("rb") as file:
        return {key: text for key, text in gettext.GNUTranslations(file)._catalog.items() if key}


def tool(*arguments, cwd=ROOT):
    done = subprocess.run(arguments, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def msgids(text):
    return set(re.findall(r'^msgid (".*"(?:\n".*")*)', text, re.MULTILINE))


@needs_gettext
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_catalogue_has_every_text_and_no_other(language, tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(ROOT, root, ignore=shutil.ignore_patterns(".*", "__pycache__", "tests", "bench"))
    tool(
        *(sys.executable, "-m", "django", "makemessages", "--locale", language, "--no-obsolete"),
        "--add-location=file",
        cwd=root,
    )
    found = tool("msgcat", "--no-wrap", str(po_file(root, language)))
    kept = tool("msgcat", "--no-wrap", str(po_file(ROOT, language)))
    assert "Confirm your address" in found
    assert msgids(found) == msgids(kept), "run `make messages`, and translate"


@needs_gettext
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_is_translated(language):
    for missing in ("--untranslated", "--only-fuzzy", "--only-obsolete"):
        assert tool("msgattrib", missing, str(po_file(ROOT, language))) == "", missing


@needs_gettext
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_compiled_catalogue_says_what_the_readable_one_says(language, tmp_path):
    compiled = tmp_path / "django.mo"
    tool("msgfmt", "--check", "-o", str(compiled), str(po_file(ROOT, language)))
    assert catalogue(compiled) == catalogue(po_file(ROOT, language).with_suffix(".mo")), "run `make messages`"


@pytest.mark.parametrize("language", LANGUAGES)
def test_placeholders_agree(language):
    texts = catalogue(po_file(ROOT, language).with_suffix(".mo"))
    assert texts
    for key, text in texts.items():
        if isinstance(key, tuple):
            # The form for one may spell the number out.
            assert set(PLACEHOLDER.findall(text)) <= set(PLACEHOLDER.findall(key[0])) | {"%(count)s"}, key
        else:
            assert sorted(set(PLACEHOLDER.findall(text))) == sorted(set(PLACEHOLDER.findall(key))), key


# What no customer reads, and a name.
ENGLISH_TEMPLATES = ("saas/docs.html", "saas/mail_catcher/", "support/", "components/product.txt")
# What is translated, names of classes, addresses of pages, markup.
NO_TEXT = re.compile(
    r"{% blocktranslate.*?{% endblocktranslate %}|{% comment %}.*?{% endcomment %}|{% block kind %}\w*{% endblock %}"
    r"|{%.*?%}|{{.*?}}(?:/[a-z-]+)*|<[^>]*>|&\w+;",
    re.DOTALL,
)
SPOKEN_ATTRIBUTE = re.compile(r'\b(?:aria-label|alt|placeholder|title)="([^"]*)"')


def templates():
    for file in sorted((ROOT / "templates").rglob("*.*")):
        if not str(file.relative_to(ROOT / "templates")).startswith(ENGLISH_TEMPLATES):
            yield file


@pytest.mark.parametrize("file", list(templates()), ids=lambda file: file.name)
def test_no_text_of_a_template_goes_untranslated(file):
    template = file.read_text()
    for text in (template, *SPOKEN_ATTRIBUTE.findall(template)):
        left = NO_TEXT.sub("", text)
        assert not re.search(r"[^\W\d_]{2}", left), left.strip()
