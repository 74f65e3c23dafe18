"""`doctor` says what runs, having run it, and ends with one line."""

import tomllib
from pathlib import Path

import pytest

from mmc_gpu.cli import doctor
from mmc_gpu.engines import ENGINES
from mmc_gpu.engines.numpy_engine import NumpyEngine

ROOT = Path(__file__).parents[2]


class Engine(NumpyEngine):
    """An engine of another name, which may fail."""

    name = "cpu"

    def __init__(self, error=None):
        self.error = error

    def rank(self, series, ties):
        ranks = super().rank(series, ties)
        if self.error is not None:
            raise self.error
        return ranks[:, ::-1].copy()


@pytest.fixture
def found(monkeypatch):
    """Return what doctor finds where the cpu engine is this one, and none is new."""
    for name in ENGINES.keys() - {"numpy", "cpu", "gpu"}:
        monkeypatch.delitem(ENGINES, name)

    def look(load):
        monkeypatch.setitem(ENGINES, "cpu", load)
        return doctor.findings()

    return look


def test_every_extra_is_listed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    assert set(doctor.EXTRAS) == set(extras) - {"bench", "kernels", "test", "training", "dev"}
    for extra, package in doctor.EXTRAS.items():
        assert any(requirement.startswith(package) for requirement in extras[extra])
    lines = dict(doctor.findings())
    for extra in doctor.EXTRAS:
        state = lines[f"extra {extra}"]
        assert "is installed" in state or state == f"not installed: pip install 'mmc-gpu[{extra}]'"


def test_the_last_line_says_what_can_be_used_and_what_to_do(found):
    name, line = found(lambda threads: NumpyEngine())[-1]
    assert name == "in short"
    assert "cpu or numpy can be used now" in line
    assert dict(doctor.findings())["engine numpy"] == "works: it scored a small round"


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Invalid record (Producer: 'LLVM22')\nmore"),
        OSError("no library"),
        MemoryError(),
        TypeError("not that"),
        None,  # wrong numbers
    ],
    ids=repr,
)
def test_an_engine_that_does_not_score_does_not_work(found, error):
    lines = found(lambda threads: Engine(error))
    state = dict(lines)["engine cpu"]
    assert state.startswith("cannot run: it ")
    assert ("other bits than numpy" in state) == (error is None)
    assert "--engine numpy can be used now; for" in lines[-1][1]
    assert f"for cpu: {state.removeprefix('cannot run: ')}" in lines[-1][1]
    assert not any("\n" in state for _, state in lines)


def test_an_engine_whose_compiler_fails_does_not_work(found):
    errors = pytest.importorskip("numba.core.errors")
    error = errors.TypingError("\x1b[1mno such \x1b[1;31mtype\x1b[0m\nmore")  # in a terminal
    state = dict(found(lambda threads: Engine(error)))["engine cpu"]
    assert state == "cannot run: it could not score a small round (TypingError: no such type)"


def test_an_engine_that_cannot_be_loaded_does_not_work(found):
    def load(threads):
        raise ImportError("cannot import name 'FunctionCache'")

    lines = found(load)
    assert dict(lines)["engine cpu"].startswith("cannot run: ImportError: cannot import name")


def test_the_round_has_scores():
    """A round on which nothing can be told apart would show nothing."""
    assert doctor._fault(NumpyEngine()) == ""
    assert doctor._fault(Engine())
