"""`evaluate` on GPUs, and its predictions, meta model and benchmarks as arrays that lie there."""

import numpy as np
import pandas as pd
import pytest

from mmc_gpu import RoundError, evaluate, metrics

RNG = np.random.default_rng(41)
ROWS, ERAS = 600, 4
DATA = pd.DataFrame({"era": RNG.permutation(np.arange(ROWS) % ERAS)})
DATA["id"] = [f"n{row:05d}" for row in RNG.permutation(ROWS)]
DATA["target"] = RNG.integers(0, 5, ROWS) / 4
MINE, META, OLD = RNG.random((3, ROWS))
WIDE, WHOLE_NUMBERS = RNG.random((ROWS, 2)).astype(np.float32), np.arange(ROWS)[::-1].copy()
ARRAYS = {
    "predictions": {"mine": MINE, "wide": WIDE, "whole": WHOLE_NUMBERS},
    "meta_model": META,
    "benchmarks": {"old": OLD},
}
HOW = {"metrics": ["corr", "mmc", "bmc", "spearman", "cwmm", "legacy_mmc"]}


class Foreign:
    """Another library's array on a GPU, with DLPack or CUDA's own interface."""

    def __init__(self, held, interface, **attributes):
        names = ["__cuda_array_interface__"]
        if interface == "dlpack":
            names = ["__dlpack__", "__dlpack_device__"]
        vars(self).update({name: getattr(held, name) for name in names}, held=held, **attributes)
        self.shape, self.ndim = held.shape, held.ndim


class Series(Foreign):
    """One of cuDF, as far as its documents say."""


def there(engine, gpu, interface, data):
    if isinstance(data, dict):
        return {name: there(engine, gpu, interface, one) for name, one in data.items()}
    with engine._cupy.cuda.Device(gpu):
        held = engine._cupy.asarray(data)
    return held if interface == "cupy" else Foreign(held, interface)


def same(found, expected):
    for name, scores in expected.scores.items():
        np.testing.assert_array_equal(found.scores[name], scores)


@pytest.mark.parametrize("interface", ["cupy", "dlpack", "cuda"])
@pytest.mark.parametrize("gpu", [0, 1])
@pytest.mark.parametrize("name", ["gpu", "numpy"])
def test_arrays_on_a_gpu_are_copied_once_and_ranked_once(make_engine, interface, gpu, name):
    engine = make_engine(devices=2)
    arrays = there(engine, gpu, interface, ARRAYS)
    engine.machine.log()
    found = evaluate(DATA, **arrays, **HOW, engine=engine if name == "gpu" else name)
    logged = engine.machine.logged()
    same(found, evaluate(DATA, **ARRAYS, **HOW, engine="numpy"))
    copied = [size for what, *_, size in logged if what == "copy"]
    assert copied.count(MINE.nbytes) == 5  # of each array, which have as many bytes
    models, stocks = 5, ROWS // ERAS
    ranked = [blocks for what, *_, blocks in logged if what.startswith("rank_buckets")]
    assert ranked.count(models) == (ERAS if name == "gpu" else 0)  # for all scores together
    assert models * stocks * 4 not in copied  # ranks stay on the GPU


def test_a_series_whose_rows_have_labels_is_no_array(make_engine):
    engine = make_engine()
    held = engine._cupy.asarray(MINE)
    counted, labelled = (
        Series(held, "cuda", to_arrow=None, index=type(name, (), {})())
        for name in ("RangeIndex", "Index")
    )
    same(
        evaluate(DATA, predictions={"mine": counted}, metrics=["corr"]),
        evaluate(DATA, predictions={"mine": MINE}, metrics=["corr"]),
    )
    np.testing.assert_array_equal(
        metrics.numerai_corr(counted, DATA["target"].to_numpy()),
        metrics.numerai_corr(MINE, DATA["target"].to_numpy()),
    )
    for score in (
        lambda: evaluate(DATA, predictions={"mine": labelled}),
        lambda: metrics.numerai_corr(labelled, DATA["target"].to_numpy()),
    ):
        with pytest.raises(RoundError, match="a Series on a GPU whose rows have labels") as error:
            score()
        assert error.value.code == "data-type"
    with pytest.raises(RoundError, match="an array of int64 on the GPU") as error:
        metrics.numerai_corr(engine._cupy.arange(9), np.arange(9.0))
    assert error.value.code == "column-type"
