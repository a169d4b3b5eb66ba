"""The stand-in needs Python and nothing else."""

import ast
import sys
from pathlib import Path

import billing.standin

HERE = Path(billing.standin.__file__).parent


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


def test_it_imports_the_standard_library_and_itself():
    others = {
        name
        for path in HERE.rglob("*.py")
        for name in imported(path)
        if name.split(".")[0] not in sys.stdlib_module_names and not name.startswith("billing.standin")
    }
    assert others == set()
