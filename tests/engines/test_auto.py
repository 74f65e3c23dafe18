"""Which engine `auto` takes: the one with which the work of a whole call is done soonest."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mmc_gpu
from mmc_gpu import engines
from mmc_gpu.engines import load_engine
from mmc_gpu.engines.arrays import value_count
from mmc_gpu.engines.cpu import cache
from mmc_gpu.engines.order import stable_order
from mmc_gpu.errors import EngineUnavailable
from mmc_gpu.files.rounds.folder import values_about
from mmc_gpu.rounds.sample import make_sample_round, write_sample_round

FEW, MANY, MORE = 1e5, 20e6, 200e6


def missing(threads):
    raise EngineUnavailable("no such device")


class Loaded:
    """Stands for an engine."""

    moments = None

    def __init__(self, name):
        self.name = name


@pytest.fixture
def fresh(monkeypatch):
    """A process that has loaded no engine, on a machine with compiled kernels and without a GPU."""
    monkeypatch.setattr(engines, "_with_numpy", [0.0])
    monkeypatch.setattr(engines, "kernels_are_kept", lambda: True)
    monkeypatch.delattr(engines._held, "gpu", raising=False)
    monkeypatch.delitem(sys.modules, "mmc_gpu.engines.cpu.engine", raising=False)
    loaders = {"numpy": Loaded("numpy"), "cpu": Loaded("cpu")}
    for name, engine in loaders.items():
        monkeypatch.setitem(engines.ENGINES, name, lambda threads, engine=engine: engine)
    monkeypatch.setitem(engines.ENGINES, "gpu", missing)
    return monkeypatch


def taken(work):
    return load_engine("auto", work=work).name


@pytest.mark.parametrize(("work", "name"), [(0, "numpy"), (FEW, "numpy"), (MANY, "cpu")])
def test_a_small_work_takes_numpy(fresh, work, name):
    assert taken(work) == name


def test_without_a_work_the_fastest_is_taken(fresh):
    assert load_engine("auto").name == "cpu"


def test_where_kernels_must_be_compiled_more_work_takes_numpy(fresh):
    fresh.setattr(engines, "kernels_are_kept", lambda: False)
    assert taken(MANY) == "numpy"
    assert taken(MORE) == "cpu"


def test_small_works_together_are_a_large_one(fresh):
    names = [taken(FEW) for _ in range(30)]
    assert names[:5] == ["numpy"] * 5
    assert names[-5:] == ["cpu"] * 5


def test_a_process_that_has_the_cpu_engine_takes_it(fresh):
    fresh.setitem(sys.modules, "mmc_gpu.engines.cpu.engine", None)
    assert taken(FEW) == "cpu"


def test_a_small_work_does_not_look_for_a_gpu(fresh):
    asked = []
    fresh.setitem(engines.ENGINES, "gpu", lambda threads: asked.append(1) or Loaded("gpu"))
    assert taken(FEW) == "numpy"
    assert not asked
    assert taken(MANY) == "gpu"
    fresh.setattr(engines._held, "gpu", Loaded("gpu"), raising=False)
    assert taken(FEW) == "gpu"


def test_a_gpu_is_taken_where_the_cpu_kernels_are_not_compiled(fresh):
    fresh.setitem(engines.ENGINES, "gpu", lambda threads: Loaded("gpu"))
    fresh.setattr(engines, "kernels_are_kept", lambda: False)
    assert taken(MANY) == "gpu"


def test_a_named_engine_is_loaded_for_any_work(fresh):
    assert load_engine("cpu", work=0).name == "cpu"
    assert load_engine("numpy", work=MORE).name == "numpy"
    with pytest.raises(EngineUnavailable):
        load_engine("gpu", work=MORE)


def test_an_array_on_a_gpu_is_no_small_work():
    class OnGpu:
        __cuda_array_interface__ = None
        shape = (2, 3)

    assert value_count(OnGpu()) == np.inf
    assert value_count(np.ones((2, 3))) == 6


@pytest.mark.parametrize(
    ("variable", "folder"), [("NUMBA_CACHE_DIR", "mmc_gpu"), ("XDG_CACHE_HOME", "mmc_gpu")]
)
def test_compiled_kernels_are_found_where_they_are_kept(monkeypatch, tmp_path, variable, folder):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setattr(cache, "__file__", str(tmp_path / "no folder" / "cache.py"))
    (tmp_path / "no folder").touch()  # nothing can be written beside the source
    assert not cache.kernels_are_kept()
    cache.keep_code("mmc_gpu.engines.cpu.rank.rank_rows", __file__, ("x86",), b"code")
    assert cache.kernels_are_kept()
    assert len(list((tmp_path / folder).iterdir())) == 1


CALL = """
import shutil, sys
import numpy as np, mmc_gpu
from mmc_gpu.engines.cpu.cache import kernels_are_kept
rng = np.random.default_rng(0)
before = kernels_are_kept()
def score(engine):
    scores = mmc_gpu.score_round(rng.random((60, 9)), np.ones(9), rng.random(60), engine=engine)
    return scores.engine
print(score("auto"), before, "numba" in sys.modules)
shutil.copytree(sys.argv[1], sys.argv[2])
print(score("cpu"), score("auto"), kernels_are_kept(), "numba" in sys.modules)
"""


def test_a_real_process_finds_the_kernels_that_another_has_compiled(tmp_path):
    pytest.importorskip("numba")
    mmc_gpu.score_round(np.eye(60), np.ones(60), np.arange(60.0), engine="cpu")  # are kept now
    (kept, *_) = (folder for folder in cache._folders() if any(folder.glob("*.rank_rows.*")))
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "NUMBA_DISABLE_JIT": "0"}
    done = subprocess.run(
        [sys.executable, "-c", CALL, kept, tmp_path / "mmc_gpu"],
        capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["numpy False False", "cpu cpu True False"]


@pytest.fixture
def works(monkeypatch):
    """The works of all calls that load an engine by the name "auto"."""
    found = []

    def soonest(work):
        found.append(work)
        return ["numpy"]

    monkeypatch.setattr(engines, "_soonest_first", soonest)
    return found


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two rounds of 20 users and 100 stocks, one of them with a file a user."""
    path = tmp_path_factory.mktemp("rounds")
    for number, one_by_one in enumerate((False, True)):
        write_sample_round(path / f"r{number}", make_sample_round(20, 100, number), one_by_one)
    return [path / "r0", path / "r1"]


def test_python_calls_say_how_much_work_there_is(works):
    rng = np.random.default_rng(0)
    predictions, target = rng.random((60, 9)), rng.random(60)
    mmc_gpu.score_round(predictions, np.ones(9), target)
    mmc_gpu.metrics.numerai_corr(predictions, target)
    mmc_gpu.metrics.stake_weight(predictions, np.ones(9))
    mmc_gpu.metrics.rank(predictions)
    assert works == [540.0] * 4


def test_an_evaluation_says_it_once_for_all_eras(works):
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.random((80, 3)), columns=["target", "a", "b"])
    frame["era"] = np.repeat([1, 2, 3, 4], 20)
    assert mmc_gpu.evaluate(frame, metrics=["corr"]).engine == "numpy"
    assert works == [2 * 160.0]


def test_the_command_line_says_it_once_for_all_rounds(works, folders, tmp_path, capfd):
    from mmc_gpu.cli.app import app

    command = ["score", *map(str, folders), "-o", str(tmp_path / "out")]
    app(command, standalone_mode=False)
    assert works == [values_about(folders)]
    for folder in folders:
        receipt = json.loads((tmp_path / "out" / folder.name / "receipt.json").read_text())
        assert receipt["engine"] == "numpy"
    app([*command, "--engine", "cpu"], standalone_mode=False)  # does not depend on the engine
    assert "2 finished before" in capfd.readouterr().out


def test_files_say_about_how_many_predictions_they_hold(folders):
    assert values_about([]) == 0
    assert values_about([Path("not there")]) == 0
    for folder in folders:
        assert 1000 < values_about([folder]) < 8000
    assert values_about(folders) == sum(values_about([folder]) for folder in folders)


@pytest.mark.parametrize("count", [1, 2, 7, 100, 5000, 70000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_stable_order_is_that_of_numpys_stable_sort(count, dtype):
    rng = np.random.default_rng(count)
    normal = rng.standard_normal((3, count))
    steps = rng.integers(0, 3, (3, count)) + rng.integers(0, 2, (3, count)) * 2e-16
    tiny, wide = normal * 1e-300 * 1e-10, np.sign(normal) * np.exp(np.abs(normal) * 9)
    zeros = np.where(normal > 0, 0.0, -0.0)
    for rows in (normal, normal.round(1), 1 + normal * 1e-15, steps, tiny, wide, zeros):
        rows = np.ascontiguousarray(rows.astype(dtype))
        np.testing.assert_array_equal(stable_order(rows), np.argsort(rows, axis=1, kind="stable"))
