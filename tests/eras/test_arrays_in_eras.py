"""Predictions, meta model and benchmarks as arrays, in the order of the data's rows."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mmc_gpu import RoundError, evaluate

RNG = np.random.default_rng(40)
ROWS = 600
DATA = pd.DataFrame({"era": RNG.permutation(np.repeat([f"{era:04d}" for era in range(5)], 120))})
DATA["id"] = [f"n{row:05d}" for row in RNG.permutation(ROWS)]
DATA["data_type"] = np.where(RNG.random(ROWS) < 0.9, "validation", "test")
DATA["target"] = RNG.integers(0, 5, ROWS) / 4
META, MINE, BENCHMARK = RNG.random((3, ROWS))
WIDE = RNG.random((ROWS, 2)).astype(np.float32)
COLUMNS = {"mine": MINE, "wide_0": WIDE[:, 0], "wide_1": WIDE[:, 1]}
WHOLE = DATA.assign(meta_model=META, old=BENCHMARK, **COLUMNS)
METRICS = ["corr", "mmc", "bmc", "corr_with", "spearman"]
NAMED = {"models": list(COLUMNS), "meta_model": "meta_model", "benchmarks": ["old"]}
ARRAYS = {"predictions": {"mine": MINE, "wide": WIDE}, "meta_model": META}
ARRAYS |= {"benchmarks": {"old": BENCHMARK}}


CHOSEN = {"all": {}, "some": {"eras": "last:3", "data_type": "validation"}}


@pytest.fixture(scope="module")
def of_columns(engine):
    """The evaluation of columns, of each choice of eras."""
    return {
        name: evaluate(WHOLE, **NAMED, metrics=METRICS, engine=engine, **how)
        for name, how in CHOSEN.items()
    }


def same(found, expected):
    pd.testing.assert_frame_equal(found.eras, expected.eras, check_exact=True)
    pd.testing.assert_frame_equal(found.counts, expected.counts, check_exact=True)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """The data in each kind of place."""
    tmp_path = tmp_path_factory.mktemp("sources")
    DATA.sort_values("era", kind="stable").to_parquet(tmp_path / "sorted.parquet", index=False)
    DATA.to_parquet(tmp_path / "shuffled.parquet", index=False)
    DATA.to_csv(tmp_path / "data.csv", index=False)
    return {"frame": DATA, "arrow": pa.Table.from_pandas(DATA)} | {
        name: tmp_path / name for name in ("sorted.parquet", "shuffled.parquet", "data.csv")
    }


@pytest.mark.parametrize(
    "kind", ["frame", "arrow", "sorted.parquet", "shuffled.parquet", "data.csv"]
)
@pytest.mark.parametrize("chosen", CHOSEN)
def test_arrays_have_the_bits_of_columns(engine, sources, of_columns, kind, chosen):
    arrays = ARRAYS
    if kind == "sorted.parquet":
        order = DATA["era"].argsort(kind="stable")
        arrays = {
            "predictions": {"mine": MINE[order], "wide": WIDE[order]},
            "meta_model": META[order],
            "benchmarks": {"old": BENCHMARK[order]},
        }
    found = evaluate(sources[kind], **arrays, metrics=METRICS, engine=engine, **CHOSEN[chosen])
    same(found, of_columns[chosen])


def test_arrays_need_no_ids_and_stand_beside_files_that_do(tmp_path):
    MADE = DATA[["id"]].assign(prediction=MINE).sample(frac=1, random_state=0)
    MADE.to_csv(tmp_path / "filed.csv", index=False)
    found = evaluate(
        DATA, predictions=[tmp_path / "filed.csv", {"array": MINE}], metrics=["corr"]
    ).scores["corr"]
    assert found.shape == (1, 5, 2)
    np.testing.assert_array_equal(found[..., 0], found[..., 1])
    bare = evaluate(DATA.drop(columns="id"), predictions=MINE, metrics=["corr"])
    assert bare.models == ["predictions"]
    np.testing.assert_array_equal(
        bare.scores["corr"],
        evaluate(WHOLE.drop(columns="id"), models=["mine"], metrics=["corr"]).scores["corr"],
    )


def test_missing_predictions_of_an_array_cost_its_era():
    holed = MINE.copy()
    holed[7] = np.nan
    found = evaluate(DATA, predictions={"mine": holed}, metrics=["corr"])
    (fault,) = found.faulted
    assert (fault.era, fault.model, fault.code) == (DATA["era"][7], "mine", "prediction-missing")


READ_ONLY = MINE.copy()
READ_ONLY.flags.writeable = False


@pytest.mark.parametrize("kind", ["objects", "read-only and masked", "order of bytes"])
def test_arrays_of_odd_kinds_have_the_scores_of_plain_ones(kind):
    mine = {
        "objects": MINE.astype(object),
        "read-only and masked": np.ma.array(READ_ONLY, mask=False),
        "order of bytes": MINE.astype(MINE.dtype.newbyteorder()),
    }[kind]
    how = {"metrics": ["corr"], "engine": "numpy"}
    found, plain = (evaluate(DATA, predictions={"mine": one}, **how) for one in (mine, MINE))
    np.testing.assert_array_equal(found.scores["corr"], plain.scores["corr"])


@pytest.mark.parametrize("name", ["old", 3])
def test_an_array_of_names_names_columns(name):
    whole = WHOLE.rename(columns={"old": name, "meta_model": 4})
    how = {"models": ["mine"], "metrics": ["corr"], "meta_model": np.int64(4)}
    for names in (np.array([name]), pd.Index([name])):
        assert evaluate(whole, benchmarks=names, **how).benchmarks == [str(name)]


@pytest.mark.parametrize(
    ("given", "code", "place"),
    [
        ({"mine": MINE[:-1]}, "array-shape", r"'mine': shape \(599,\), and frame has 600 rows"),
        (MINE[None], "array-shape", r"predictions: shape \(1, 600\), and"),
        ({"mine": MINE[None, None]}, "array-shape", r"'mine': shape \(1, 1, 600\), not 1-D or 2-D"),
        ({"mine": MINE.astype(complex)}, "column-type", "'mine': a column of complex128"),
        ({"target": MINE}, "header-duplicate", "frame and predictions 'target' both have"),
        ([MINE, MINE], "header-duplicate", "predictions and predictions both have"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_an_error_with_its_place(given, code, place):
    with pytest.raises(RoundError, match=place) as error:
        evaluate(DATA, predictions=given)
    assert error.value.code == code


class CudfFrame:
    """A frame of cuDF, as far as its documents say: rows on a GPU, a copy as Arrow."""

    def __init__(self, frame):
        self.to_arrow = lambda: pa.Table.from_pandas(frame)


def test_a_frame_of_cudf_is_a_frame():
    how = {"metrics": ["corr"]}
    same(
        evaluate(CudfFrame(WHOLE), models=["mine"], **how), evaluate(WHOLE, models=["mine"], **how)
    )
    mine = DATA[["id"]].assign(mine=MINE)
    shuffled = mine.sample(frac=1, random_state=0).set_index("id")
    found = evaluate(DATA, predictions=CudfFrame(shuffled), **how)
    same(found, evaluate(WHOLE, models=["mine"], **how))
