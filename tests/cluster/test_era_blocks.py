"""Eras in blocks: the tables of one process."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import mmc_gpu
from mmc_gpu.cluster.eras import EraJob, evaluate_in_blocks
from mmc_gpu.cluster.pools import HerePool
from mmc_gpu.eras.board import Board
from mmc_gpu.eras.columns import choose_columns
from mmc_gpu.errors import RoundError
from mmc_gpu.files.eras import open_eras


def job_and_board(path, options):
    source = open_eras(path, "era", "id")
    columns = choose_columns(
        *(source, "era", "id", "target", options["meta_model"], options["benchmarks"]),
        *(options["features"], options["models"]),
    )
    board = Board(columns, tuple(options["metrics"]), source.labels("era"))
    return EraJob.of(source, board, "numpy"), board


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_blocks_give_the_tables_of_one_process(eras, size):
    path, options = eras
    one = mmc_gpu.evaluate(path, **options)
    job, board = job_and_board(path, options)
    assert evaluate_in_blocks(replace(job, size=size), board, HerePool()) == "numpy"
    for found, wanted in (board.scores, one.scores), (board.counted, one.counted):
        for name, values in wanted.items():
            np.testing.assert_array_equal(found[name], values)
    np.testing.assert_array_equal(board.missing, one.missing)
    assert board.faulted == one.faulted
    assert len(board.faulted) > 1


def test_a_csv_file_gives_the_tables_of_one_process(eras, tmp_path):
    path, options = eras
    pd.read_parquet(path).to_csv(tmp_path / "eras.csv", index=False)
    one = mmc_gpu.evaluate(tmp_path / "eras.csv", **options)
    job, board = job_and_board(tmp_path / "eras.csv", options)
    evaluate_in_blocks(replace(job, size=2), board, HerePool())
    for name, values in one.scores.items():
        np.testing.assert_array_equal(board.scores[name], values)


def test_finished_blocks_are_not_computed_again(eras, tmp_path):
    path, options = eras
    one = mmc_gpu.evaluate(path, **options)
    job, board = job_and_board(path, options)
    job, ran = replace(job, size=2), []

    class StoppedPool(HerePool):
        def run(self, function, numbers, shared):
            for found in super().run(function, numbers, shared):
                ran.append(found[0])
                yield found
                if len(ran) == 2:
                    raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate_in_blocks(job, board, StoppedPool(), keep=tmp_path / "keep")
    evaluate_in_blocks(job, board, StoppedPool(), keep=tmp_path / "keep")
    assert ran == [0, 1, 2, 3]
    np.testing.assert_array_equal(board.scores["churn"], one.scores["churn"])
    assert not (tmp_path / "keep").exists()


def test_a_file_that_changes_meanwhile_is_refused(eras):
    job, board = job_and_board(*eras)
    with pytest.raises(RoundError, match="not the file that the driver has read"):
        evaluate_in_blocks(replace(job, sha256="0" * 64), board, HerePool())


def test_a_frame_is_refused(eras):
    with pytest.raises(ValueError, match="workers read files by path"):
        mmc_gpu.evaluate(pd.read_parquet(eras[0]), engine="numpy", cluster="local")


def test_missing_predictions_are_filled_by_workers_too(eras, tmp_path):
    path, options = eras
    frame = pd.read_parquet(path)
    model = options["models"][0]
    name = next(column for column in frame if column.startswith(model.rstrip("*")))
    frame.iloc[::7, frame.columns.get_loc(name)] = np.nan
    frame.to_parquet(tmp_path / "gaps.parquet")
    one = mmc_gpu.evaluate(tmp_path / "gaps.parquet", **options, missing="fill")
    job, board = job_and_board(tmp_path / "gaps.parquet", options)
    columns = replace(job.columns, fill=True)
    board = Board(columns, board.metrics, board.labels)
    evaluate_in_blocks(replace(job, size=2, columns=columns), board, HerePool())
    assert one.missing.sum() > 10
    np.testing.assert_array_equal(board.missing, one.missing)
    for score, values in one.scores.items():
        np.testing.assert_array_equal(board.scores[score], values)
