"""Several targets in one pass: the scores, counts and faults of an evaluation each."""

import numpy as np
import pandas as pd
import pytest
from test_evaluate import ALL, PARTS, make_frame

from mmc_gpu import RoundError, evaluate
from mmc_gpu.eras.evaluation import EVERY_TARGET
from mmc_gpu.files.results.eras import read_evaluation, write_evaluation

TARGETS = ["target", "target_rows", "target_gaps"]
METRICS = [*ALL, "churn"]


@pytest.fixture(scope="module")
def frame():
    """Return eras with three targets: two of the same rows, and one that lacks some, or an era."""
    made = make_frame(dict.fromkeys(["1", "2", "3", "4"], 55))
    rng = np.random.default_rng(1)
    for name in TARGETS[1:]:
        made[name] = rng.choice([0, 0.25, 0.5, 0.75, 1], len(made))
    made.loc[made["era"] == "2", "target_gaps"] = np.nan
    made.iloc[3:9, made.columns.get_loc("target_gaps")] = np.nan
    made.iloc[[5, 120], made.columns.get_loc("model_1")] = np.nan
    made.iloc[180, made.columns.get_indexer(["target", "target_rows"])] = np.nan
    return made


HOW = PARTS | {"metrics": METRICS, "models": ["model_*"]}


@pytest.fixture(scope="module")
def together(frame, engine):
    """Return an evaluation with three targets."""
    return evaluate(frame, target=TARGETS, **HOW | {"engine": engine})


def test_several_targets_are_an_evaluation_each(frame, engine, together):
    assert together.targets == TARGETS
    told = set()
    for number, target in enumerate(TARGETS):
        alone = evaluate(frame, target=target, **HOW | {"engine": engine})
        for name, values in alone.scores.items():
            np.testing.assert_array_equal(together.scores[name][number], values[0], err_msg=name)
        for name, counts in alone.counted.items():
            np.testing.assert_array_equal(together.counted[name][number], counts[0], err_msg=name)
        np.testing.assert_array_equal(together.missing, alone.missing)
        for table in ("eras", "summary", "counts"):
            found = getattr(together, table).query(f"target == '{target}'")
            expected = getattr(alone, table)
            pd.testing.assert_frame_equal(found.reset_index(drop=True), expected, check_exact=True)
        explained = {
            (fault._replace(target=target), name)
            for fault, names in together.faulted.items()
            if fault.target in (target, EVERY_TARGET)
            for name in names
        }
        told |= {fault.target for fault in together.faulted}
        assert explained == {
            (fault._replace(target=target), name)
            for fault, names in alone.faulted.items()
            for name in names
        }
    assert {"target_gaps", EVERY_TARGET} <= told


def test_several_targets_of_a_file_are_those_of_a_frame(frame, engine, together, tmp_path):
    frame.to_parquet(tmp_path / "eras.parquet", row_group_size=71)
    found = evaluate(tmp_path / "eras.parquet", target=TARGETS, **HOW | {"engine": engine})
    assert (found.targets, found.faulted) == (TARGETS, together.faulted)
    for table in ("eras", "summary", "counts"):
        expected = getattr(together, table)
        pd.testing.assert_frame_equal(getattr(found, table), expected, check_exact=True)


def test_a_fault_of_every_target_is_told_once(frame):
    found = evaluate(frame, target=TARGETS, **PARTS, metrics=["corr", "cwmm"])
    lost = found.faults.query("model == 'model_1' and era == '3'")
    assert lost["target"].tolist() == [EVERY_TARGET]
    assert lost["scores"].tolist() == ["corr, cwmm"]
    gone = found.faults.query("model == '*'")
    assert gone["target"].tolist() == ["target_gaps"]
    assert gone["era"].tolist() == ["2"]


def test_a_pattern_names_targets_and_no_target_is_one_without_a_name(frame):
    found = evaluate(frame, target=["target_*"], **PARTS, metrics=["corr"])
    assert found.targets == TARGETS[1:]
    for nothing in (None, "", []):
        found = evaluate(frame, target=nothing, **PARTS, metrics=["cwmm"])
        assert found.targets == [""]
        assert found.scores["cwmm"].shape == (1, 4, 5)
        assert set(found.summary["target"]) == {""}
    with pytest.raises(RoundError, match="nearest 'target_gaps'"):
        evaluate(frame, target=["target", "target_gap"], **PARTS)


@pytest.mark.parametrize("format_", ["parquet", "csv"])
@pytest.mark.parametrize("targets", [TARGETS, ""])
def test_several_targets_are_read_back(frame, tmp_path, format_, targets):
    metrics = ["corr", "cwmm"] if targets else ["cwmm"]
    written = evaluate(frame, target=targets, **PARTS, metrics=metrics)
    run = {"inputs": [], "parameters": {"target": targets}}
    write_evaluation(tmp_path / "out", written, format_, run, report=True)
    found, _ = read_evaluation(tmp_path / "out")
    assert (found.targets, found.labels) == (written.targets, written.labels)
    assert found.faulted == written.faulted
    for field in ("scores", "counted"):
        for name, values in getattr(written, field).items():
            np.testing.assert_array_equal(getattr(found, field)[name], values)
    np.testing.assert_array_equal(found.missing, written.missing)
