"""Every benchmark runs, on tiny rounds, so that none can rot; and what is made of its times."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

for needed in ("pytest_benchmark", "psutil", "threadpoolctl", "matplotlib"):
    pytest.importorskip(needed, reason=f"pip install '.[bench]' brings {needed}")

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT))  # benchmarks/ is not installed

from benchmarks import __main__ as command
from benchmarks.cases import KINDS, Case, make_round
from benchmarks.entries import Entry, taking_turns
from benchmarks.large import desk, eras, packed, waits
from benchmarks.peers.competitors import (
    CLOSED_FORM,
    NEUTRALIZE,
    ORTHOGONALIZE,
    Agreement,
    engines,
    fast_engines,
    scorer,
)
from benchmarks.publish import headlines, plots, report, results
from benchmarks.publish.tables import duration


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What `python -m benchmarks --tiny` writes."""
    folder = tmp_path_factory.mktemp("results")
    # under xdist, pytest-benchmark would take the run for one of xdist's workers and refuse
    environment = {n: text for n, text in os.environ.items() if not n.startswith("PYTEST_XDIST")}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--tiny", "--output", str(folder)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (written,) = folder.iterdir()
    assert written.name.endswith("-tiny.json")
    return written.read_text("utf-8")


@pytest.fixture(scope="module")
def found(tiny: str) -> dict[str, Any]:
    return json.loads(tiny)


def rows(found: dict[str, Any], bench: str) -> list[dict[str, Any]]:
    return [row for row in found["rows"] if row["bench"] == bench]


def test_every_benchmark_runs(found):
    assert {row["bench"] for row in found["rows"]} == set(command.BENCHES)
    for row in found["rows"]:
        assert 0 < row["least"] <= row["median"] <= row["greatest"]


@pytest.mark.parametrize(
    "bench",
    ["round", "peers", "growth", "parts", "memory", "metrics", "evaluate", "training", "start"],
)
def test_every_benchmark_times_the_engines(found, bench):
    assert {row["competitor"] for row in rows(found, bench)} >= set(fast_engines())


@pytest.mark.parametrize("bench", ["round", "peers", "growth", "memory"])
def test_engines_are_compared_with_the_closed_form(found, bench):
    assert CLOSED_FORM in {row["competitor"] for row in rows(found, bench)}


def test_rounds_are_of_every_kind_and_dtype(found):
    timed = {(row["case"]["kind"], row["case"]["dtype"]) for row in rows(found, "round")}
    assert timed == {(kind, dtype) for kind in KINDS for dtype in ("float64", "float32")}


def test_numerai_tools_takes_part(found):
    pytest.importorskip("numerai_tools", reason="pip install '.[bench]' brings numerai-tools")
    assert {row["competitor"] for row in rows(found, "peers")} >= {NEUTRALIZE, ORTHOGONALIZE}


def test_only_the_pandas_loops_are_extrapolated(found):
    extrapolated = {row["competitor"] for row in found["rows"] if row["extrapolated_from"]}
    assert extrapolated == {"pandas loop", "pandas loop, blends given"}


def test_memory_is_measured(found):
    assert all(row["input_bytes"] > 0 <= row["beyond_bytes"] for row in rows(found, "memory"))


def test_the_kernel_of_blas_is_recorded(found):
    pools = found["machine"]["blas"]
    if not pools:
        pytest.skip("threadpoolctl does not know this NumPy's BLAS")
    assert all(pool["threads"] for pool in pools)
    assert all(pool["kernel"] for pool in pools if pool["library"] == "openblas")


def test_what_holds_blas_back_is_unset_where_times_count(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Prescott")
    monkeypatch.delenv("OPENBLAS_L2_SIZE", raising=False)
    seen = {}

    def run(command, env, cwd):
        seen.update(env)
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(command.subprocess, "run", run)
    assert command.main(["round", "--tiny"]) == 1
    assert seen.pop("OPENBLAS_CORETYPE") == "Prescott"
    assert command.main(["round", "--quick"]) == 1
    assert "OPENBLAS_CORETYPE" not in seen
    assert command.held_back("quick") == ["OPENBLAS_CORETYPE"]


def test_results_say_what_ran_but_not_whose_machine(tiny, found):
    assert found["machine"]["cores"] >= 1
    assert found["machine"]["versions"]["numpy"] == np.__version__
    assert found["machine"]["engines"] == engines()
    assert len(platform.node()) < 4 or platform.node() not in tiny
    assert str(ROOT) not in tiny


def test_tables_fill_the_readme_between_its_markers(found):
    readme = report.README.read_text("utf-8")
    filled = report.filled(readme, found)
    assert report.filled(filled, found) == filled
    assert report._BLOCK.sub("", filled) == report._BLOCK.sub("", readme)
    for row in rows(found, "peers") + rows(found, "growth") + rows(found, "parts"):
        assert duration(row["median"]) in filled


def test_a_readme_without_a_block_for_a_table_is_refused(found):
    with pytest.raises(ValueError, match="blocks"):
        report.filled("no block", found)


def test_readme_shows_the_newest_results():
    newest = results.newest()
    if newest is None:
        pytest.skip("no full results yet: python -m benchmarks writes them")
    readme = report.README.read_text("utf-8")
    assert report.filled(readme, newest) == readme
    assert {path.name for path in plots.FOLDER.iterdir()} >= {f"{name}.svg" for name in plots.PLOTS}


def test_eras_are_evaluated_beside_numerai_tools(tmp_path, monkeypatch):
    pytest.importorskip("numerai_tools", reason="pip install '.[bench]' brings numerai-tools")
    sizes = ["--eras", "4", "--rows", "60", "--models", "5", "--peer-eras", "2"]
    assert eras.main([*sizes, "--folder", str(tmp_path), "--output", str(tmp_path)]) == 0
    (written,) = tmp_path.iterdir()
    found = json.loads(written.read_text("utf-8"))
    assert found["file_bytes"] > 4 * 60 * 7 * 4
    assert found["seconds"] > found["peer"]["seconds_an_era"] > 0 < found["peak_bytes"]
    monkeypatch.setattr(eras, "FOLDER", tmp_path)
    assert (
        f"5 models x 4 eras x 60 rows, scores corr, mmc, corr20: {duration(found['seconds'])}"
        in (eras.filled(report.README.read_text("utf-8")))
    )


def test_a_large_join_is_timed(tmp_path):
    desk.make_join(tmp_path, 2, 400, 3)
    found = desk.join(tmp_path, targets=2)
    assert found["seconds"] > 0
    assert found["peak_bytes"] > 1e7
    assert pq.read_metadata(tmp_path / "result/summary.parquet").num_rows > 20


def test_the_desk_is_timed_beside_an_earlier_version(tmp_path):
    assert desk.ranks(3, 60, 4, turns=1)["ratio"] > 0
    assert desk.errors(3, 60, turns=1)["ratio"] > 0
    found = desk.small((5, 60, 4, 3), desk.HERE, turns=1)
    assert found["ratio"] == found["earlier"][0] / found["now"][0]
    found = desk.file(tmp_path, (3, 60, 4), None, turns=2)
    assert len(found["now"]) == 2
    assert found["peak_bytes"] > found["file_bytes"] > 3 * 60 * 6 * 4
    with pytest.raises(RuntimeError, match="ended with"):
        desk.file(tmp_path, (0, 60, 4), None, turns=1)


def test_what_a_person_waits_for_is_timed(tmp_path, capsys):
    size = ["--users", "20", "--stocks", "40", "--turns", "1", "--folder", str(tmp_path)]
    assert waits.main([*size, "--round", str(tmp_path / "20x40-each")]) == 0
    printed = capsys.readouterr().out
    found = json.loads(printed[printed.index("\n{\n") :])
    for name in ("wide", "each"):
        assert found[name]["seconds"].keys() == {"read", "now"}
    assert len(found["frames"]["polars"]) == 1
    for items in found["start"].values():
        (alone,) = items["now"]["sum"]
        assert alone > items["now"]["score"][0] > 0 < items["now"]["the whole command"][0]
    with pytest.raises(RuntimeError, match="ended with"):
        waits.files(tmp_path / "none", tmp_path / "out", {"now": waits.HERE}, 1)


def test_eras_that_numerai_tools_scores_otherwise_are_refused(tmp_path, monkeypatch):
    scoring = pytest.importorskip("numerai_tools.scoring", reason="pip install '.[bench]'")
    right = scoring.tie_broken_rank_correlation
    monkeypatch.setattr(scoring, "tie_broken_rank_correlation", lambda *given: right(*given) + 1e-9)
    with pytest.raises(AssertionError, match="corr20"):
        eras.measure(tmp_path, eras=2, rows=60, models=3, peer_eras=1, engine="numpy")


@pytest.mark.parametrize("part", [eras, headlines])
def test_readmes_show_the_newest_figures(part):
    readme = part.README.read_text("utf-8")
    assert part.filled(readme) == readme


def test_headlines_leave_out_who_did_not_take_part(found):
    peer = {"seconds_an_era": 6.0}
    evaluated = {"peer": peer, "eras": 9, "models": 5, "seconds": 2.0}
    evaluated |= {"peak_bytes": 1e9, "file_bytes": 2e9}
    packed_round = {"made": {"users": 7}, "stocks": 8, "scored": {"total_s": 3.0}}
    ours = [row for row in found["rows"] if row["competitor"] in ("any", "cpu", "numpy")]
    lines = headlines.table(found | {"rows": ours}, evaluated, packed_round).rows
    assert [line[1:] for line in lines[-2:]] == [["2 s", "numerai-tools ≈ 54 s (27x)"], ["3 s", ""]]
    assert all(not others for _, _, others in lines[:-2])


def test_a_packed_round_is_scored_from_disk(tmp_path):
    sizes = ["--users", "60", "--stocks", "50", "--submissions", "20"]
    assert packed.main([*sizes, "--folder", str(tmp_path), "--output", str(tmp_path)]) == 0
    found = json.loads((next(tmp_path.glob("packed-*-60x50.json"))).read_text("utf-8"))
    assert found["made"]["bytes"] > 60 * 50 * 4
    assert found["csv"]["submissions"] == 20
    assert found["scored"]["total_s"] > 0
    assert len(found["scored"]["digest"]) == 64


def test_plots_are_small_and_reproducible(found, tmp_path):
    for folder in ("one", "two"):
        plots.plot(found, tmp_path / folder)
    for name in plots.PLOTS:
        one, two = (tmp_path / folder / f"{name}.svg" for folder in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()
        assert one.stat().st_size < 100_000


def test_competitors_take_turns():
    case, other = Case(10, 20), Case(20, 20)
    fast, slow = Entry(case, "fast", turns=2), Entry(case, "slow", turns=1)
    last = Entry(other, "fast", turns=1)
    assert list(taking_turns([fast, slow, last])) == [(fast, 0), (slow, 0), (fast, 1), (last, 0)]


@pytest.mark.parametrize("name", [CLOSED_FORM, "numpy"])
def test_a_score_that_differs_is_refused(name):
    case = Case(20, 30)
    right = scorer("numpy", case)()
    agreement = Agreement(case)
    agreement.check_all({"numpy": right, CLOSED_FORM: scorer(CLOSED_FORM, case)()})
    wrong = scorer(name, Case(20, 30, draws=19))()
    with pytest.raises(AssertionError, match=f"{name}: (off by|other bits)"):
        agreement.check(name, wrong)


def test_scores_that_are_all_missing_are_refused():
    with pytest.raises(AssertionError, match="no scores"):
        Agreement(Case(20, 30)).check(CLOSED_FORM, np.full(20, np.nan))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_rounds_are_seeded_and_can_be_staked(kind, dtype):
    case = Case(30, 40, kind=kind, dtype=dtype)
    made = make_round(case)
    make_round.cache_clear()
    np.testing.assert_array_equal(make_round(case).predictions, made.predictions)
    assert made.predictions.dtype == dtype
    assert made.predictions.min() >= 0
    assert made.predictions.max() <= 1
    assert (np.ptp(made.predictions, axis=1) > 0).all()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_ulps_survive_the_dtype(dtype):
    made = make_round(Case(9, 99, kind="5 values +- ulps", dtype=dtype))
    assert len(np.unique(made.predictions)) == 2 + 3 + 3 + 3 + 2


def test_a_benchmark_that_fails_writes_nothing(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("PYTEST_ADDOPTS", "--no-such-option")
    assert command.main(["round", "--tiny", "--output", str(tmp_path)]) == 1
    assert list(tmp_path.iterdir()) == []
    assert "no results are written" in capfd.readouterr().err


def test_an_unknown_benchmark_is_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        command.main(["speed"])
    assert "speed" in capsys.readouterr().err
