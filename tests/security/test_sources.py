"""What our own code must not do, beside what ruff and tests/project/rules.py find. Each rule is tried on what breaks it."""

import ast
import re
from functools import cache

import pytest
from django.conf import settings

ROOT = settings.BASE_DIR
# What runs in production.
PACKAGES = ("saas", "tenancy", "accounts", "billing", "support", "deploy")
DEVELOPMENT = ("launcher", "standin")
# Reads what can run programs, bend types or reach out, or brings weak dice or hashes.
DANGEROUS = {"pickle", "marshal", "shelve", "yaml", "xml", "lxml", "ldap", "random", "ctypes", "telnetlib"}
MADE_TEMPLATES = {"from_string", "Template"}
# Who may call out, or start a program, and to where: settings alone say so.
REACHING_OUT = {
    "requests": {"billing/deadline.py", "tenancy/mail_failures.py"},
    "urllib3": {"billing/deadline.py", "tenancy/mail_failures.py"},
    "httpx": set(),
    "aiohttp": set(),
    "urllib.request": {"saas/operations/doctor.py"},
    "http.client": {"billing/deadline.py"},
    "socket": {"billing/deadline.py", "tenancy/mail_failures.py", "saas/kit/postgresql/base.py", "saas/error_reports.py"},
    "smtplib": {"tenancy/mail_failures.py"},
    "subprocess": {"saas/operations/programs.py"},
}  # fmt: skip


@cache
def trees():
    """{path: syntax tree} of all of it but migrations, which run once and by hand."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if not {"migrations", *DEVELOPMENT} & set(path.parts):
                found[str(path.relative_to(ROOT))] = ast.parse(path.read_text())
    return found


def imported(tree):
    """Modules, and what is taken from them, which may be a module too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def reaches(module, tree):
    return any(name == module or name.startswith(f"{module}.") for name in imported(tree))


def calls(tree):
    """(name, dotted or not; the call) of each call by name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            yield ast.unparse(node.func), node


def keywords(call):
    return {each.arg: each.value for each in call.keywords}


def is_constant(node, value):
    return isinstance(node, ast.Constant) and node.value is value


def dangerous_imports(tree):
    return [name for name in imported(tree) if name.partition(".")[0] in DANGEROUS]


def templates_made_of_text(tree):
    return [name for name, _ in calls(tree) if name.rpartition(".")[2] in MADE_TEMPLATES]


def weak_macs(tree):
    """Django's default is SHA-1."""
    return [
        name
        for name, call in calls(tree)
        if name.endswith("salted_hmac") and ast.unparse(keywords(call).get("algorithm", call)) != "'sha256'"
    ]


def open_ears(tree):
    """TLS that believes everybody."""
    found = [
        name
        for name, call in calls(tree)
        if is_constant(keywords(call).get("verify"), False)
        or is_constant(keywords(call).get("check_hostname"), False)
        or name.endswith(("_create_unverified_context", "_create_stdlib_context"))
    ]
    return found + [
        node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "CERT_NONE"
    ]


def patterns_made_of_input(tree):
    """Regular expressions that are neither written out nor put together from what is."""
    names = {"compile", "match", "fullmatch", "search", "sub", "split", "findall", "finditer"}
    return [
        ast.unparse(call)
        for name, call in calls(tree)
        if name.startswith("re.") and name[3:] in names and not isinstance(call.args[0], ast.Constant)
    ]


RULES = {
    dangerous_imports: ("import pickle", "from xml.etree import ElementTree", "import random"),
    templates_made_of_text: ("engine.from_string(text)", "Template(text)"),
    weak_macs: ("salted_hmac('a', text)", "salted_hmac('a', text, algorithm='sha1')"),
    open_ears: ("requests.get(url, verify=False)", "context.verify_mode = ssl.CERT_NONE"),
    patterns_made_of_input: ("re.search(text, line)", "re.compile(f'{text}')"),
}
# Written out in a list beside it, and nothing else goes in.
ALLOWED = {("saas/kit/logs.py", "re.compile(pattern, re.IGNORECASE)")}


@pytest.mark.parametrize(
    ("rule", "line"),
    [(rule, line) for rule, lines in RULES.items() for line in lines],
    ids=lambda each: getattr(each, "__name__", each),
)
def test_a_rule_finds_what_breaks_it(rule, line):
    assert rule(ast.parse(line))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_nothing_breaks_it(rule):
    assert len(trees()) > 150
    found = {(path, each) for path, tree in trees().items() for each in rule(tree)}
    assert found <= ALLOWED


@pytest.mark.parametrize("module", REACHING_OUT)
def test_only_these_reach_out(module):
    found = {path for path, tree in trees().items() if reaches(module, tree)}
    assert found <= REACHING_OUT[module]


@pytest.mark.parametrize(
    ("line", "module"),
    [
        ("from urllib import request", "urllib.request"),
        ("from http import client", "http.client"),
        ("import requests.sessions", "requests"),
        ("from requests.adapters import HTTPAdapter", "requests"),
    ],
)
def test_an_import_is_found_however_it_is_written(line, module):
    assert reaches(module, ast.parse(line))


def templates():
    return [path for path in (ROOT / "templates").rglob("*") if path.is_file()]


class TestTemplates:
    def test_attributes_are_quoted(self):
        """Escaping keeps a value inside its quotes, and nowhere else."""
        assert len(templates()) > 60
        for path in templates():
            assert path.suffix != ".html" or not re.search(r"\s[\w-]+=\{\{", path.read_text()), path

    def test_nothing_is_left_unescaped(self):
        """But in mails' text, where there is nothing to escape."""
        for path in templates():
            if path.suffix == ".html":
                assert not re.search(r"\|\s*safe|autoescape", path.read_text()), path

    def test_nothing_comes_from_elsewhere(self):
        for path in templates():
            text = path.read_text()
            assert not re.search(r"(?:src|href|action)=\"(?:https?:)?//", text), path


class TestScripts:
    FORBIDDEN = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|postMessage|localStorage"
        r"|sessionStorage|indexedDB|document\.cookie|__proto__|\.prototype|Object\.assign|\]\s*=[^=]"
    )

    @pytest.mark.parametrize(
        "path", sorted((ROOT / "static" / "js").glob("*.js")), ids=lambda path: path.name
    )
    def test_they_write_no_markup_keep_nothing_and_trust_no_key(self, path):
        assert not self.FORBIDDEN.search(path.read_text())

    @pytest.mark.parametrize(
        "line", ["box.innerHTML = text", "localStorage.setItem(a, b)", "options[name] = value", "eval(x)"]
    )
    def test_what_is_forbidden_is_found(self, line):
        assert self.FORBIDDEN.search(line)
