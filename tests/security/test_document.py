"""docs/security.md names requirements once, in order, and tests that exist."""

import re

from tests.project.test_documents import DOCS, ROOT

ID = re.compile(r"V(\d+)\.(\d+)\.(\d+)")
TEXT = (DOCS / "security.md").read_text()
MET = [
    [cell.strip() for cell in line.split("|")[1:-1]] for line in TEXT.splitlines() if line.startswith("| V")
]


def rows(width):
    return [row for row in MET if len(row) == width]


def test_each_requirement_stands_once_and_in_order():
    numbers = [tuple(map(int, ID.fullmatch(row[0]).groups())) for row in rows(4)]
    assert len(numbers) > 40
    assert numbers == sorted(set(numbers))


def test_a_gap_is_not_said_to_be_met():
    gaps = {name for row in rows(3) for name in row[0].split(", ")}
    assert gaps
    assert not gaps & {row[0] for row in rows(4)}


def test_what_shows_it_exists():
    for row in rows(4):
        assert (ROOT / row[3]).is_file(), row


def test_files_that_are_named_exist():
    for name in re.findall(r"`((?:saas|accounts|tenancy|deploy)/[\w./]+)`", TEXT):
        assert (ROOT / name).exists(), name
