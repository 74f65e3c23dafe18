"""Eras side by side: the order, the bits and the errors of one thread; a column is sorted once."""

import hashlib
import time
from threading import Lock, current_thread

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_evaluate import ALL, PARTS, make_frame

from mmc_gpu import RoundError, evaluate, load_engine
from mmc_gpu.engines.ahead import side_by_side
from mmc_gpu.engines.threads import share
from mmc_gpu.eras import board
from mmc_gpu.eras.columns import Columns
from mmc_gpu.eras.frames import FrameEras
from mmc_gpu.files.eras import PieceEras
from mmc_gpu.files.formats.source import open_source

ERAS = {str(era): 50 + era for era in range(7)}


class Told:
    """A progress that keeps what it is told."""

    def __init__(self):
        self.calls = []

    def __call__(self, *call):
        self.calls.append(call)


@pytest.fixture(scope="module")
def frame():
    made = make_frame(ERAS)
    made["target_other"] = made["target"][::-1].to_numpy()
    return made


@pytest.mark.parametrize("name", ["numpy", "cpu"])
def test_no_bit_depends_on_the_number_of_threads(frame, name, monkeypatch):
    frame = frame.copy()
    frame.iloc[[3, 120, 300], frame.columns.get_loc("model_1")] = np.nan
    found = []
    for threads in (1, 2, 5):
        monkeypatch.setenv("MMC_GPU_THREADS", str(threads))
        told = Told()
        how = {**PARTS, "engine": name, "metrics": [*ALL, "churn"]}
        found.append(evaluate(frame, **how, progress=told))
        assert told.calls == [("evaluate", era + 1, len(ERAS)) for era in range(len(ERAS))]
    for other in found[1:]:
        assert list(other.faulted.items()) == list(found[0].faulted.items())
        for score, values in found[0].scores.items():
            np.testing.assert_array_equal(other.scores[score], values, err_msg=score)


def test_blas_has_one_thread_in_eras_and_then_its_own_again(frame):
    import scipy.linalg  # noqa: F401  brings a BLAS of its own
    from threadpoolctl import threadpool_info, threadpool_limits

    def threads():
        return [found["num_threads"] for found in threadpool_info() if found["user_api"] == "blas"]

    def counted(predictions, target):
        seen.append(threads())
        return dict.fromkeys(predictions, 0.5)

    seen = []
    with threadpool_limits(2, "blas"):
        before = threads()
        for _ in range(2):
            evaluate(frame, models=["model_0"], metrics=[counted], engine="numpy")
            assert threads() == before
    assert seen == [[1] * len(before)] * 2 * len(ERAS)


def test_large_eras_are_alone_and_have_the_same_ranks(frame, monkeypatch):
    expected = evaluate(frame, **PARTS, metrics=["corr", "mmc", "corr20"])
    monkeypatch.setattr(board, "_AT_ONCE", 1)
    found = evaluate(frame, **PARTS, metrics=["corr", "mmc", "corr20"])
    for score, values in expected.scores.items():
        np.testing.assert_array_equal(found.scores[score], values)


def test_an_era_that_cannot_be_read_is_the_error(frame):
    class Damaged(FrameEras):
        def eras(self, *which):
            for rows in super().eras(*which):
                if rows.label == "5":
                    raise RoundError("file-damaged", "era 5")
                yield rows

    with pytest.raises(RoundError, match=r"era 5; .*\[file-damaged\]"):
        evaluate(
            Damaged(frame), **PARTS | {"engine": load_engine("cpu", threads=3)}, metrics=["corr"]
        )


def test_results_come_in_order_and_few_items_are_alive():
    alive, most, lock = set(), [0], Lock()

    def items():
        for item in range(20):
            with lock:
                alive.add(item)
                most[0] = max(most[0], len(alive))
            yield item

    def work(item):
        time.sleep(0.002 * (item % 3))
        started = []
        share(lambda tiles: started.extend(current_thread() for _ in tiles), range(6), 4)
        assert set(started) == {current_thread()}  # threads of its own would be too many
        return item

    for number, found in enumerate(side_by_side(work, items(), threads=3, most=5)):
        assert found == number
        with lock:
            alive.remove(found)
    assert number == 19
    assert most[0] <= 6


def test_after_an_error_nothing_more_is_begun():
    begun = []

    def work(item):
        begun.append(item)
        if item == 2:
            raise RoundError("target-missing", "here")
        return item

    with pytest.raises(RoundError, match="here"):
        list(side_by_side(work, iter(range(100)), threads=2, most=4))
    assert len(begun) < 10


@pytest.mark.parametrize("name", ["numpy", "cpu"])
def test_a_column_is_sorted_once_for_all_metrics_and_targets_with_its_rows(frame, name):
    engine, sorted_ = load_engine(name), []

    def counting(verb):
        def counted(series, *given):
            sorted_.append(len(series))
            return verb(series, *given)

        return counted

    engine.rank_both = counting(engine.rank_both)
    plain, alone = engine.rank, []

    def rank(series, ties):
        alone.append(len(series))
        return plain(series, ties)

    engine.rank = rank
    how = PARTS | {"engine": engine, "models": ["model_*"], "benchmarks": ()}
    names = ["corr", "mmc", "corr20", "spearman", "cwmm"]
    evaluate(frame, target=["target", "target_other"], **how, metrics=names)
    assert sum(sorted_) == 3 * len(ERAS)
    assert sum(alone) == 3 * len(ERAS)  # one column each: both targets, and the meta model
    gaps = frame.copy()
    gaps.iloc[::7, gaps.columns.get_loc("target_other")] = np.nan
    sorted_.clear()
    evaluate(gaps, target=["target", "target_other"], **how, metrics=names)
    assert sum(sorted_) == 2 * 3 * len(ERAS)  # once for each set of rows


@pytest.mark.parametrize("name", ["numpy", "cpu"])
def test_many_models_are_sorted_once_with_all_their_sums(frame, name, monkeypatch):
    engine, blocks = load_engine(name), []
    plain = engine.products
    engine.products = lambda block, several: blocks.append(len(block)) or plain(block, several)
    engine.rank_both = None
    monkeypatch.setattr("mmc_gpu.metrics.population.cohort._VALUES", 120)  # two models a block
    how = PARTS | {"engine": engine, "target": ["target", "target_other"]}
    names = ["corr", "mmc", "bmc", "corr20", "spearman", "cwmm", "legacy_mmc"]
    found = evaluate(frame, **how, metrics=names)
    assert max(blocks) == 2
    assert sum(blocks) == len(found.models) * len(ERAS)


@pytest.mark.parametrize("name", ["numpy", "cpu"])
def test_scores_that_need_the_ranks_are_those_of_blocks(frame, name, monkeypatch):
    monkeypatch.setattr("mmc_gpu.metrics.population.cohort._VALUES", 120)
    how, engine = {**PARTS, "metrics": ["corr", "fnc", "mmc", "corr20"]}, load_engine(name)
    engine.products = None  # fnc needs ranks: so all sums are found from these
    expected = evaluate(frame, **how | {"engine": name, "metrics": ["corr", "mmc", "corr20"]})
    found = evaluate(frame, **how | {"engine": engine})
    for score, values in expected.scores.items():
        np.testing.assert_array_equal(found.scores[score], values, err_msg=score)


def test_an_era_in_several_pieces_of_a_file_is_that_of_a_frame(tmp_path, monkeypatch):
    rng = np.random.default_rng(5)
    values = pa.array(rng.random(900), mask=rng.random(900) < 0.1)
    columns = {"era": np.repeat(["1", "2", "3"], 300), "id": [f"n{n:03d}" for n in range(900)]}
    columns |= {"a": values.cast(pa.float32()), "b": values}
    monkeypatch.setattr("mmc_gpu.files.eras._BYTES", 1)  # 256 rows at a time
    for number, narrow in enumerate([("a",), ("a", "b"), ("a", "whole")]):
        table = pa.table({**columns, "whole": rng.integers(0, 5, 900).astype(np.int8)})
        pq.write_table(table, path := tmp_path / f"{number}.parquet", row_group_size=400)
        wanted = Columns("era", "id", (), None, (), (), narrow)
        frames = FrameEras(table.to_pandas()).eras(wanted)
        for one, other in zip(PieceEras(path).eras(wanted), frames, strict=True):
            np.testing.assert_array_equal(one.matrix, other.matrix)
            assert one.matrix.dtype == other.matrix.dtype
            assert one.matrix.flags.c_contiguous
            assert one.ids.equals(other.ids)


def test_a_file_is_hashed_while_it_is_read(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(np.random.default_rng(0).bytes(3_000_001))
    source = open_source(path)
    assert source.entry("file") == {
        "file": "file",
        "bytes": 3_000_001,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    with path.open("ab") as file:
        file.write(b"more")
    with pytest.raises(RoundError, match="changed while it was read"):
        source.entry("data")


def test_no_bit_of_a_rank_depends_on_the_models_that_are_ranked_together(
    frame, engine, monkeypatch
):
    frame = frame.copy()
    frame.iloc[[3, 120, 300], frame.columns.get_loc("model_1")] = np.nan
    frame.iloc[::11, frame.columns.get_loc("meta")] = np.nan
    frame.loc[frame["era"] == "4", "meta"] = 0.5
    names = ["corr", "mmc", "bmc", "bmc_each", "corr20", "spearman", "cwmm", "corr_with", "mcwnm",
             "churn"]  # fmt: skip
    how = PARTS | {"engine": engine, "metrics": names, "target": ["target", "target_other"]}
    together = evaluate(frame, **how)
    monkeypatch.setattr("mmc_gpu.metrics.population.cohort._VALUES", 120)
    apart = evaluate(frame, **how)  # two at a time
    assert apart.faulted == together.faulted
    for score, values in together.scores.items():
        np.testing.assert_array_equal(apart.scores[score], values, err_msg=score)
