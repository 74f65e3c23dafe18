"""What `help()`, `--help` and README say of the package: every public name, every engine."""

import inspect
import pydoc
import re
from pathlib import Path
from typing import get_type_hints

import pytest

import mmc_gpu
from mmc_gpu import metrics
from mmc_gpu.cli.app import app
from mmc_gpu.engines import ENGINES

README = Path(__file__).parents[2] / "mmc_gpu/engines/README.md"


def shown(thing):
    return pydoc.plain(pydoc.render_doc(thing))


def test_the_package_says_where_to_begin():
    text = shown(mmc_gpu)
    assert text.index("score_round(predictions, stakes, targets)") < text.index("PACKAGE CONTENTS")


@pytest.mark.parametrize("name", mmc_gpu.__all__)
def test_every_public_name_and_member_is_documented(name):
    thing = getattr(mmc_gpu, name)
    assert inspect.getdoc(thing).splitlines()[0] in shown(thing)
    if not inspect.isclass(thing):
        return
    for member, value in vars(thing).items():
        if not member.startswith("_") and (callable(value) or isinstance(value, property)):
            assert inspect.getdoc(value), f"{name}.{member}"


@pytest.mark.parametrize("name", ["plot", "report", "table"])
def test_members_that_show_scores_say_how(name):
    assert inspect.getdoc(getattr(mmc_gpu.RoundScores, name)).splitlines()[0] in shown(
        mmc_gpu.RoundScores
    )


@pytest.mark.parametrize("name", metrics.__all__)
def test_every_metric_is_documented(name):
    thing = getattr(metrics, name)
    if callable(thing):
        assert inspect.getdoc(thing)


def engine_commands():
    """Yield every command that has an option --engine: its name, and the option's help."""
    for command in app.registered_commands:
        hints = get_type_hints(command.callback, include_extras=True)
        if "engine" in hints:
            yield pytest.param(hints["engine"].__metadata__[0].help, id=command.callback.__name__)


@pytest.mark.parametrize("text", list(engine_commands()))
def test_every_command_names_every_engine(text):
    assert re.split(r"\W+", text)[: len(ENGINES)] == list(ENGINES)
    assert "auto" in text


def test_docstring_and_readme_name_every_engine():
    described = inspect.getdoc(mmc_gpu.score_round).partition("\n    engine: ")[2].split("\n")[0]
    assert re.findall(r'"(\w+)"', described) == [*ENGINES, "auto"]
    section = README.read_text("utf-8").partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(reversed(ENGINES))
