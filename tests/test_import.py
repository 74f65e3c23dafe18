"""`import mmc_gpu` costs nothing, and yet every public name is there."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import mmc_gpu

TREE = ast.parse(Path(mmc_gpu.__file__).read_text("utf-8"))


def typed_names():
    """Return which module each name comes from, as type checkers see it."""
    (block,) = (
        node
        for node in TREE.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    return {alias.asname or alias.name: node.module for node in block.body for alias in node.names}


def test_type_checkers_see_the_names_that_are_imported_lazily():
    lazy = {name: room for room, names in mmc_gpu._ROOMS.items() for name in names}
    modules = {name: module.rpartition(".") for name, module in mmc_gpu._MODULES.items()}
    modules = {name: room for name, (room, _, module) in modules.items() if room != "mmc_gpu"}
    assert typed_names() == lazy | modules
    assert sorted([*lazy, *mmc_gpu._MODULES]) == mmc_gpu.__all__


@pytest.mark.parametrize("name", sorted(typed_names().keys() - mmc_gpu._MODULES.keys()))
def test_a_lazy_name_is_what_its_module_has(name):
    assert getattr(mmc_gpu, name) is getattr(import_module(typed_names()[name]), name)


def test_an_unknown_name_is_an_attribute_error_that_names_it():
    with pytest.raises(AttributeError, match="'scores'"):
        mmc_gpu.scores  # noqa: B018


def test_dir_shows_the_public_names():
    assert dir(mmc_gpu) == sorted([*mmc_gpu.__all__, "__version__"])


@pytest.fixture(scope="module")
def bare():
    """What is there in a process that has imported nothing else, in the order of the questions."""
    code = """
import sys, mmc_gpu
print(*dir(mmc_gpu), sep=",")
print({"pandas", "pyarrow", "numba", "polars", "matplotlib"} & set(sys.modules))
print(mmc_gpu.metrics.numerai_corr.__name__)
print("mmc_gpu.eras.training" in sys.modules)
from mmc_gpu import training
print(training.EraMetrics.__name__)
from mmc_gpu import *
print(score_round.__name__, metrics.__name__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_dir_shows_them_where_none_is_imported_yet(bare):
    assert bare[0].split(",") == dir(mmc_gpu)


def test_an_import_loads_no_large_library(bare):
    assert bare[1] == "set()"


def test_metrics_are_there_after_a_bare_import(bare):
    assert bare[2] == "numerai_corr"


def test_training_is_there_after_a_bare_import(bare):
    assert bare[3:5] == ["False", "EraMetrics"]


def test_all_names_come_with_a_star(bare):
    assert bare[5] == "score_round mmc_gpu.metrics"
