"""Files as people have them, joined by id: equal to a join by hand with pandas, and nothing lost.

Long, because the same four files serve all of it.
"""

import json
import shutil
from functools import partial

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mmc_gpu import RoundError, engines, evaluate
from mmc_gpu.files.formats.parquet_file import ParquetSource

pl = pytest.importorskip("polars", reason="the extra `test` has polars")
scoring = pytest.importorskip("numerai_tools.scoring", reason="the extra `test` has numerai-tools")
submissions = pytest.importorskip("numerai_tools.submissions", reason="as above")

ERAS = [f"{era:04d}" for era in range(857, 865)]
METRICS = ["corr", "mmc", "bmc_each", "fnc", "corr20"]
FEATURES = ["feature_able", "feature_bold", "feature_calm"]
RNG = np.random.default_rng(19)


def make_validation():
    """Return rows laid out as validation.parquet: the last era has no target yet."""
    parts = []
    for number, era in enumerate(ERAS):
        size = 110 + 5 * number
        ids = [f"n{value:015x}" for value in RNG.integers(0, 16**15, size)]
        part = pd.DataFrame({"era": era, "data_type": "validation"}, pd.Index(ids, name="id"))
        for name in FEATURES:
            part[name] = RNG.integers(0, 5, size).astype(np.int8)
        noise = RNG.normal(size=size)
        part["target"] = (pd.qcut(noise, 5, labels=False) / 4).astype(np.float32)
        part["target_ender_60"] = (pd.qcut(noise[::-1], 5, labels=False) / 4).astype(np.float32)
        if era == ERAS[-1]:
            part["data_type"] = "test"
            part[["target", "target_ender_60"]] = np.float32(np.nan)
        parts.append(part)
    return pd.concat(parts)


VALIDATION = make_validation()


def noisy(weight):
    return 0.1 * VALIDATION["target"].fillna(0.5) + weight * RNG.random(len(VALIDATION))


META = VALIDATION[["era", "data_type"]].assign(numerai_meta_model=noisy(0.5).astype(np.float32))
META = META[META["era"] >= "0860"]
BENCHMARKS = VALIDATION[["era"]].assign(v53_lgbm_ender20=noisy(0.6), v53_lgbm_ender60=noisy(0.7))
MINE = noisy(0.4).rename("prediction").to_frame()
OTHER = noisy(0.8).astype(np.float32).rename("prediction").to_frame()


def shuffled(frame, seed=0):
    return frame.sample(frac=1, random_state=seed)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The four files, rows of three of them shuffled."""
    folder = tmp_path_factory.mktemp("written")
    (folder / "mine").mkdir()
    VALIDATION.to_parquet(folder / "validation.parquet", row_group_size=100)
    shuffled(META, 1).to_parquet(folder / "meta_model.parquet")
    BENCHMARKS.to_parquet(folder / "validation_benchmark_models.parquet")
    shuffled(MINE).to_csv(folder / "mine/steady.csv")
    shuffled(OTHER, 2).to_parquet(folder / "mine/wild.parquet", row_group_size=64)
    return folder


@pytest.fixture
def files(written, tmp_path, monkeypatch):
    """Go where the four files are."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(written, tmp_path, dirs_exist_ok=True)
    return tmp_path


OPTIONS = {
    "predictions": ["mine/*.csv", "mine/wild.parquet"],
    "meta_model": "meta_model.parquet",
    "benchmarks": "validation_benchmark_models.parquet",
    "features": ["feature_*"],
    "metrics": METRICS,
    "engine": "numpy",
}


def by_hand():
    """Return the join that people write."""
    return (
        VALIDATION.join(META["numerai_meta_model"])
        .join(BENCHMARKS.drop(columns="era"))
        .join(MINE.set_axis(["steady"], axis=1))
        .join(OTHER.set_axis(["wild"], axis=1))
    )


def scores(evaluation, name, target="target"):
    own = evaluation.to_pandas() if evaluation.polars else evaluation
    table = own.eras[own.eras["target"] == target]
    return table.pivot(index="era", columns="model", values=name)


def by_numerai_tools(name, era, target):
    models = ["steady", "wild", "v53_lgbm_ender20", "v53_lgbm_ender60"]
    era = era.dropna(subset=[target]).sort_index().astype({target: np.float64})
    if name == "corr":
        return scoring.numerai_corr(era[models], era[target])
    if name == "fnc":
        return scoring.feature_neutral_corr(era[models], era[FEATURES], era[target])
    if name == "corr20":
        tie = scoring.tie_broken_rank_correlation
        return pd.Series({model: tie(era[target], era[model]) for model in models})
    meta = "numerai_meta_model" if name == "mmc" else name.removeprefix("bmc_")
    if not era[meta].notna().any():
        return pd.Series(np.nan, models)
    return scoring.correlation_contribution(era[models], era[meta], era[target])


def test_four_files_are_the_join_by_hand_scored_by_numerai_tools(files):
    targets = ["target", "target_ender_60"]
    found = evaluate("validation.parquet", target=targets, **OPTIONS)
    assert found.models == ["steady", "wild", "v53_lgbm_ender20", "v53_lgbm_ender60"]
    assert found.benchmarks == ["v53_lgbm_ender20", "v53_lgbm_ender60"]
    joined = by_hand()
    for target in targets:
        for name in ("corr", "mmc", "bmc_v53_lgbm_ender60", "corr20", "fnc"):
            own = scores(found, name, target)
            assert own.loc[ERAS[-1]].isna().all()
            for label in ERAS[:-1]:
                expected = by_numerai_tools(name, joined[joined["era"] == label], target)
                tolerance = 1e-9 if name == "fnc" else 1e-12  # where least squares are solved
                np.testing.assert_allclose(
                    own.loc[label, expected.index], expected, rtol=0, atol=tolerance
                )
    assert list(found.notes) == [
        "meta_model.parquet: nothing for 345 rows of validation.parquet, in 3 eras"
    ]


def test_four_files_have_the_bits_of_the_joined_frame(files, engine):
    found = evaluate("validation.parquet", **OPTIONS | {"engine": engine})
    wanted = evaluate(
        by_hand(), models=["steady", "wild"], meta_model="numerai_meta_model",
        benchmarks=["v53_*"], features=["feature_*"], metrics=METRICS, engine=engine,
    )  # fmt: skip
    pd.testing.assert_frame_equal(found.eras, wanted.eras, check_exact=True)
    pd.testing.assert_frame_equal(found.counts, wanted.counts, check_exact=True)
    assert found.faulted == wanted.faulted


FORMS = {
    "Series": lambda: MINE["prediction"],
    "Series without a name": lambda: MINE["prediction"].rename(None),
    "frame": lambda: shuffled(MINE),
    "id in a column": lambda: shuffled(MINE.reset_index()),
    "row numbers too": lambda: MINE.reset_index().reset_index(),
    "polars": lambda: pl.DataFrame({"id": [*MINE.index], "x": [*MINE["prediction"]]}),
    "Arrow": lambda: pa.Table.from_pandas(shuffled(MINE)),
    "nameless": lambda: shuffled(MINE).rename_axis(None),
    "eras in the index": lambda: MINE.set_index(VALIDATION["era"], append=True).swaplevel(),
    "levels without names": lambda: MINE.set_index(
        [VALIDATION["era"].to_numpy(), MINE.index.to_numpy()]
    ),
    "eras are numbers": lambda: shuffled(MINE.assign(era=VALIDATION["era"].astype(int))),
    "eras are spelled so": lambda: shuffled(MINE.assign(era="era" + VALIDATION["era"])),
    "categories": lambda: MINE.set_axis(pd.CategoricalIndex(MINE.index, name="id")),
    "polars' categories": lambda: pl.DataFrame(
        {"id": [*MINE.index], "era": [*VALIDATION["era"]], "x": [*MINE["prediction"]]}
    ).with_columns(pl.col("id", "era").cast(pl.Categorical)),
    "Arrow's dictionaries": lambda: pa.table(
        {"id": pa.array([*MINE.index]).dictionary_encode(), "x": [*MINE["prediction"]]}
    ),
}


@pytest.fixture(scope="module")
def of_a_column():
    """The evaluation of predictions that stand in the data."""
    data = VALIDATION.assign(mine=MINE["prediction"])
    return evaluate(data, metrics=["corr"], models=["mine"], engine="numpy")


FILED = [
    (form, kind)
    for form in FORMS
    if "polars" not in form and "Arrow" not in form and form != "levels without names"
    for kind in ("csv", "pq", *(["parts"] if form in ("Series", "row numbers too") else []))
]
"""The forms that pandas writes in files, and as which; parts are read as files, one by one."""


@pytest.mark.parametrize(("form", "kind"), [*((form, "given") for form in FORMS), *FILED])
def test_predictions_of_every_kind_have_the_same_bits(tmp_path, of_a_column, form, kind):
    data = FORMS[form]()
    if kind != "given":
        path = tmp_path / f"mine.{kind}"
        if kind == "csv":
            data.to_csv(path)
        elif kind == "pq":
            (data if isinstance(data, pd.DataFrame) else data.to_frame("x")).to_parquet(path)
        else:
            path.mkdir()
            (path / "._part-0.csv").write_text("not a part")
            data[:200].to_csv(path / "part-0.csv")
            data[200:].to_csv(path / "part-1.csv")
        data = path
    found = evaluate(VALIDATION, predictions={"mine": data}, metrics=["corr"], engine="numpy")
    pd.testing.assert_frame_equal(found.eras, of_a_column.eras, check_exact=True)
    assert found.notes == of_a_column.notes


@pytest.fixture(scope="module")
def of_files(written):
    """The evaluation of the four files, the data in a frame."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(written)
        return evaluate(VALIDATION, **OPTIONS)


@pytest.mark.parametrize("form", ["parts", "csv", "shuffled", "levels", "polars", "categories"])
def test_the_data_itself_may_come_in_every_kind(files, of_files, form):
    data = VALIDATION
    if form == "parts":
        (files / "all").mkdir()
        VALIDATION[:300].to_parquet("all/0.parquet")
        VALIDATION[300:].to_parquet("all/1.pq")
        data = "all"
    elif form == "csv":
        shuffled(VALIDATION).to_csv("all.csv")
        data = "all.csv"
    elif form == "shuffled":
        shuffled(VALIDATION).to_parquet("all.parquet")
        data = "all.parquet"
    elif form == "levels":
        data = shuffled(VALIDATION.set_index("era", append=True).swaplevel())
    elif form == "polars":
        data = pl.DataFrame(VALIDATION.reset_index().to_dict("list"))
    elif form == "categories":
        data = pl.DataFrame(VALIDATION.reset_index().to_dict("list"))
        data = data.with_columns(pl.col("id", "era").cast(pl.Categorical))
    found = evaluate(data, **OPTIONS)
    assert found.labels == ERAS
    for name, values in of_files.scores.items():
        np.testing.assert_allclose(found.scores[name], values, rtol=1e-12, atol=1e-15)


def test_a_wide_file_has_a_model_in_each_column(tmp_path):
    wide = shuffled(BENCHMARKS.assign(target_guess=1.5, feature_guess=2.5, days=3))
    wide.to_csv(tmp_path / "wide.csv")
    for predictions in (wide, tmp_path / "wide.csv", str(tmp_path / "*.csv")):
        found = evaluate(VALIDATION, predictions=predictions, metrics=["corr"], engine="numpy")
        assert found.models == ["v53_lgbm_ender20", "v53_lgbm_ender60"]
    found = evaluate(VALIDATION, predictions={"a": wide, "b": wide}, metrics=["corr"])
    assert found.models == [f"{key}_v53_lgbm_ender{days}" for key in "ab" for days in (20, 60)]


def test_each_numeric_column_of_a_wide_file_is_a_model(tmp_path):
    """Unless it stands beside the data, as row numbers do, or another says that it is the one."""
    tenths = (10 * MINE["prediction"]).astype(int)
    wide = OTHER.assign(rough=tenths, up=tenths > 5, days=3, row=np.arange(len(MINE)), why="x")
    wide = shuffled(wide.rename(columns={"prediction": "wild"}))
    wide.to_parquet(tmp_path / "wide.parquet")
    wide.drop(columns="up").to_csv(tmp_path / "wide.csv")
    models = ["wild", "rough", "up"]
    data = VALIDATION.assign(wild=OTHER, rough=tenths, up=tenths > 5)
    wanted = evaluate(data, models=models, metrics=["corr"], engine="numpy")
    for predictions in (wide, tmp_path / "wide.parquet", tmp_path / "wide.csv"):
        found = evaluate(VALIDATION, predictions=predictions, metrics=["corr"], engine="numpy")
        count = len(found.models)
        assert found.models == models[:count]
        assert count == 2 + (not str(predictions).endswith(".csv"))
        np.testing.assert_array_equal(found.scores["corr"], wanted.scores["corr"][..., :count])
    for name, one in ("rough", tenths.rename("rough")), ("mine", MINE.assign(rough=tenths)):
        path = tmp_path / f"{name}.csv"
        one.to_csv(path)
        assert evaluate(VALIDATION, predictions=path, metrics=["corr"]).models == [name]


@pytest.mark.parametrize("as_it_is", ["text", "number", "UTC", "midnight"])
def test_days_are_the_same_eras_however_they_are_written(as_it_is):
    days = pd.to_datetime("2024-01-05") + 7 * pd.to_timedelta(VALIDATION["era"].astype(int), "D")
    data = VALIDATION.assign(date=days)
    told = {
        "text": days.dt.strftime("%Y-%m-%d"),
        "number": days.dt.strftime("%Y%m%d").astype(int),
        "UTC": days.dt.tz_localize("UTC"),
        "midnight": days.dt.strftime("%Y-%m-%d 00:00:00"),
    }
    mine = shuffled(MINE.assign(date=told[as_it_is]))
    found = evaluate(data, predictions={"m": mine}, era="date", metrics=["corr"], engine="numpy")
    wanted = evaluate(data, predictions={"m": MINE}, era="date", metrics=["corr"], engine="numpy")
    assert found.labels == [str(day.date()) for day in days.unique()]
    pd.testing.assert_frame_equal(found.eras, wanted.eras, check_exact=True)
    some = evaluate(data, predictions=mine, era="date", eras=[days.iloc[0], days.iloc[-1].date()])
    assert some.labels == [found.labels[0], found.labels[-1]]


def test_tickers_that_repeat_are_joined_by_date_too(tmp_path):
    dates = pd.to_datetime(["2024-01-05", "2024-01-12", "2024-01-19"])
    index = pd.MultiIndex.from_product([dates, [f"T{n:03}" for n in range(120)]])
    target = pd.Series(RNG.choice([0, 0.25, 0.5, 0.75, 1], len(index)), index)
    mine = pd.Series(RNG.random(len(index)), index, name="signal")
    data = target.rename_axis(["date", "ticker"]).rename("target").to_frame()
    wanted = evaluate(data.assign(m=mine.array), era="date", engine="numpy", metrics=["corr"])
    assert wanted.labels == ["2024-01-05", "2024-01-12", "2024-01-19"]
    long = shuffled(mine.rename_axis(["friday_date", "numerai_ticker"]).reset_index())
    long.to_csv(tmp_path / "m.csv", index=False)
    for given in (shuffled(mine), tmp_path / "m.csv", long.rename(columns={"friday_date": "date"})):
        found = evaluate(
            data, predictions={"m": given}, era="date", engine="numpy", metrics=["corr"]
        )
        pd.testing.assert_frame_equal(found.eras, wanted.eras, check_exact=True)
    undated = long.drop(columns="friday_date").drop_duplicates("numerai_ticker")
    with pytest.raises(RoundError, match=r"have 0 of 120 and 360 rows in common.*join-ids"):
        evaluate(data, predictions=undated, era="date")


def test_ids_may_be_numbers_in_one_file_and_text_in_another(tmp_path):
    numbered = VALIDATION.set_index(pd.Index(range(5000, 5000 + len(VALIDATION)), name="id"))
    mine = MINE.set_index(numbered.index)
    shuffled(mine).to_csv(tmp_path / "mine.csv")
    found = evaluate(numbered, predictions=tmp_path / "mine.csv", metrics=["corr"])
    texts = evaluate(
        numbered.set_index(numbered.index.astype(str)), predictions={"mine": mine},
        metrics=["corr"],
    )  # fmt: skip
    wanted = evaluate(numbered.assign(mine=mine), models=["mine"], metrics=["corr"])
    pd.testing.assert_frame_equal(found.eras, wanted.eras, check_exact=True)
    pd.testing.assert_frame_equal(texts.eras, wanted.eras, check_exact=True)


class TestSaid:
    """What has no partner, or two, is counted and said."""

    def evaluated(self, mine, data=VALIDATION, **options):
        return evaluate(
            data, predictions={"mine": mine}, metrics=["corr"], engine="numpy", **options
        )

    def lost(self, evaluation):
        return {(fault.era, fault.model, fault.code) for fault in evaluation.faulted} - {
            (ERAS[-1], "*", "target-missing")
        }

    def test_further_ids(self):
        more = pd.concat([MINE, MINE.set_axis([f"x{n}" for n in range(len(MINE))])[:7]])
        found = self.evaluated(shuffled(more))
        assert list(found.notes) == [
            "predictions 'mine': left out 7 rows: 7 with ids that are not in frame"
        ]
        assert self.lost(found) == set()

    def test_missing_ids(self):
        found = self.evaluated(MINE.drop(MINE.index[[0, 1, 300]]))
        assert list(found.notes) == ["predictions 'mine': nothing for 3 rows of frame, in 2 eras"]
        assert self.lost(found) == {
            ("0857", "mine", "prediction-missing"),
            ("0859", "mine", "prediction-missing"),
        }
        assert found.missing.sum() == 3

    def test_a_null_id(self):
        data = MINE.reset_index()
        data.loc[5, "id"] = None
        found = self.evaluated(data)
        assert list(found.notes) == [
            "predictions 'mine': left out 1 row: 1 without an id; nothing for 1 row of frame,"
            " in 1 era"
        ]
        assert self.lost(found) == {("0857", "mine", "prediction-missing")}

    def test_an_id_that_stands_twice(self):
        twice = pd.concat([MINE, MINE[130:131] + 1])
        found = self.evaluated(shuffled(twice))
        name = MINE.index[130]
        assert list(found.notes) == [
            f"predictions 'mine': 1 id stands in more than one row, taken as missing: '{name}'"
        ]
        assert self.lost(found) == {("0858", "mine", "id-duplicate")}
        (fault,) = [fault for fault in found.faulted if fault.model == "mine"]
        assert fault.detail == (
            f"era 0858, 'mine': 1 id in more than one row of predictions 'mine', which has"
            f" '{name}' so"
        )

    def test_rows_of_another_era(self):
        mine = MINE.assign(era=VALIDATION["era"])
        mine.iloc[:2, 1] = "0860"
        found = self.evaluated(shuffled(mine))
        assert "2 with ids of other eras of frame" in found.notes[0]
        assert self.lost(found) == {("0857", "mine", "prediction-missing")}

    def test_an_id_that_stands_twice_in_the_data_costs_its_era_alone(self):
        data = pd.concat([VALIDATION[:200], VALIDATION[199:]])
        found = self.evaluated(MINE, data)
        assert self.lost(found) == {("0858", "*", "id-duplicate")}
        assert "without an era and with ids of several rows" in found.notes[0]
        wanted = scores(self.evaluated(MINE), "corr")
        wanted.loc["0858"] = np.nan
        pd.testing.assert_frame_equal(scores(found, "corr"), wanted, check_exact=True)

    def test_a_null_id_in_the_data_costs_its_era_alone(self):
        data = VALIDATION.reset_index()
        data.loc[3, "id"] = None
        found = self.evaluated(MINE, data)
        assert self.lost(found) == {("0857", "*", "id-null")}
        assert scores(found, "corr")["mine"].notna().sum() == len(ERAS) - 2

    def test_an_id_that_stands_twice_in_the_meta_model(self):
        twice = pd.concat([META, META[:1]])
        found = evaluate(
            VALIDATION, predictions=MINE, meta_model=twice, metrics=["mmc"], engine="numpy"
        )
        assert f"in more than one row, taken as missing: '{META.index[0]}'" in found.notes[0]
        assert found.counts.set_index("era").loc["0860", "without_meta_model"] == 1
        assert scores(found, "mmc").loc["0860"].notna().all()

    def test_an_era_of_two_stocks(self):
        data = VALIDATION[(VALIDATION["era"] != "0857") | (np.arange(len(VALIDATION)) < 2)].copy()
        data.iloc[:2, data.columns.get_loc("target")] = [0.25, 0.75]
        found = self.evaluated(MINE, data)
        assert self.lost(found) == {("0857", "*", "era-size")}
        assert found.scores["corr"].shape == (1, len(ERAS), 1)


class TestRefused:
    def test_files_that_share_few_ids(self, files):
        MINE.set_axis([f"x{n}" for n in range(len(MINE))]).rename_axis("id").to_csv("odd.csv")
        with pytest.raises(RoundError, match=r"odd.csv and validation.parquet have 0 of") as caught:
            evaluate("validation.parquet", predictions="odd.csv")
        assert caught.value.code == "join-ids"
        assert "'x0', 'x1'" in caught.value.detail

    def test_eras_of_another_kind(self, files):
        MINE.assign(era="eraX").to_csv("odd.csv")
        with pytest.raises(RoundError, match=r"ids in other eras than '0857', '0858'"):
            evaluate("validation.parquet", predictions="odd.csv")

    @pytest.mark.parametrize("second", ["mine/steady.csv", "again/steady.csv"])
    def test_two_models_of_one_name(self, files, second):
        (files / "again").mkdir()
        MINE.to_csv("again/steady.csv")
        with pytest.raises(RoundError, match=f"mine/steady.csv and {second} both have") as caught:
            evaluate("validation.parquet", predictions=["mine/steady.csv", second])
        assert caught.value.code == "header-duplicate"

    def test_a_model_called_as_a_column_of_the_data(self, files):
        with pytest.raises(RoundError, match=r"validation.parquet and .*a model 'target'"):
            evaluate("validation.parquet", predictions={"target": MINE})

    @pytest.mark.parametrize(
        ("predictions", "code"),
        [
            ("none/*.csv", "file-missing"),
            ("none.csv", "file-missing"),
            ("notes.txt", "file-format"),
            (VALIDATION[["era", "data_type"]], "column-missing"),
            (MINE.reset_index(drop=True), "column-missing"),
            (MINE.set_axis(np.arange(len(MINE)) / 2), "id-type"),
            (MINE.set_axis(np.arange(len(MINE)) * 1j), "id-type"),
            (MINE.set_axis(pd.Index(["\ud800"] * len(MINE), dtype=object)), "id-type"),
            (MINE.assign(era=[[857]] * len(MINE)), "era-type"),
            (np.empty((len(VALIDATION), 0)), "array-shape"),
            (VALIDATION["target"].to_numpy().astype(str), "value-text"),
        ],
    )
    def test_what_is_no_file_of_predictions(self, files, predictions, code):
        (files / "notes.txt").write_text("no predictions")
        with pytest.raises(RoundError, match=rf"\[{code}\]"):
            evaluate("validation.parquet", predictions=predictions)

    def test_parts_with_different_columns(self, files, monkeypatch):
        OTHER.rename(columns={"prediction": "other"}).to_csv("mine/other.csv")
        with pytest.raises(RoundError, match=r"steady.csv and other.csv differ by"):
            evaluate("validation.parquet", predictions="mine")
        monkeypatch.chdir(files / "mine")
        with pytest.raises(RoundError, match=r"^\.: steady.csv and other.csv differ by 'other'"):
            evaluate(files / "validation.parquet", predictions=".")

    @pytest.mark.parametrize("name", ["era", "target", "prediction"])
    def test_parts_with_a_column_of_different_types(self, tmp_path, name):
        (tmp_path / "parts").mkdir()
        columns = {
            "era": [1, 1, 2, 2],
            "target": [0, 0.5, 0.5, 1],
            "prediction": [0.1, 0.3, 0.2, 0],
        }
        for part in (columns, columns | {name: [*map(str, "abcd")]}):
            path = tmp_path / f"parts/{part[name][0]}.parquet"
            pd.DataFrame(part).to_parquet(path)
        with pytest.raises(RoundError, match=rf"parts: .*{name}.*(double|int64).*\[column-type\]"):
            evaluate(tmp_path / "parts", metrics=["corr"])

    def test_a_meta_model_of_several_columns(self, files):
        with pytest.raises(RoundError, match="meta_model: columns 'v53_lgbm_ender20'"):
            evaluate("validation.parquet", predictions=MINE, meta_model=BENCHMARKS)

    def test_a_column_that_is_neither_a_column_nor_a_file(self, files):
        with pytest.raises(RoundError, match=r"no column 'meta_modell'.*column-unknown"):
            evaluate("validation.parquet", predictions=MINE, meta_model="meta_modell")

    def test_a_cluster(self, files):
        with pytest.raises(
            ValueError, match=r"a cluster joins no files and chooses no eras: steady.csv"
        ):
            evaluate("validation.parquet", predictions="mine/steady.csv", cluster="local")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("first", [True, False])
def test_a_part_may_have_only_whole_numbers(tmp_path, kind, first):
    data = VALIDATION.assign(prediction=MINE["prediction"]).drop(columns="data_type").reset_index()
    whole = data["era"].le("0858").to_numpy() == first
    data.loc[whole, "prediction"] = (9 * data.loc[whole, "prediction"]).round()
    (tmp_path / "parts").mkdir()
    for name, part in ("a", data[data["era"] <= "0858"]), ("b", data[data["era"] > "0858"]):
        narrow = part["prediction"].astype(int if (name == "a") == first else float)
        getattr(part.assign(prediction=narrow), f"to_{kind}")(
            tmp_path / f"parts/{name}.{kind}", index=False
        )
    found = evaluate(tmp_path / "parts", metrics=["corr"])
    np.testing.assert_array_equal(
        found.scores["corr"], evaluate(data, metrics=["corr"]).scores["corr"]
    )


def test_integers_beyond_64_bits_are_ids_too():
    frame = pd.DataFrame({"era": [1, 1, 1], "target": [0, 0.5, 1]}, [2**70, 2**71, 2**72])
    mine = pd.DataFrame({"prediction": [0.2, 0.1, 0.3]}, [2**72, 2**70, 2**71])
    alone = evaluate(frame.assign(prediction=mine["prediction"]), metrics=["corr"])
    found = evaluate(frame, predictions=mine, metrics=["corr"])
    np.testing.assert_array_equal(found.scores["corr"], alone.scores["corr"])
    assert np.isfinite(found.scores["corr"]).all()


def test_a_meta_model_and_benchmarks_may_be_named_frames():
    meta, ens = META["numerai_meta_model"], BENCHMARKS["v53_lgbm_ender20"]
    found = evaluate(
        VALIDATION, predictions={"m": MINE}, meta_model=meta, metrics=["bmc_each", "mmc"],
        benchmarks={"ens": ens.rename("prediction")}, engine="numpy",
    )  # fmt: skip
    wanted = evaluate(
        VALIDATION.assign(m=MINE["prediction"], ens=ens, mm=meta), models=["m"], meta_model="mm",
        benchmarks=["ens"], metrics=["bmc_each", "mmc"], engine="numpy",
    )  # fmt: skip
    assert found.benchmarks == ["ens"]
    pd.testing.assert_frame_equal(found.eras, wanted.eras, check_exact=True)


def test_only_what_is_joined_is_a_model_unless_columns_are_named():
    data = VALIDATION.assign(mine=MINE["prediction"])
    assert evaluate(data, predictions=OTHER, metrics=["corr"]).models == ["prediction"]
    found = evaluate(data, predictions=OTHER, models=["mine"], metrics=["corr"])
    assert found.models == ["mine", "prediction"]
    with pytest.raises(ValueError, match="models: give a list of columns, not 'mine'"):
        evaluate(data, predictions=OTHER, models="mine")


def test_a_column_is_a_column_and_not_the_file_of_its_name(files):
    data = by_hand()
    shuffled(META).to_csv("numerai_meta_model")
    found = evaluate(data, predictions={"m": MINE}, meta_model="numerai_meta_model",
                     benchmarks=["v53_lgbm_ender20"], metrics=["mmc"], engine="numpy")  # fmt: skip
    assert found.models == ["m", "v53_lgbm_ender20"]
    assert scores(found, "mmc")["m"].notna().sum() == 4


@pytest.fixture(scope="module")
def wanted():
    return evaluate(
        by_hand(), models=["wild", "steady"], meta_model="numerai_meta_model",
        benchmarks=["v53_lgbm_ender20"], metrics=["corr", "mmc", "bmc"], engine="numpy",
    )  # fmt: skip


class TestAColumnOfTheFirstFile:
    """A string that names a column of the first file is that column, else a path."""

    @pytest.mark.parametrize("named", [False, True])
    @pytest.mark.parametrize("kind", ["frame", "file", "shuffled"])
    def test_may_be_predictions_meta_model_or_benchmark(self, tmp_path, wanted, kind, named):
        names = {
            "predictions": ["wild", "steady"],
            "meta_model": "numerai_meta_model",
            "benchmarks": "v53_lgbm_ender20",
        }
        if named:
            names = {"predictions": {"a": "wild", "b": "steady"}, "meta_model": {"c": "numerai_"
                     "meta_model"}, "benchmarks": {"d": "v53_lgbm_ender20"}}  # fmt: skip
        data = by_hand() if kind == "frame" else tmp_path / "all.parquet"
        shuffled(by_hand(), 5).to_parquet(data) if kind == "shuffled" else None
        by_hand().to_parquet(data) if kind == "file" else None
        found = evaluate(data, **names, metrics=["corr", "mmc", "bmc"], engine="numpy")
        assert found.models == (["a", "b", "d"] if named else wanted.models)
        for name, values in wanted.scores.items():
            np.testing.assert_array_equal(found.scores[name], values)

    def test_stands_beside_a_file(self, files):
        found = evaluate(
            by_hand().drop(columns="steady"), predictions=["mine/*.csv", "wild"],
            metrics=["corr"], engine="numpy",
        )  # fmt: skip
        assert found.models == ["wild", "steady"]

    @pytest.mark.parametrize("features", ["feature_able", "feature_*"])
    def test_may_be_a_feature(self, features):
        found = evaluate(VALIDATION, predictions=MINE, features=features, metrics=["fnc"])
        wanted = evaluate(VALIDATION, predictions=MINE, features=[features], metrics=["fnc"])
        pd.testing.assert_frame_equal(found.eras, wanted.eras, check_exact=True)

    def test_that_is_no_models_is_refused(self):
        with pytest.raises(RoundError, match="'target' is no model's predictions"):
            evaluate(VALIDATION, predictions="target")

    @pytest.mark.parametrize("role", ["predictions", "meta_model", "benchmarks"])
    @pytest.mark.parametrize("given", ["", "none", {"x": "none"}])
    def test_or_else_a_path(self, role, given):
        with pytest.raises(RoundError, match=r"no such file, and no column of|no column 'none'"):
            evaluate(VALIDATION, **{"predictions": MINE, role: given})


@pytest.mark.parametrize("argument", ["era", "ids"])
@pytest.mark.parametrize("kind", ["frame", "file", "shuffled"])
def test_columns_of_eras_and_ids_that_are_not_there_are_refused(tmp_path, argument, kind):
    data = VALIDATION if kind == "frame" else tmp_path / "all.parquet"
    if kind != "frame":
        (VALIDATION if kind == "file" else shuffled(VALIDATION)).to_parquet(data)
    with pytest.raises(RoundError, match=r"no column 'nothing'.*\[column-unknown\]"):
        evaluate(data, predictions=MINE, **{argument: "nothing"})
    with pytest.raises(ValueError, match="era: name the column"):
        evaluate(data, predictions=MINE, era=None)


@pytest.mark.parametrize("first", [True, False])
def test_an_index_and_a_column_of_ids_must_agree(first):
    data, mine = VALIDATION.copy(), MINE.copy()
    both = data if first else mine
    both["id"] = both.index
    found = evaluate(data, predictions=mine, metrics=["corr"], engine="numpy")
    assert found.notes == ()
    both["id"] = both.index[::-1]
    with pytest.raises(RoundError, match=r"the index and the column 'id' differ.*id-ambiguous"):
        evaluate(data, predictions=mine)


@pytest.mark.parametrize("kind", ["shuffled", "parts"])
def test_of_parts_and_of_files_in_any_order_only_needed_columns_are_read(
    tmp_path, monkeypatch, kind
):
    data = tmp_path / ("all.parquet" if kind == "shuffled" else "all")
    if kind == "shuffled":
        shuffled(VALIDATION).to_parquet(data)
    else:
        data.mkdir()
        VALIDATION[:300].to_parquet(data / "0.parquet")
        VALIDATION[300:].to_parquet(data / "1.parquet")
    read, batches = set(), ParquetSource.batches

    def watched(self, names, *where):
        read.update(names)
        return batches(self, names, *where)

    monkeypatch.setattr(ParquetSource, "batches", watched)
    found = evaluate(data, predictions={"m": MINE}, metrics=["corr"], engine="numpy")
    assert read == {"id", "era", "target"}
    wanted = evaluate(VALIDATION, predictions={"m": MINE}, metrics=["corr"], engine="numpy")
    pd.testing.assert_frame_equal(found.eras, wanted.eras, check_exact=True)


def test_row_numbers_in_a_shuffled_file_are_no_model(tmp_path):
    data = VALIDATION.assign(row=np.arange(len(VALIDATION)) * 1.0, mine=MINE["prediction"])
    shuffled(data).to_parquet(tmp_path / "all.parquet")
    found = evaluate(tmp_path / "all.parquet", metrics=["corr"], engine="numpy")
    assert found.models == ["mine"]
    assert "'row' (row numbers)" in found.notes[0]


def test_targets_may_be_a_tuple():
    names = ("target", "target_ender_60")
    found = evaluate(VALIDATION, predictions=MINE, target=names, metrics=["corr"])
    assert found.targets == [*names]


class TestFilled:
    def test_as_numerai_tools_fills(self):
        mine = MINE.copy()
        mine.iloc[[3, 4, 50, 500]] = np.nan
        whole = evaluate(VALIDATION, predictions=mine, metrics=["corr", "corr20"], engine="numpy")
        found = evaluate(
            VALIDATION, predictions=mine, metrics=["corr", "corr20"], engine="numpy",
            missing="fill",
        )  # fmt: skip
        assert "missing='fill': 4 predictions, 0.5 among the ranks of the others" in found.notes
        np.testing.assert_array_equal(found.missing, whole.missing)
        assert not [fault for fault in found.faulted if fault.code == "prediction-missing"]
        for label in ERAS[:-1]:
            era = VALIDATION[VALIDATION["era"] == label].sort_index()
            ranked = scoring.tie_kept_rank(mine.loc[era.index]).fillna(0.5)
            expected = scoring.numerai_corr(ranked, era["target"].astype(float))["prediction"]
            own = scores(found, "corr").loc[label, "prediction"]
            assert own == pytest.approx(expected, abs=1e-12)
        untouched = scores(found, "corr").drop(["0857", "0861"])
        pd.testing.assert_frame_equal(untouched, scores(whole, "corr").drop(["0857", "0861"]))

    def test_an_era_without_any_prediction_is_not_filled(self):
        found = evaluate(VALIDATION, predictions=MINE[200:], metrics=["corr"], missing="fill")
        assert np.isnan(scores(found, "corr").loc["0857", "prediction"])
        assert ("0857", "prediction-missing") in {(f.era, f.code) for f in found.faulted}

    def test_another_word_is_refused(self):
        with pytest.raises(ValueError, match="missing must be 'error' or 'fill', not 'zero'"):
            evaluate(VALIDATION, predictions=MINE, missing="zero")


class TestCommand:
    @pytest.fixture
    def run(self, run, files):
        return partial(run, "evaluate")

    FILES = ("validation.parquet", "--predictions", "mine/*.csv", "--predictions",
             "mine/wild.parquet", "--meta-model", "meta_model.parquet", "--benchmark",
             "validation_benchmark_models.parquet", "--feature", "feature_*", "--engine",
             "numpy", *(word for name in METRICS for word in ("--metric", name)))  # fmt: skip

    def test_the_command_has_the_bits_of_python(self, run):
        targets = "--target", "target", "--target", "target_ender_60"
        code, _, err = run(*self.FILES, *targets, "-o", "OUT")
        assert code == 0
        assert "note: meta_model.parquet: nothing for 345 rows of validation.parquet" in err
        wanted = evaluate("validation.parquet", target=["target", "target_ender_60"], **OPTIONS)
        found = pd.read_parquet("OUT/eras.parquet")
        pd.testing.assert_frame_equal(found, wanted.eras, check_exact=True)

    @pytest.mark.parametrize("option", ["--era", "--id", "--eras", "--meta-model", "--benchmark"])
    @pytest.mark.parametrize("value", ["nothing", ""])
    def test_what_is_not_there_is_an_error_of_one_line(self, run, option, value):
        code, out, err = run("validation.parquet", "--predictions", "mine", option, value)
        assert (code, out) == (1, "")
        assert err.count("\n") == 1, err
        assert repr(value) in err

    def test_the_receipt_lists_every_file_and_every_option(self, run, files):
        options = "--eras", "0858:", "--every", 2, "--missing", "fill"
        assert run(*self.FILES, *options, "-o", "OUT")[0] == 0
        receipt = json.loads((files / "OUT/receipt.json").read_text())
        assert {entry["file"]: entry["role"] for entry in receipt["inputs"]} == {
            "validation.parquet": "data",
            "steady.csv": "predictions",
            "wild.parquet": "predictions",
            "meta_model.parquet": "meta_model",
            "validation_benchmark_models.parquet": "benchmarks",
        }
        assert all(len(entry["sha256"]) == 64 for entry in receipt["inputs"])
        parameters = receipt["parameters"]
        assert parameters["predictions"] == ["mine/*.csv", "mine/wild.parquet"]
        assert parameters["meta_model"] == "meta_model.parquet"
        assert (parameters["eras"], parameters["every"]) == ("0858:", 2)
        assert (parameters["missing"], parameters["data_type"]) == ("fill", None)

    def test_names_that_a_terminal_would_obey_are_shown_escaped(self, run, files):
        shuffled(OTHER).to_csv(files / "mine/a\x1b[31mred\n.csv")
        code, out, _ = run("validation.parquet", "--predictions", "mine/*.csv", "--metric", "corr")
        assert code == 0
        assert "\x1b" not in out
        assert out.count("\n   2  a\\x1b[31mred\\n  ") == 1

    def test_a_model_with_a_bad_row_is_named_and_changes_the_exit_code(self, run):
        pd.concat([MINE, MINE[:1]]).to_csv("mine/steady.csv")
        code, _, err = run(*self.FILES)
        assert code == 4
        assert "for 'steady': era 0857, 'steady': 1 id in more than one row of steady.csv" in err


def test_auto_judges_by_the_models_that_are_joined(run, files, monkeypatch):
    plain, works = engines.load_engine, []

    def load(name, threads=None, work=0.0):
        works.append(work)
        return plain("numpy" if isinstance(name, str) else name)

    monkeypatch.setattr(engines, "load_engine", load)
    code, _, err = run("evaluate", "validation.parquet", "--predictions", "mine/*.csv")
    assert code in (0, 3), err
    assert works[0] == 2.0 * len(VALIDATION)
