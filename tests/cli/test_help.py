"""What `help()` shows of the package: every public name, in words."""

import inspect
import pydoc

import pytest

import mmc_gpu
from mmc_gpu import metrics


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
