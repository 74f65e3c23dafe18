"""What earlier versions wrote is read, reported and verified by every later version.

written_by/0.1.0.tar.xz holds a round, the same round packed, results of both, and evaluations of
eras.parquet. result-odd has options in forms that equal others: sample 1, seed false, scale 1.
"""

import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

import mmc_gpu
from mmc_gpu.cli.app import app
from mmc_gpu.cli.runs import Run
from mmc_gpu.engines import load_engine
from mmc_gpu.files.results.eras import read_evaluation
from mmc_gpu.files.results.page import result_page
from mmc_gpu.files.results.rounds import read_result
from mmc_gpu.files.results.verify import verify_result
from mmc_gpu.files.rounds.packing import pack_round
from mmc_gpu.files.rounds.read import read_round

ARCHIVES = Path(__file__).parent / "written_by"
RESULTS = {
    "result-parquet": "round",
    "result-csv": "round",
    "result-json": "round",
    "result-odd": "round",
    "result-packed": "packed",
}
each_result = pytest.mark.parametrize("name", RESULTS)
each_evaluation = pytest.mark.parametrize("name", ["evaluation-parquet", "evaluation-csv"])


@pytest.fixture(scope="module", params=sorted(path.name for path in ARCHIVES.iterdir()))
def written(request, tmp_path_factory):
    """Return the folder with what a version wrote."""
    folder = tmp_path_factory.mktemp("written")
    with tarfile.open(ARCHIVES / request.param) as archive:
        archive.extractall(folder, filter="data")
    return folder


def receipt_of(folder):
    return json.loads((folder / "receipt.json").read_text())


def test_further_scores_leave_the_digest_of_the_bootstrap(written):
    for name, round_ in RESULTS.items():
        if name == "result-odd":
            continue
        receipt = receipt_of(written / name)
        parameters = receipt["parameters"]
        how = {key: parameters.pop(key) for key in ("missing", "on_error")}
        opened = mmc_gpu.open_round(written / round_, **how, blend=parameters["blend"])
        names = ["numerai_corr", "cwmm", "apcwnm"]
        scores = mmc_gpu.score_round(opened, **parameters, scores=names)
        assert scores.digest == receipt["scores_digest"]
        assert set(scores.further.values) == set(names)


@each_result
def test_a_result_is_read_back(written, name):
    scores, receipt = read_result(written / name)
    assert receipt == receipt_of(written / name)
    assert len(scores.users) == receipt["users"]
    assert len(scores.quarantined) == receipt["quarantined"]
    if scores.per_draw is not None:
        assert scores.digest == receipt["scores_digest"]


def test_results_with_draws_are_among_them(written):
    assert (written / "result-parquet/draws.parquet").is_file()


@each_result
def test_a_result_is_reported(written, tmp_path, name):
    page = result_page(written / name)
    assert receipt_of(written / name)["created"].encode() in page
    with pytest.raises(SystemExit) as ended:
        app(["report", str(written / name), "-o", str(tmp_path / "page.html")])
    assert ended.value.code == 0
    assert (tmp_path / "page.html").read_bytes() == page


@each_result
def test_a_result_is_verified(written, name):
    verdict = verify_result(written / name, written / RESULTS[name], "numpy")
    assert verdict.differences == []


@each_result
def test_a_result_is_finished_for_a_run_with_its_options(written, name):
    scores, receipt = read_result(written / name)
    (format_,) = [f.suffix[1:] for f in (written / name).glob("scores.*")]
    run = Run(
        scores.method,
        load_engine("numpy"),
        missing=receipt["parameters"]["missing"],
        format_=format_,
    )
    assert run.is_finished(written / RESULTS[name], written / name)


def test_a_packed_round_is_scored_to_the_same_digest(written):
    run = Run(read_result(written / "result-packed")[0].method, load_engine("numpy"))
    digest = receipt_of(written / "result-packed")["scores_digest"]
    assert run.score(written / "packed", None).digest == digest


def test_more_can_be_packed_into_a_packed_round(written, tmp_path):
    for name in ("round", "packed"):
        shutil.copytree(written / name, tmp_path / name)
    submissions = tmp_path / "round/submissions"
    shutil.copy(submissions / "bob.csv", submissions / "newcomer.csv")
    before = set(read_round(tmp_path / "packed").round.users)
    packing = pack_round(tmp_path / "round", tmp_path / "packed")
    assert (packing.added, packing.unchanged) == (1, len(before))
    assert set(read_round(tmp_path / "packed").round.users) == before | {"newcomer"}
    method = read_result(written / "result-packed")[0].method
    run = Run(method, load_engine("numpy"))
    packed, round_ = (run.score(tmp_path / name, None) for name in ("packed", "round"))
    assert packed.digest == round_.digest


@each_evaluation
def test_an_evaluation_is_read_back_and_reported(written, name):
    evaluation, receipt = read_evaluation(written / name)
    assert receipt == receipt_of(written / name)
    assert list(evaluation.scores) == receipt["scores"]
    assert len(evaluation.faulted) == receipt["faults"]
    assert receipt["created"].encode() in result_page(written / name)


@each_evaluation
def test_evaluating_again_gives_the_same_scores(written, name):
    before, receipt = read_evaluation(written / name)
    now = mmc_gpu.evaluate(
        written / "eras.parquet", **receipt["parameters"], engine=receipt["engine"]
    )
    assert (now.models, now.benchmarks) == (before.models, before.benchmarks)
    assert list(map(str, now.labels)) == list(map(str, before.labels))
    assert list(now.scores) == list(before.scores)
    for score, values in now.scores.items():
        np.testing.assert_array_equal(values, before.scores[score])
    np.testing.assert_array_equal(now.missing, before.missing)
    assert now.targets == before.targets == ["target"]

    def told(faulted):  # 0.1.0 does not say of which target, but there is only one
        return {f._replace(era=str(f.era), target="*"): names for f, names in faulted.items()}

    assert told(now.faulted) == told(before.faulted)
