"""The page in docs/pages.md, as it stands, in a project that has what it imports."""

import re
import sys
from types import ModuleType

import pytest
from django.conf import settings
from django.http import HttpResponse
from django.test import override_settings
from django.urls import include, path

from saas.kit.pages import page
from saas.kit.serializers import StrictCharField, StrictSerializer
from tests.pages.browsing import assert_page, browser_of

TEMPLATE = """{% extends "base.html" %}{% block title %}New project{% endblock %}{% block content %}
<form method="post">{% csrf_token %}
{% include "components/field.html" with name="name" label="Name" value=form.values.name errors=form.errors.name %}
<button class="button">Make it</button></form>{% endblock %}"""
MADE = []


class ProjectChange(StrictSerializer):
    name = StrictCharField(max_length=20)


def create_project(*, name, by):
    MADE.append((name, by))


@page()
def projects(request):
    return HttpResponse("")


def documented():
    text = (settings.BASE_DIR / "docs" / "pages.md").read_text()
    return re.search(r"```python projects/pages.py\n(.*?)```", text, re.DOTALL)[1]


@pytest.fixture
def new_project(monkeypatch, tmp_path):
    MADE.clear()
    contents = {
        "projects": {},
        "projects.api": {},
        "projects.api.serializers": {"ProjectChange": ProjectChange},
        "projects.services": {"create_project": create_project},
    }
    for name, attributes in contents.items():
        module = ModuleType(name)
        vars(module).update(attributes)
        monkeypatch.setitem(sys.modules, name, module)
    names = {"__name__": "projects.pages"}
    exec(documented(), names)
    urls = ModuleType("project_urls")
    urls.urlpatterns = [
        path("projects", projects, name="projects"),
        path("projects/new", names["new_project"]),
        path("", include("saas.urls")),
    ]
    monkeypatch.setitem(sys.modules, "project_urls", urls)
    (tmp_path / "projects").mkdir()
    (tmp_path / "projects" / "new.html").write_text(TEMPLATE)
    (engine,) = settings.TEMPLATES
    with override_settings(
        ROOT_URLCONF="project_urls", TEMPLATES=[{**engine, "DIRS": [tmp_path, *engine["DIRS"]]}]
    ):
        yield "/projects/new"


def test_it_works(new_project, alice):
    browser = browser_of(alice)
    assert_page(browser.get(new_project), 200, "New project")
    response = browser.send(new_project, {"name": "Apollo"})
    assert (response.status_code, response.headers["Location"]) == (303, "/projects")
    assert [("Apollo", alice.user.id)] == MADE


def test_it_says_what_is_wrong_and_is_defended(new_project, alice, browser):
    own = browser_of(alice)
    assert_page(own.send(new_project, {"name": "x" * 21}), 422, "no more than 20 characters")
    assert own.post(new_project, {"name": "Apollo"}).status_code == 403
    assert browser.get(new_project).headers["Location"] == "/login?next=%2Fprojects%2Fnew"
    assert MADE == []
