"""docs/asvs.md and docs/security.md: each requirement of the ASVS in one place, with a test that exists where it is met."""

import ast
import re
from functools import cache

import pytest

from tests.project.test_documents import DOCS, ROOT

# How many of the levels 1 and 2 each section of version 5.0 has; they come before those of level 3.
SECTIONS = {
    "1.1": 2, "1.2": 9, "1.3": 11, "1.4": 3, "1.5": 2,
    "2.1": 3, "2.2": 3, "2.3": 4, "2.4": 1,
    "3.2": 2, "3.3": 4, "3.4": 6, "3.5": 5, "3.7": 2,
    "4.1": 3, "4.2": 1, "4.3": 2, "4.4": 4,
    "5.1": 1, "5.2": 3, "5.3": 2, "5.4": 3,
    "6.1": 3, "6.2": 12, "6.3": 4, "6.4": 4, "6.5": 5, "6.6": 3, "6.8": 4,
    "7.1": 3, "7.2": 4, "7.3": 2, "7.4": 5, "7.5": 2, "7.6": 2,
    "8.1": 2, "8.2": 3, "8.3": 1, "8.4": 1,
    "9.1": 3, "9.2": 4,
    "10.1": 2, "10.2": 2, "10.3": 4, "10.4": 11, "10.5": 5, "10.6": 2, "10.7": 3,
    "11.1": 2, "11.2": 3, "11.3": 3, "11.4": 4, "11.5": 1, "11.6": 1,
    "12.1": 3, "12.2": 2, "12.3": 4,
    "13.1": 1, "13.2": 5, "13.3": 2, "13.4": 5,
    "14.1": 2, "14.2": 4, "14.3": 3,
    "15.1": 3, "15.2": 3, "15.3": 7,
    "16.1": 1, "16.2": 5, "16.3": 4, "16.4": 3, "16.5": 3,
    "17.1": 1, "17.2": 4, "17.3": 2,
}  # fmt: skip
REQUIREMENTS = [
    f"V{section}.{number}" for section, count in SECTIONS.items() for number in range(1, count + 1)
]
ASVS = (DOCS / "asvs.md").read_text()
SECURITY = (DOCS / "security.md").read_text()


def rows(text, heading):
    """The cells of each row below a heading that begins with a requirement."""
    part = text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in part.splitlines()
        if line.startswith("| V")
    ]


MET = rows(ASVS, "Met")
LISTS = {
    "met": MET,
    "does not apply": rows(ASVS, "Does not apply"),
    "left to whoever runs it": rows(ASVS, "Left to whoever runs it"),
    "gap": rows(SECURITY, "Known gaps"),
}


def requirements(cell):
    """What a cell names: a requirement, or a section or chapter as a whole, several with commas."""
    for name in cell.split(", "):
        found = [each for each in REQUIREMENTS if each == name or each.startswith(f"{name}.")]
        assert found, f"{name} is nothing of the ASVS"
        yield from found


def number(requirement):
    return tuple(map(int, requirement[1:].split(".")))


def test_there_are_as_many_as_the_standard_has():
    assert len(REQUIREMENTS) == len(set(REQUIREMENTS)) == 253


@pytest.mark.parametrize("requirement", REQUIREMENTS)
def test_each_is_in_one_place(requirement):
    places = [
        name
        for name, found in LISTS.items()
        for row in found
        for each in requirements(row[0])
        if each == requirement
    ]
    assert len(places) == 1, places


@pytest.mark.parametrize("name", LISTS)
def test_they_are_in_order(name):
    numbers = [number(each) for row in LISTS[name] for each in requirements(row[0])]
    assert numbers
    assert numbers == sorted(set(numbers))


def test_each_row_has_all_its_cells():
    for name, found in LISTS.items():
        for row in found:
            assert len(row) == {"met": 4, "gap": 3}.get(name, 2), row
            assert all(row), row


@cache
def names_of_tests(path):
    """Names of the tests in a file: `test_x`, `TestY`, `TestY::test_z`."""
    found = set()
    for node in ast.parse((ROOT / path).read_text()).body:
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            inside = {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
            found |= {node.name, *(f"{node.name}::{name}" for name in inside if name.startswith("test_"))}
        elif isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            found.add(node.name)
    return found


@pytest.mark.parametrize("row", MET, ids=lambda row: row[0])
def test_what_shows_it_exists(row):
    path, _, name = row[3].partition("::")
    assert path.startswith("tests/")
    assert name in names_of_tests(path) if name else names_of_tests(path)


def test_a_name_that_is_no_test_is_noticed():
    assert "test_each_is_in_one_place" in names_of_tests("tests/security/test_document.py")
    assert not {"rows", "number", "MET"} & names_of_tests("tests/security/test_document.py")


def test_files_and_settings_that_are_named_exist():
    for name in re.findall(
        r"`((?:saas|accounts|tenancy|support|templates|deploy)/[\w./]+)`", ASVS + SECURITY
    ):
        assert (ROOT / name).exists(), name
    settings = (ROOT / "saas" / "settings.py").read_text()
    for name in re.findall(r"`([A-Z]+_[A-Z_]+)`", ASVS):
        assert name in settings, name
