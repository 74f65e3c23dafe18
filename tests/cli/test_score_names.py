"""`mmc-gpu score --score NAME`: further columns in every format, in the receipt, verified."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from mmc_gpu.eras.metrics import ROUND_METRICS
from mmc_gpu.files.results.rounds import read_result
from mmc_gpu.rounds.further import FurtherFault

NAMES = ["numerai_corr", "feature_neutral_corr", "bmc_each"]
SCORES = [word for name in NAMES for word in ("--score", name)]
COLUMNS = ["numerai_corr", "feature_neutral_corr", "bmc_a", "bmc_b"]


def make_series(ids, columns, seed):
    values = np.random.default_rng(seed).random((len(ids), len(columns)))
    return pd.DataFrame(values, pd.Index(ids, name="id"), columns).reset_index()


@pytest.fixture(scope="module")
def written(made, call, tmp_path_factory):
    """A round, files of benchmarks and features beside its own, and the result: copy them."""
    written = tmp_path_factory.mktemp("series")
    folder = shutil.copytree(made / "round", written / "round")
    ids = pd.read_csv(folder / "targets.csv")["id"]
    make_series(ids, ["a", "b"], 1).to_csv(folder / "benchmarks.csv", index=False)
    make_series(ids, ["x", "y", "z"], 2).to_parquet(folder / "features.parquet", index=False)
    assert call("score", folder, "-o", written / "out", *SCORES) == 0
    return written


@pytest.fixture
def series(written, tmp_path):
    return shutil.copytree(written / "round", tmp_path / "round")


@pytest.fixture
def scored(written, tmp_path):
    """The result of the round with these files."""
    return shutil.copytree(written / "out", tmp_path / "out")


def receipt_of(result):
    return json.loads((result / "receipt.json").read_text())


@pytest.mark.parametrize("format_", ["parquet", "csv", "json"])
def test_further_columns_are_written_read_back_and_verified(run, series, tmp_path, format_):
    out = tmp_path / "out"
    code, _, err = run("score", series, "-o", out, *SCORES, "--format", format_, "--report")
    assert code == 0, err
    path = out / f"scores.{format_}"
    if format_ == "json":
        table = pd.DataFrame(json.loads(path.read_text())["rows"])
    else:
        table = getattr(pd, f"read_{format_}")(path)
    assert list(table)[-4:] == COLUMNS
    receipt = receipt_of(out)
    assert receipt["further_scores"] == NAMES
    assert {"features.parquet", "benchmarks.csv"} <= {entry["file"] for entry in receipt["inputs"]}
    scores, _ = read_result(out)
    assert scores.further_digest == receipt["further_digest"]
    assert run("verify", out, series, "--engine", "numpy")[0] == 0
    assert run("report", out)[0] == 0


def test_without_further_scores_nothing_changes(run, series, scored, tmp_path):
    run("score", series, "-o", tmp_path / "alone")
    more, alone = receipt_of(scored), receipt_of(tmp_path / "alone")
    further = {"further_scores", "further_digest", "further_faults"}
    assert more.keys() - alone.keys() == further
    assert further.isdisjoint(alone)
    assert alone["scores_digest"] == more["scores_digest"]
    assert len(alone["inputs"]) + 2 == len(more["inputs"])
    assert list(pd.read_parquet(tmp_path / "alone/scores.parquet"))[-1] == "rank_high"


def test_several_rounds_say_what_was_ignored_and_what_is_missing(run, series, tmp_path):
    benchmarks = pd.read_csv(series / "benchmarks.csv")
    benchmarks.assign(a=0.5).to_csv(series / "benchmarks.csv")
    shutil.copytree(series, series.with_name("other"))
    for turn in ("scored", "finished before"):
        rounds = (series, series.with_name("other"))
        code, _, err = run("score", *rounds, "-o", tmp_path / "out", *SCORES)
        assert code == 0, err
        assert err.count("benchmarks: ignored, since it stands beside the data: ''") == 2, turn
        assert err.count("no bmc_a for target") >= 2
    receipt = receipt_of(tmp_path / "out/other")
    (note,) = receipt["further_notes"]
    assert "row numbers" in note
    assert run("verify", tmp_path / "out/other", series.with_name("other"))[0] == 0


@pytest.mark.parametrize("format_", ["parquet", "csv"])
def test_verify_finds_a_changed_further_column(run, series, tmp_path, format_):
    out = tmp_path / "out"
    run("score", series, "-o", out, *SCORES, "--format", format_)
    path = out / f"scores.{format_}"
    table = getattr(pd, f"read_{format_}")(path)
    table.loc[3, "bmc_b"] += 1e-9
    getattr(table, f"to_{format_}")(path, index=False)
    receipt = receipt_of(out)
    del receipt["files"][path.name]
    (out / "receipt.json").write_text(json.dumps(receipt))
    code, _, err = run("verify", out, series)
    assert code == 5
    assert f"{path.name}: not the scores of this round" in err


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"further_digest": "0" * 64}, "further: digest"),
        ({"further_scores": ["numerai_corr"]}, "further: digest"),
        ({"further_scores": ["mmc"]}, "[receipt-invalid]"),
        ({"further_scores": "numerai_corr"}, "[receipt-invalid]"),
        ({"further_digest": None}, "[receipt-invalid]"),
        ({"further_scores": []}, "[receipt-invalid]"),
        ({"further_scores": ["cwmm", 7]}, "[receipt-invalid]"),
        ({"further_faults": [["*", "*", "target-missing", "?", NAMES]]}, "further_faults: not"),
        ({"further_faults": [7]}, "[receipt-invalid]"),
    ],
)
def test_verify_does_not_believe_a_changed_receipt(run, series, scored, change, found):
    (scored / "receipt.json").write_text(json.dumps(receipt_of(scored) | change))
    code, _, err = run("verify", scored, series)
    assert code in (1, 5)
    assert found in err


def test_verify_names_a_changed_series(run, series, scored):
    table = pd.read_csv(series / "benchmarks.csv")
    table.assign(a=np.sqrt(table["b"] * table["a"])).to_csv(series / "benchmarks.csv", index=False)
    code, _, err = run("verify", scored, series)
    assert code == 5
    assert "benchmarks.csv: changed since it was scored" in err
    assert "further: digest" in err


def test_a_packed_round_has_the_same_columns(run, series, tmp_path):
    run("pack", series, "-o", tmp_path / "packed")
    for name in ("benchmarks.csv", "features.parquet"):
        (tmp_path / "packed" / name).write_bytes((series / name).read_bytes())
    for round_, name in ((series, "one"), (tmp_path / "packed", "two")):
        assert run("score", round_, "-o", tmp_path / name, *SCORES, "--format", "csv")[0] == 0
        assert run("verify", tmp_path / name, round_)[0] == 0
    one, two = (pd.read_csv(tmp_path / name / "scores.csv", dtype=str) for name in ("one", "two"))
    intervals = ["rank_low", "rank_high"]  # the packed round's draws are not kept
    assert two[intervals].isna().all(axis=None)
    pd.testing.assert_frame_equal(one.drop(columns=intervals), two.drop(columns=intervals))


def test_a_finished_round_is_scored_again_for_other_scores_or_series(run, series, tmp_path):
    rounds = [series, series.with_name("copy")]
    rounds[1].mkdir()
    for path in series.iterdir():
        (rounds[1] / path.name).write_bytes(path.read_bytes())

    def finished(*scores):
        code, _, err = run("score", *rounds, "-o", tmp_path / "all", *scores)
        assert code == 0, err
        return err.count("finished before")

    assert finished(*SCORES) == 0
    assert finished(*SCORES) == 2
    make_series(pd.read_csv(series / "targets.csv")["id"], ["a", "b"], 9).to_csv(
        series / "benchmarks.csv", index=False
    )
    assert finished(*SCORES) == 1
    assert finished() == 0
    assert finished() == 2


def test_a_missing_file_is_named(run, folder):
    code, _, err = run("score", folder, "--score", "bmc")
    assert code == 1
    assert "score bmc: give benchmarks, a file of that name in the round's folder" in err


def test_an_unknown_score_is_refused_with_the_list(run, folder):
    code, _, err = run("score", folder, "--score", "mmc")
    assert code == 2
    assert f"there are bootstrap, {', '.join(ROUND_METRICS)}" in " ".join(err.split())


def test_bootstrap_may_be_named(run, folder, tmp_path):
    assert run("score", folder, "-o", tmp_path / "out", "--score", "bootstrap")[0] == 0
    assert "further_digest" not in receipt_of(tmp_path / "out")


def test_shards_compute_the_bootstrap_alone(run, folder, tmp_path):
    code, _, err = run("score", folder, "-o", tmp_path, "--shard", "1/2", "--score", "cwmm")
    assert code == 2
    assert "bootstrap alone" in " ".join(err.split())


def test_a_missing_score_is_told_and_kept(run, series, tmp_path):
    table = pd.read_csv(series / "benchmarks.csv").assign(a=0.5)
    table.to_csv(series / "benchmarks.csv", index=False)
    code, _, err = run("score", series, "-o", tmp_path / "out", *SCORES)
    assert code == 0
    assert "no bmc_a for target target, user *" in " ".join(err.split())
    scores, _ = read_result(tmp_path / "out")
    codes = {fault.code for fault in scores.further.faulted}
    assert codes == {"meta-model-constant"}
    assert all(isinstance(fault, FurtherFault) for fault in scores.further.faulted)
    assert run("verify", tmp_path / "out", series)[0] == 0
    receipt = receipt_of(tmp_path / "out")
    receipt["further_faults"][0][3] = "other words"
    (tmp_path / "out/receipt.json").write_text(json.dumps(receipt))
    code, out, err = run("verify", tmp_path / "out", series)
    assert code == 0
    assert "not checked: 'detail' in 'further_faults', whose words differ" in out + err
    receipt["further_faults"][0][2] = "target-constant"
    (tmp_path / "out/receipt.json").write_text(json.dumps(receipt))
    assert run("verify", tmp_path / "out", series)[0] == 5


def test_a_series_in_another_form_is_verified_with_a_note(run, series, scored):
    table = pd.read_csv(series / "benchmarks.csv")
    (series / "benchmarks.csv").unlink()
    table.to_parquet(series / "benchmarks.parquet", index=False)
    code, out, err = run("verify", scored, series)
    assert code == 0, err
    assert "now 'benchmarks.parquet'; the scores have the same bits" in " ".join(err.split())
    table.assign(a=table["b"]).to_parquet(series / "benchmarks.parquet", index=False)
    code, out, err = run("verify", scored, series)
    assert code == 5
    assert "the scores have the same bits" not in " ".join((out + err).split())


def test_series_files_are_not_said_to_be_ignored(run, series, tmp_path):
    for name, wanted in (("one", []), ("two", SCORES)):
        assert run("score", series, "-o", tmp_path / name, *wanted)[0] == 0
        assert not any("ignored" in note for note in receipt_of(tmp_path / name)["notes"])
    (series / "weights.pt").write_bytes(b"")
    run("score", series, "-o", tmp_path / "three")
    assert any("'weights.pt'" in note for note in receipt_of(tmp_path / "three")["notes"])


def test_a_packed_round_with_series_files_is_packed_again(run, series, tmp_path):
    run("pack", series, "-o", tmp_path / "packed")
    data = (series / "benchmarks.csv").read_bytes()
    (tmp_path / "packed/benchmarks.csv").write_bytes(data)
    code, _, err = run("pack", series, "-o", tmp_path / "packed")
    assert code == 0, err
    assert (tmp_path / "packed/benchmarks.csv").read_bytes() == data
