"""The report of an evaluation as a file: small, whole, to the step, of a folder or from memory."""

import base64
import json
import re
import shutil
import subprocess
import sys
import zlib
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pages import HOSTILE, made_up_evaluation

import mmc_gpu
from mmc_gpu.errors import RoundError
from mmc_gpu.files.results.eras import read_evaluation
from mmc_gpu.metrics.uncertainty import Estimates
from mmc_gpu.report import eras as report_eras
from mmc_gpu.report.eras import evaluation_page

DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)
NAMES = [f"model_{number}" for number in range(500)]


def data_of(page):
    return json.loads(DATA.search(page.decode())[1])


def integers(packed):
    """Return what was packed, read as the page reads it."""
    planes = np.frombuffer(zlib.decompress(base64.b64decode(packed)), np.uint8)
    zigzag = np.ascontiguousarray(planes.reshape(4, -1).T).view("<u4").ravel().astype(np.int64)
    return (zigzag >> 1) ^ -(zigzag & 1)


def series(data, score, eras):
    """Return (models on the page, eras) as the page computes them."""
    packed = data["series"]["scores"][0][score]
    steps = integers(packed["steps"]).reshape(-1, eras)
    return packed["step"], np.where(steps == -(2**31), np.nan, steps * packed["step"])


@pytest.fixture
def made_up_estimates(monkeypatch):
    """Intervals of random numbers, which have as many digits as those of drawn histories."""
    spread = {"mean": 1e-3, "sharpe": 0.5, "p": 0.3}

    def estimate(scores, overlap, seed):
        rng = np.random.default_rng(0)
        return Estimates(
            *(
                np.abs(rng.normal(0, spread.get(name.split("_")[0], 1.0), scores.shape[1]))
                for name in Estimates._fields
            )
        )

    monkeypatch.setattr("mmc_gpu.metrics.uncertainty._estimate", estimate)


FOUR = ("corr", "mmc", "fnc", "bmc")


@pytest.mark.usefixtures("made_up_estimates")
@pytest.mark.parametrize(("scores", "eras"), [(("corr",), 1000), (FOUR, 500)])
def test_five_hundred_models_over_a_thousand_eras_fit_into_a_megabyte_and_a_half(scores, eras):
    """Or over fewer eras of more scores: from there on, as many steps stand on the page."""
    assert len(evaluation_page(made_up_evaluation(NAMES, eras, scores), {})) < 1_500_000


@pytest.mark.usefixtures("made_up_estimates")
@pytest.mark.parametrize("targets", [2, 9])
def test_more_targets_and_benchmarks_take_no_more_room(targets):
    made = made_up_evaluation(NAMES, 250, ("corr", "mmc"), benchmarks=5)
    more = replace(
        made,
        targets=[f"target_{number}" for number in range(targets)],
        scores={name: np.repeat(values, targets, axis=0) for name, values in made.scores.items()},
        counted={name: np.repeat(rows, targets, axis=0) for name, rows in made.counted.items()},
    )
    assert len(evaluation_page(more, {})) < 1_500_000


@pytest.mark.usefixtures("made_up_estimates")
def test_running_sums_are_within_half_a_step_and_eras_within_one():
    made = made_up_evaluation(NAMES[:300], 500, ("corr", "mmc"))
    data = data_of(evaluation_page(made, {}))
    kept = integers(data["series"]["rows"])
    assert sorted(kept) == list(range(300))
    for number, scores in enumerate(made.scores.values()):
        expected = scores[0][:, kept].T
        step, found = series(data, number, 500)
        assert step < np.nanstd(scores) / 8
        np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
        assert np.nanmax(np.abs(found - expected)) <= step * (1 + 1e-9)
        apart = np.nancumsum(found, axis=1) - np.nancumsum(expected, axis=1)
        assert np.abs(apart).max() <= step * (0.5 + 1e-9)


@pytest.mark.usefixtures("made_up_estimates")
def test_where_there_is_no_room_benchmarks_and_the_best_of_any_score_are_kept(monkeypatch):
    monkeypatch.setattr(report_eras, "_SERIES_BITS", 660_000)  # as little as 1,000 eras would have
    names = NAMES[:150]
    made = made_up_evaluation(names, 100, tuple(f"score_{number}" for number in range(20)))
    data = data_of(evaluation_page(made, {}))
    kept = integers(data["series"]["rows"])
    assert 20 < len(kept) < 100
    assert set(kept[:2]) == {0, 1}
    ranked = slice(len(names) - 1)  # the last model has too few eras
    best = {int(np.nanmean(scores[0], axis=0)[ranked].argmax()) for scores in made.scores.values()}
    assert best <= set(kept)


def test_the_summary_is_the_evaluations():
    made = made_up_evaluation(NAMES[:7], 30)
    data = data_of(evaluation_page(made, {}))
    (view,) = data["views"]
    for score, standing in zip(made.scores, view["standings"], strict=True):
        for against, table in zip(["", *made.benchmarks], standing["tables"], strict=True):
            wanted = (made.summary["score"] == score) & (made.summary["against"] == against)
            rows = made.summary[wanted].set_index("model")
            wanted = (made.uncertainty["score"] == score) & (made.uncertainty["against"] == against)
            rows = rows.join(made.uncertainty[wanted].set_index("model")[["mean_low", "mean_high"]])
            for name in ("mean", "mean_low", "mean_high", "std", "max_drawdown"):
                unit = 10 ** table[name]["decimals"]
                found = integers(table[name]["integers"])
                expected = np.rint(rows[name].reindex(made.models).to_numpy() * unit)
                known = ~np.isnan(expected)
                np.testing.assert_array_equal(found[known], expected[known])
                assert (found[~known] == -(2**31)).all()


def test_nothing_in_the_data_can_end_the_script():
    page = evaluation_page(made_up_evaluation([*HOSTILE, "a"], 12, ("<b>bold</b>",)), {})
    (data,) = DATA.findall(page.decode())
    assert not set("<>&") & set(data)
    assert json.loads(data)["scores"] == ["<b>bold</b>"]


@pytest.fixture(scope="module")
def frame():
    """Rows of two models and a benchmark; one misses a prediction, one name starts a formula."""
    rng = np.random.default_rng(0)
    size = 400
    frame = pd.DataFrame({"era": np.repeat([f"era{era}" for era in range(1, 9)], size // 8)})
    frame["target"] = rng.choice([0, 0.5, 1], size)
    for name in ("=model", "other", "bench"):
        frame[name] = rng.random(size) + 0.2 * frame["target"]
    frame.loc[3, "other"] = np.nan
    return frame


@pytest.fixture(scope="module")
def evaluated(call):
    """Write an evaluation; returns its folder."""

    def evaluated_(folder, data, *options):
        data.to_parquet(folder / "eras.parquet")
        asked = ["evaluate", folder / "eras.parquet", "--benchmark", "bench", "--engine", "numpy"]
        assert call(*asked, "-o", folder / "out", *options) == 4  # one model misses a prediction
        return folder / "out"

    return evaluated_


@pytest.fixture(scope="module")
def written(evaluated, frame, tmp_path_factory):
    """What is evaluated once: change a copy."""
    return evaluated(tmp_path_factory.mktemp("written"), frame, "--report")


class TestFolder:
    """`mmc-gpu report` makes the page of a folder that `mmc-gpu evaluate -o` has written."""

    @pytest.fixture
    def copied(self, written, tmp_path):
        return shutil.copytree(written, tmp_path / "copied")

    @pytest.mark.parametrize("format_", ["parquet", "csv"])
    @pytest.mark.parametrize("eras", ["text", "numbers"])
    def test_an_evaluation_is_read_back_to_the_bit(self, evaluated, tmp_path, frame, format_, eras):
        if eras == "numbers":
            frame = frame.assign(era=frame["era"].str[3:].astype(int))
        expected = mmc_gpu.evaluate(frame, benchmarks=["bench"], engine="numpy")
        found, receipt = read_evaluation(evaluated(tmp_path, frame, "--format", format_))
        for field in ("models", "benchmarks", "targets", "engine"):
            assert getattr(found, field) == getattr(expected, field)
        as_read = str if format_ == "csv" else (lambda label: label)
        assert found.labels == [as_read(label) for label in expected.labels]
        faults = {fault._replace(era=as_read(fault.era)): names
                  for fault, names in expected.faulted.items()}  # fmt: skip
        assert found.faulted == faults
        for field in ("scores", "counted"):
            ours, theirs = getattr(found, field), getattr(expected, field)
            assert list(ours) == list(theirs)
            for name, values in theirs.items():
                np.testing.assert_array_equal(ours[name], values)
        np.testing.assert_array_equal(found.missing, expected.missing)
        assert receipt["parameters"]["benchmarks"] == ["bench"]

    def test_the_page_of_a_folder_is_that_of_the_run_and_the_next_run_replaces_it(
        self, evaluated, call, tmp_path, frame
    ):
        out = evaluated(tmp_path, frame, "--report")
        page = (out / "report.html").read_bytes()
        (out / "report.html").unlink()
        assert call("report", out) == 0
        assert (out / "report.html").read_bytes() == page
        assert b"eras.parquet" in page
        assert not (evaluated(tmp_path, frame) / "report.html").exists()

    @pytest.mark.parametrize("name", ["eras.parquet", "counts.parquet", "faults.csv"])
    def test_a_file_that_is_not_the_receipts_is_refused(self, copied, name):
        with (copied / name).open("ab") as file:
            file.write(b" ")
        with pytest.raises(RoundError, match=name) as caught:
            read_evaluation(copied)
        assert caught.value.code == "receipt-invalid"

    @pytest.mark.parametrize(
        ("key", "value"),
        [("benchmarks", ["nobody"]), ("benchmarks", None), ("files", {}), ("versions", None)],
    )
    def test_a_receipt_that_does_not_fit_is_refused(self, copied, key, value):
        path = copied / "receipt.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
        with pytest.raises(RoundError) as caught:
            read_evaluation(copied)
        assert caught.value.code == "receipt-invalid"

    def test_a_target_is_shown_first(self, evaluated, call, tmp_path, frame, capsys):
        targets = ["target", "target_b"]
        frame = frame.assign(target_b=1 - frame["target"])
        options = [word for name in targets for word in ("--target", name)]
        out = evaluated(tmp_path, frame, *options)
        for target in targets:
            assert call("report", out, "--target", target) == 0
            data = data_of((out / "report.html").read_bytes())
            assert data["views"][0]["target"] == target
        assert call("report", out, "--target", "nothing") == 2
        assert "no target 'nothing'" in capsys.readouterr().err

    def test_a_page_needs_a_folder(self, call, tmp_path, frame):
        frame.to_parquet(tmp_path / "eras.parquet")
        assert call("evaluate", tmp_path / "eras.parquet", "--report") == 2


def test_without_matplotlib_a_report_is_written_and_the_error_of_a_plot_names_the_extra(tmp_path):
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from pages import made_up_evaluation\n"
        "print(made_up_evaluation(['a', 'b', 'c'], 9).report(sys.argv[2]).stat().st_size)\n"
        "from mmc_gpu.report.plots import RoundPlots, _axes\n"
        "try: _axes(None)\n"
        "except ModuleNotFoundError as error: print(error)"
    )
    folder = __file__.rpartition("/")[0]
    done = subprocess.run(
        [sys.executable, "-c", code, folder, tmp_path / "report.html"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    size, said = done.stdout.splitlines()
    assert int(size) > 30_000
    assert said == "plots need matplotlib: pip install 'mmc-gpu[plot]'"
