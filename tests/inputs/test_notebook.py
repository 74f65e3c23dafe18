"""Progress in a notebook: shown unless the caller shows it, and nowhere else."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import mmc_gpu
from mmc_gpu.inputs import notebook
from mmc_gpu.inputs.notebook import progress_of
from mmc_gpu.inputs.options import silent


@pytest.fixture
def shown(monkeypatch):
    """Stand in for a notebook; return the texts that its one line has shown."""
    texts = []

    def display(data, raw, display_id):
        texts.append(data["text/plain"])
        return SimpleNamespace(update=lambda data, raw: texts.append(data["text/plain"]))

    shell = type("ZMQInteractiveShell", (), {})()
    ipython = ModuleType("IPython")
    ipython.get_ipython = lambda: shell
    ipython.display = SimpleNamespace(display=display)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setattr(notebook, "_SECONDS", 0)
    return texts


RNG = np.random.default_rng(0)
IDS = [f"n{number:03}" for number in range(60)]


def evaluate(**how):
    frame = pd.DataFrame({"era": ["1"] * 30 + ["2"] * 30, "target": RNG.choice([0, 0.5, 1], 60)})
    return mmc_gpu.evaluate(frame.assign(m=RNG.random(60)), metrics=["corr"], **how)


def score_round(**how):
    predictions = pd.DataFrame(RNG.random((60, 3)), IDS, ["a", "b", "c"])
    stakes = {"a": 1.0, "b": 2.0}
    return mmc_gpu.score_round(predictions, stakes, pd.Series(RNG.random(60), IDS), **how)


def test_an_evaluation_shows_its_eras(shown):
    evaluate()
    assert shown == ["", "evaluate: 1 of 2", ""]


def test_a_round_shows_its_users(shown):
    score_round()
    assert shown[0] == ""
    assert shown[-1] == ""


@pytest.mark.parametrize("run", [evaluate, score_round])
def test_the_callers_progress_is_the_only_one(shown, run):
    said = []
    run(progress=lambda *what: said.append(what))
    assert said
    assert shown == []


@pytest.mark.parametrize("shell", [None, "TerminalInteractiveShell"])
def test_nothing_is_shown_elsewhere(monkeypatch, shell):
    ipython = ModuleType("IPython")
    ipython.get_ipython = lambda: None if shell is None else type(shell, (), {})()
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    assert progress_of(None) is silent
    monkeypatch.delitem(sys.modules, "IPython")
    assert progress_of(None) is silent
