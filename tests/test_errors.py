"""The codes of errors: whatever the package raises is explained, and nothing else is."""

import ast
from functools import cache
from pathlib import Path

import pytest

import mmc_gpu
from mmc_gpu.errors import CODES, WAITING, RoundError, explained

ROOT = Path(mmc_gpu.__file__).parent


@cache
def nodes():
    """Return every call and constant of the modules that name a code, and its module."""
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        text = path.read_text("utf-8")
        if "RoundError(" in text or any(code in text for code in CODES):
            tree = ast.walk(ast.parse(text))
            kept = [node for node in tree if isinstance(node, ast.Call | ast.Constant)]
            found += [(path.relative_to(ROOT), node) for node in kept]
    return found


def test_every_code_that_is_raised_is_explained():
    raised = {
        (str(path), call.args[0].value)
        for path, call in nodes()
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id == "RoundError"
        and call.args
        and isinstance(call.args[0], ast.Constant)
    }
    assert len(raised) > 100
    assert [place for place in raised if place[1] not in CODES] == []


@pytest.fixture(scope="module")
def used():
    """Every text of the package outside of errors.py."""
    constants = [node for path, node in nodes() if path.name != "errors.py"
                 and isinstance(node, ast.Constant)]  # fmt: skip
    found = {node.value for node in constants if isinstance(node.value, str)}
    return found | {WAITING}  # known by this name elsewhere


def test_every_code_that_is_explained_is_raised(used):
    assert CODES.keys() - used == set()


def test_a_code_is_explained_in_sentences():
    for code, (meaning, remedy) in CODES.items():
        assert meaning[0].isupper(), code
        assert meaning.endswith("."), code
        assert not remedy.endswith("."), code  # the message goes on: [code]
        assert explained(code).startswith(f"{code}\n")


def test_a_message_has_what_was_found_the_remedy_and_the_code():
    for code in CODES:
        assert str(RoundError(code, "found")) == f"found; {CODES[code].remedy} [{code}]"
