"""What is done while a round's files are read."""

from threading import Event

import pytest

from mmc_gpu.cli import runs
from mmc_gpu.cli.runs import Run
from mmc_gpu.engines import load_engine
from mmc_gpu.errors import RoundError
from mmc_gpu.rounds.method import Method
from mmc_gpu.rounds.sample import make_sample_round, write_sample_round


@pytest.fixture
def folder(tmp_path):
    write_sample_round(tmp_path / "round", make_sample_round(12, 30))
    return tmp_path / "round"


@pytest.mark.parametrize("name", ["numpy", "cpu"])
def test_the_cpu_engines_kernels_are_loaded_while_files_are_read(folder, monkeypatch, name):
    engine, loaded = load_engine(name), Event()
    monkeypatch.setattr(runs, "_load_kernels", loaded.set)
    read = runs.read_round

    def waited(*given, **options):
        assert loaded.wait(5 if name == "cpu" else 0) is (name == "cpu")
        return read(*given, **options)

    monkeypatch.setattr(runs, "read_round", waited)
    assert Run(Method(), engine).score(folder, None).digest


def test_kernels_that_are_kept_are_loaded_and_others_left_to_the_round(monkeypatch):
    scored = []
    monkeypatch.setattr(runs, "score", lambda *given: scored.append(given))
    for kept, times in ((False, 0), (True, 1)):
        monkeypatch.setattr(runs, "kernels_are_kept", lambda kept=kept: kept)
        runs._load_kernels.__wrapped__()
        assert len(scored) == times


def test_a_round_that_cannot_be_read_is_told_as_before(folder):
    (folder / "stakes.csv").unlink()
    with pytest.raises(RoundError, match="stakes"):
        Run(Method(), load_engine("cpu")).score(folder, None)
