"""Some of the eras, one data type, and a set of features from features.json."""

import json
import sys

import numpy as np
import pandas as pd
import pytest
from test_evaluate import make_frame

from mmc_gpu import RoundError, evaluate
from mmc_gpu.cli.app import main

ERAS = [f"{era:04d}" for era in range(855, 867)]
FRAME = make_frame(dict.fromkeys(ERAS, 40), seed=3).assign(
    data_type=lambda frame: np.where(frame["era"] < "0857", "train", "validation")
)
FRAME.loc[FRAME["era"] >= "0865", "target"] = np.nan
PARTS = {"models": ["model_*"], "metrics": ["corr", "churn"], "engine": "numpy"}


SOURCES = ["frame", "shuffled", "file", "joined"]


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Return what is given to evaluate, of each kind of source."""
    path = tmp_path_factory.mktemp("chosen") / "eras.parquet"
    FRAME.to_parquet(path, row_group_size=130)
    renamed = FRAME.set_index(FRAME["era"] + FRAME.index)
    joined = {"predictions": renamed[["model_0"]].rename(columns={"model_0": "m"})}
    return {
        "frame": (FRAME, {}),
        "shuffled": (FRAME.sample(frac=1, random_state=0), {}),
        "file": (path, {}),
        "joined": (renamed, joined),
    }


@pytest.fixture
def chosen(sources, source):
    """Return what evaluates the eras that are asked for, from a source."""
    data, joined = sources[source]
    return lambda **how: evaluate(data, **PARTS | joined | how)


WHOLE = evaluate(FRAME, **PARTS)


ASKED = [
    ({"eras": "0857:0861"}, ERAS[2:7]),
    ({"eras": "0857:"}, ERAS[2:]),
    ({"eras": ":0857"}, ERAS[:3]),
    ({"eras": "857:0858"}, ERAS[2:4]),
    ({"eras": "0860"}, ["0860"]),
    ({"eras": ["0861", 857, "era0859"]}, ["0857", "0859", "0861"]),
    ({"eras": np.array([857, 859])}, ["0857", "0859"]),
    ({"eras": 860}, ["0860"]),
    ({"eras": "last:3"}, ["0862", "0863", "0864"]),
    ({"eras": "last:500"}, ERAS[:10]),
    ({"every": 4}, ["0855", "0859", "0863"]),
    ({"every": np.int64(4)}, ["0855", "0859", "0863"]),
    ({"eras": "0857:0864", "every": 4}, ["0857", "0861"]),
    ({"eras": "last:5", "every": 2}, ["0860", "0862", "0864"]),
    ({"data_type": "validation"}, ERAS[2:]),
    ({"data_type": "train", "eras": "last:1"}, ["0856"]),
    ({"data_type": "validation", "every": 4}, ["0857", "0861", "0865"]),
    ({"data_type": "validation", "eras": ":0858"}, ["0857", "0858"]),
]
"""The eras that are chosen are found by their labels alone, so each source has a part of these."""


@pytest.mark.parametrize(
    ("source", "how", "labels"),
    [("frame", *asked) for asked in ASKED]
    + [(SOURCES[1 + number % 3], *asked) for number, asked in enumerate(ASKED)],
)
def test_chosen_eras_have_the_scores_that_they_have_among_all(chosen, how, labels):
    found = chosen(**how)
    assert found.labels == labels
    at = [WHOLE.labels.index(label) for label in labels]
    for number, model in enumerate(found.models[:3]):
        column = 0 if model == "m" else WHOLE.models.index(model)
        own = found.scores["corr"][0, :, number]
        np.testing.assert_array_equal(own, WHOLE.scores["corr"][0, at, column])
    assert found.counted["rows"].tolist() == [[40] * len(labels)]


@pytest.mark.parametrize("source", SOURCES)
def test_what_is_chosen_is_said(chosen):
    notes = chosen(eras="last:5", every=2, data_type="validation").notes
    place = notes[0].partition(":")[0]
    assert list(notes) == [
        f"{place}: data_type validation: kept 400 of 480 rows; others: 80 train",
        f"{place}: eras last:5, every 2: 3 of 12 eras, 0860 to 0864",
    ]


def test_rows_of_another_data_type_within_an_era_are_left_out():
    frame = FRAME.copy()
    frame.iloc[85:90, frame.columns.get_loc("data_type")] = "test"
    found = evaluate(frame, **PARTS, data_type="validation")
    wanted = evaluate(frame[frame["data_type"] == "validation"], **PARTS)
    pd.testing.assert_frame_equal(found.eras, wanted.eras, check_exact=True)
    assert found.counted["rows"][0, 0] == 35


def test_churn_is_measured_from_one_chosen_era_to_the_next():
    found = evaluate(FRAME, **PARTS, every=3)
    wanted = evaluate(FRAME[FRAME["era"].isin(ERAS[::3])], **PARTS)
    pd.testing.assert_frame_equal(found.eras, wanted.eras, check_exact=True)
    assert np.isfinite(found.scores["churn"][0, 1:]).all()


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ({"eras": "0857:0999"}, RoundError, r"no era '0999'; there are '0855' to '0866'"),
        ({"eras": "0857-0861"}, RoundError, r"no era '0857-0861'.*\[era-unknown\]"),
        ({"eras": ["0900"]}, RoundError, "no era '0900'"),
        ({"eras": ""}, RoundError, "no era ''"),
        ({"eras": []}, RoundError, "no era is left"),
        ({"data_type": "live"}, RoundError, "'live'; there are 80 train, 400 validation"),
        ({"eras": "0861:0857"}, ValueError, "0861 is behind 0857"),
        ({"eras": "last:0"}, ValueError, "last:0 is not"),
        ({"eras": "last:few"}, ValueError, "last:few is not"),
        ({"eras": [1.5]}, ValueError, "give text, integers or dates, not"),
        ({"eras": 860.0}, ValueError, "give text, integers or dates, not"),
        ({"eras": slice(857, 860)}, ValueError, "give text, integers or dates, not"),
        ({"every": 0}, ValueError, "every must be a whole number of at least 1"),
        ({"every": 1.5}, ValueError, "every must be a whole number of at least 1"),
    ],
)
def test_what_is_not_there_is_refused_with_what_there_is(how, error, words):
    with pytest.raises(error, match=words):
        evaluate(FRAME, **PARTS, **how)


def test_a_cluster_is_refused(tmp_path):
    FRAME.to_parquet(tmp_path / "eras.parquet")
    with pytest.raises(ValueError, match=r"chooses no eras: eras\.parquet"):
        evaluate(tmp_path / "eras.parquet", **PARTS, every=4, cluster="local")


def test_a_data_type_needs_its_column():
    with pytest.raises(RoundError, match=r"no column 'data_type'.*\[era-unknown\]"):
        evaluate(FRAME.drop(columns="data_type"), **PARTS, data_type="validation")


SETS = {"small": ["feature_0", "feature_2"], "all": ["feature_0", "feature_1", "feature_2"]}


class TestFeatureSet:
    @pytest.fixture
    def file(self, tmp_path):
        path = tmp_path / "features.json"
        path.write_text(json.dumps({"feature_sets": SETS, "targets": ["target"]}))
        return path

    @pytest.mark.parametrize("name", SETS)
    def test_names_the_features(self, file, name):
        found = evaluate(
            FRAME, models=["model_*"], metrics=["fnc"], features=file, feature_set=name
        )
        wanted = evaluate(FRAME, models=["model_*"], metrics=["fnc"], features=SETS[name])
        pd.testing.assert_frame_equal(found.eras, wanted.eras, check_exact=True)

    @pytest.mark.parametrize("name", [None, "medium"])
    def test_that_is_not_there_is_refused_with_what_there_is(self, file, name):
        with pytest.raises(RoundError, match="there are 'small', 'all'"):
            evaluate(FRAME, **PARTS, features=str(file), feature_set=name)

    @pytest.mark.parametrize(
        "text", ["[]", '{"feature_sets": 3}', "{", '{"feature_sets": {"a": 1}}']
    )
    def test_in_a_file_that_is_no_features_json_is_refused(self, file, text):
        file.write_text(text)
        with pytest.raises(RoundError, match=r"no object feature_sets.*\[file-damaged\]"):
            evaluate(FRAME, **PARTS, features=file, feature_set="small")

    def test_needs_its_file(self):
        with pytest.raises(ValueError, match=r"feature_set: give the path of a features\.json"):
            evaluate(FRAME, **PARTS, features=["feature_*"], feature_set="small")

    def test_named_as_a_column_is_told_where_it_belongs(self):
        with pytest.raises(RoundError, match=r"stands in features=, with feature_set="):
            evaluate(FRAME, **PARTS, features=["features.json"])

    def test_of_the_command_is_in_the_receipt(self, file, tmp_path, monkeypatch, capsys):
        FRAME.to_parquet(tmp_path / "eras.parquet")
        options = ["--features", str(file), "--feature-set", "small", "--metric", "fnc"]
        options += ["--model", "model_*", "--eras", "0857:0858", "--data-type", "validation"]
        argv = ["mmc-gpu", "evaluate", str(tmp_path / "eras.parquet"), *options]
        monkeypatch.setattr(sys, "argv", [*argv, "-o", str(tmp_path / "out")])
        with pytest.raises(SystemExit) as stop:
            main()
        assert not stop.value.code
        receipt = json.loads((tmp_path / "out/receipt.json").read_text())
        assert receipt["inputs"][1]["file"] == "features.json"
        assert receipt["inputs"][1]["role"] == "features"
        parameters = receipt["parameters"]
        assert (parameters["features"], parameters["feature_set"]) == (str(file), "small")
        assert (parameters["eras"], parameters["data_type"]) == ("0857:0858", "validation")
        monkeypatch.setattr(sys, "argv", [*argv[:3], "--feature-set", "small"])
        with pytest.raises(SystemExit) as stop:
            main()
        assert stop.value.code == 2


@pytest.mark.parametrize("second", ["12", "era12", 12, "ERA0012"])
def test_an_era_that_is_spelled_in_two_ways_is_no_two_eras(second):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.random((120, 2)), columns=["target", "model"])
    frame["era"] = pd.Series(["0012"] * 60 + [second] * 60, dtype=object)
    with pytest.raises(RoundError, match=r"are one era; .*\[era-spelling\]"):
        evaluate(frame, models=["model"], engine="numpy")
