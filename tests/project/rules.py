"""Rules of this project that no linter knows: python -m tests.project.rules [FOLDER]

A line that may break one says so, with its reason: `# noqa: SAAS001 - the reason`.
"""

import ast
import re
import sys
from pathlib import Path

PACKAGES = ("accounts", "billing", "deploy", "saas", "support", "tenancy")
RUNS_SQL = {"execute", "executemany", "raw", "RunSQL", "RawSQL"}
SQL = re.compile(
    r"\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|CREATE|ALTER|DROP|GRANT|REVOKE|TRUNCATE|WITH|SET|COMMENT ON)\s"
)
# The fence's own text, and the functions that look through it, are made there and nowhere else.
WRITES_SQL = {"tenancy/fence.py", "tenancy/database_functions.py"}
SETTING = re.compile(
    r"\bset_config\s*\(|\bapp\.current_\w+|\bSELECT\s+tenancy\.set_context\b|\bSET\s+(LOCAL\s+|SESSION\s+)?app\.",
    re.IGNORECASE,
)
SETS_ORGANIZATION = {"tenancy/context.py", "tenancy/staff.py"}
UNESCAPED = re.compile(r"\|\s*safe(seq)?\b|\{%\s*autoescape\s+off")

MADE_OF_PARTS = "SAAS001 SQL is made of parts: give values as parameters, and names to psycopg.sql"
SETS_CONTEXT = "SAAS002 only tenancy/context.py and tenancy/staff.py set what the fence reads"
IS_UNESCAPED = "SAAS003 a template shows text as it is"


def problems(root):
    """(place, message) of each line that breaks a rule."""
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            if "migrations" not in path.parts:
                yield from _python_problems(path.relative_to(root).as_posix(), path.read_text())
    for path in sorted((root / "templates").rglob("*.html")):
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            if UNESCAPED.search(line):
                yield f"{path.relative_to(root)}:{number}", IS_UNESCAPED


def _python_problems(name, text):
    lines = text.splitlines()
    found = set()
    for node in ast.walk(ast.parse(text)):
        if name not in WRITES_SQL and (_runs_parts(node) or _is_sql_of_parts(node)):
            found.add((node.lineno, node.end_lineno, MADE_OF_PARTS))
        if name not in SETS_ORGANIZATION and _sets_context(node):
            found.add((node.lineno, node.end_lineno, SETS_CONTEXT))
    for first, last, message in sorted(found):
        is_within = any(a <= first and last <= b and (a, b) != (first, last) for a, b, _ in found)
        if not is_within and not any(_is_passed_by(line, message) for line in lines[first - 1 : last]):
            yield f"{name}:{first}", message


def _is_passed_by(line, message):
    """With a reason. Ruff's own finding of the same kind is as good."""
    codes = [message.partition(" ")[0]] + (["S608"] if message is MADE_OF_PARTS else [])
    return any(re.search(rf"# noqa: {code} - \w", line) for code in codes)


def _runs_parts(node):
    if not isinstance(node, ast.Call) or not node.args:
        return False
    name = getattr(node.func, "attr", getattr(node.func, "id", None))
    return name in RUNS_SQL and _is_made_of_parts(node.args[0])


def _is_made_of_parts(node):
    match node:
        case ast.JoinedStr():
            return any(isinstance(value, ast.FormattedValue) for value in node.values)
        case ast.BinOp(left=left, op=ast.Mod()):
            return _is_text(left)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return any(_is_text(side) or _is_made_of_parts(side) for side in (left, right))
        case ast.Call(func=ast.Attribute(attr="format", value=value)):
            return _is_text(value)
    return False


def _is_text(node):
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _is_sql_of_parts(node):
    """Wherever it is run: a text that begins as a statement does, in capitals as ours do."""
    if not _is_made_of_parts(node):
        return False
    texts = [
        each.value
        for each in ast.walk(node)
        if isinstance(each, ast.Constant) and isinstance(each.value, str)
    ]
    return bool(texts) and bool(SQL.match(texts[0]))


def _sets_context(node):
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and bool(SETTING.search(node.value))


if __name__ == "__main__":
    found = list(problems(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
    sys.exit("\n".join(f"{place}: {message}" for place, message in found) or 0)
