"""Signals and Crypto rounds: their files are read, and cleaned as numerai-tools does."""

import logging
from functools import cached_property

import numpy as np
import pandas as pd
import pytest

import mmc_gpu
from mmc_gpu.files.results.receipt import read_round_receipt
from mmc_gpu.files.rounds.packing import pack_round
from mmc_gpu.files.rounds.read import read_round
from mmc_gpu.files.rounds.tournaments import FEWEST

submissions = pytest.importorskip("numerai_tools.submissions", reason="the extra `test` has it")

STOCKS = 160
ODD = ["NAN", "NULL", "TRUE", "1E5", "NA", "nan", "None", "007", "1.0", "FALSE"]
"""Symbols that other readers take for missing values, booleans or numbers."""


class Universe:
    """A universe, and submissions that each lack some of its stocks."""

    def __init__(self, columns, users=8, seed=5):
        rng = np.random.default_rng(seed)
        tickers = [*ODD, *(f"T{number:03d} US" for number in range(STOCKS - len(ODD)))]
        rng.shuffle(tickers)
        self.own = columns[0]
        self.table = pd.DataFrame({self.own: tickers})
        for number, column in enumerate(columns[1:]):
            self.table[column] = [f"{number}-{ticker}" for ticker in tickers]
        self.targets = self.table.assign(
            friday_date="2024-03-01", target=rng.choice([0, 0.25, 0.5, 0.75, 1], STOCKS)
        )
        self.users = [f"user {number}" for number in range(users)]
        self.stakes = pd.DataFrame({"user": self.users, "stake": rng.random(users) + 0.1})
        self.frames = {}
        for number, user in enumerate(self.users):
            column = columns[number % len(columns)]
            chosen = rng.permutation(STOCKS)[: rng.integers(FEWEST, STOCKS + 1)]
            strangers = [f"OTHER {n}" for n in range(number * 9)]
            ids = [*self.table[column].iloc[chosen], *strangers]
            values = rng.random(len(ids)).round(2 if number % 2 else 16)
            frame = pd.DataFrame({column: ids, ("signal", "prediction")[number % 2]: values})
            if number % 3 == 0 and column != "symbol":
                frame["friday_date"] = "2024-03-01"
            self.frames[user] = frame

    def write(self, folder):
        (folder / "submissions").mkdir(parents=True)
        self.targets.to_csv(folder / "targets.csv", index=False)
        self.stakes.to_csv(folder / "stakes.csv", index=False)
        for number, (user, frame) in enumerate(self.frames.items()):
            path = folder / "submissions" / user
            if number % 2:
                frame.to_parquet(f"{path}.parquet", index=False)
            else:
                frame.to_csv(f"{path}.csv", index=False)
        return folder

    @cached_property
    def cleaned(self):
        """What numerai-tools makes of the submissions: stocks x users."""
        series = {}
        for user, frame in self.frames.items():
            frame = frame.drop(columns="friday_date", errors="ignore")
            ids, prediction = frame.columns
            valid, _ = submissions._validate_ids(self.table[ids], frame, ids, FEWEST)
            submissions.validate_values(valid, prediction)
            series[user] = submissions.clean_submission(
                self.table, valid, ids, prediction, dst_id_col=self.own, rank_and_fill=True
            )
        return pd.DataFrame(series)


ROUNDS = {
    "signals": ["numerai_ticker", "bloomberg_ticker"],
    "crypto": ["symbol"],
    "ticker": ["ticker"],
}


@pytest.fixture(scope="module", params=ROUNDS)
def universe(request):
    universe = Universe(ROUNDS[request.param])
    universe.tournament = "crypto" if request.param == "crypto" else "signals"
    return universe


@pytest.fixture
def made(universe, tmp_path):
    """A universe with its round in a folder, to be changed at will."""
    universe.folder = universe.write(tmp_path / "round")
    return universe


def predictions_of(round_):
    rows = {user: round_.predictions[int(row)] for row, user in zip(round_.rows, round_.users)}  # noqa: B905
    frame = pd.DataFrame(rows)
    frame = frame if round_.columns is None else frame.iloc[round_.columns]
    return frame.set_axis(round_.ids)


def test_submissions_are_cleaned_as_numerai_tools_does(made):
    round_ = read_round(made.folder).round
    assert round_.quarantined == ()
    assert set(ODD) <= set(round_.ids)
    found, expected = predictions_of(round_), made.cleaned
    pd.testing.assert_frame_equal(
        found, expected.loc[found.index, found.columns], check_exact=True, check_names=False
    )


def test_a_packed_round_and_a_wide_file_have_the_same_scores(made, tmp_path):
    expected = mmc_gpu.score_round(mmc_gpu.open_round(made.folder)).digest
    packing = pack_round(made.folder, tmp_path / "packed")
    assert any(f"tournament {made.tournament}" in note for note in packing.notes)
    assert mmc_gpu.score_round(mmc_gpu.open_round(tmp_path / "packed")).digest == expected
    wide = self_wide(made)
    for number, suffix in enumerate(("csv", "parquet")):
        folder = tmp_path / f"wide {number}"
        folder.mkdir()
        made.targets.to_csv(folder / "targets.csv", index=False)
        made.stakes.to_csv(folder / "stakes.csv", index=False)
        getattr(wide, f"to_{suffix}")(folder / f"predictions.{suffix}", index=False)
        assert mmc_gpu.score_round(mmc_gpu.open_round(folder)).digest == expected
        pack_round(folder, tmp_path / f"packed {number}")
        packed = mmc_gpu.open_round(tmp_path / f"packed {number}")
        assert mmc_gpu.score_round(packed).digest == expected


def test_a_result_knows_its_tournament_however_the_round_lies(made, tmp_path, run):
    wide = tmp_path / "wide"
    wide.mkdir()
    made.targets.to_csv(wide / "targets.csv", index=False)
    made.stakes.to_csv(wide / "stakes.csv", index=False)
    table = self_wide(made)
    table.insert(0, "", range(len(table)))  # of which a note is made, too
    table.to_csv(wide / "predictions.csv", index=False)
    for number, folder in enumerate((made.folder, wide)):
        packed = tmp_path / f"packed {number}"
        for _ in range(2):
            assert run("pack", folder, "-o", packed)[0] == 0
        for round_ in (folder, packed):
            assert run("score", round_, "-o", tmp_path / "out", "--draws", 2)[0] == 0
            assert read_round_receipt(tmp_path / "out").played == made.tournament


def test_columns_beside_the_predictions_of_a_wide_file_are_said(made, tmp_path):
    wide = self_wide(made)
    wide.insert(0, "", range(len(wide)))
    made.targets.to_csv(tmp_path / "targets.csv", index=False)
    made.stakes.to_csv(tmp_path / "stakes.csv", index=False)
    expected = mmc_gpu.score_round(mmc_gpu.open_round(made.folder)).digest
    for suffix in ("csv", "parquet"):
        getattr(wide, f"to_{suffix}")(tmp_path / f"predictions.{suffix}", index=False)
        round_ = read_round(tmp_path).round
        assert any("'' (row numbers)" in note for note in round_.notes)
        assert round_.quarantined == ()
        assert mmc_gpu.score_round(round_).digest == expected
        packing = pack_round(tmp_path, tmp_path / f"packed {suffix}")
        assert any("'' (row numbers)" in note for note in packing.notes)
        packed = mmc_gpu.open_round(tmp_path / f"packed {suffix}")
        assert mmc_gpu.score_round(packed).digest == expected
        (tmp_path / f"predictions.{suffix}").unlink()
    wide.set_index("").to_parquet(tmp_path / "predictions.parquet")
    assert mmc_gpu.score_round(read_round(tmp_path).round).digest == expected


def test_a_wide_file_of_other_stocks_is_every_users_fault(made, tmp_path):
    wide = self_wide(made)
    wide[made.own] = "X" + wide[made.own]
    made.targets.to_csv(tmp_path / "targets.csv", index=False)
    made.stakes.to_csv(tmp_path / "stakes.csv", index=False)
    wide.to_csv(tmp_path / "predictions.csv", index=False)
    with pytest.raises(mmc_gpu.RoundError) as raised:
        read_round(tmp_path)
    assert {fault.code for fault in raised.value.quarantined} == {"id-other-round"}


def self_wide(made):
    """Return the submissions as one table, with NaN for stocks that they lack."""
    columns = {}
    for user, frame in made.frames.items():
        ids = next(name for name in frame if name in made.table)
        values = frame.drop_duplicates(ids).set_index(ids).iloc[:, 0]
        columns[user] = values.reindex(made.table[ids]).to_numpy()
    return pd.DataFrame({made.own: made.table[made.own], "date": "2024-03-01", **columns})


def test_the_scores_are_those_of_the_cleaned_frames(made):
    targets = made.targets.set_index(made.own)["target"]
    stakes = made.stakes.set_index("user")["stake"]
    frames = mmc_gpu.score_round(made.cleaned, stakes, targets)
    assert mmc_gpu.score_round(mmc_gpu.open_round(made.folder)).digest == frames.digest


def test_a_round_says_its_tournament_and_how_that_is_known(made):
    (note,) = (note for note in read_round(made.folder).round.notes if "tournament" in note)
    assert f"tournament {made.tournament}, found from the column {made.own}" in note
    asked = read_round(made.folder, tournament=made.tournament).round
    assert any("as asked" in note for note in asked.notes)


def test_a_round_with_ids_is_numerais_own_unless_asked(made):
    made.targets.rename(columns={made.own: "id"}).to_csv(made.folder / "targets.csv", index=False)
    for user, frame in made.frames.items():
        ids = next(name for name in frame if name in made.table)
        if ids != made.own:
            for path in (made.folder / "submissions").glob(f"{user}.*"):
                path.unlink()
            continue
        renamed = frame.rename(columns={ids: "id"})
        for path in (made.folder / "submissions").glob(f"{user}.*"):
            path.unlink()
        renamed.to_csv(made.folder / "submissions" / f"{user}.csv", index=False)
    round_ = read_round(made.folder, tournament=made.tournament).round
    assert len(round_.users) >= 4


def test_further_scores_have_files_with_tickers(made):
    rng = np.random.default_rng(1)
    neutralizers = made.table[[made.own]].assign(era="x", a=rng.random(STOCKS), b=1.0)
    neutralizers["b"] = rng.random(STOCKS)
    neutralizers.to_csv(made.folder / "neutralizers.csv", index=False)
    weights = made.table[[made.own]].assign(w=rng.random(STOCKS))
    weights.to_parquet(made.folder / "weights.parquet", index=False)
    scores = mmc_gpu.score_round(mmc_gpu.open_round(made.folder), scores=["alpha"])
    cleaned = made.cleaned
    expected = mmc_gpu.metrics.alpha(
        cleaned,
        neutralizers.set_index(made.own)[["a", "b"]],
        weights.set_index(made.own)["w"],
        made.targets.set_index(made.own)["target"],
    )
    found = scores.table.set_index("user")["alpha"]
    np.testing.assert_allclose(found, expected[found.index], rtol=0, atol=1e-12)


FAULTS = {
    "too few": (lambda frame: frame.head(FEWEST - 1), "id-other-round"),
    "none of the universe": (lambda frame: frame.assign(symbol="X" + frame["symbol"]),
                             "id-other-round"),
    "twice": (lambda frame: pd.concat([frame, frame.head(1)]), "id-duplicate"),
    "missing": (lambda frame: frame.assign(signal=frame["signal"].where(frame.index > 3)),
                "prediction-missing"),
    "out of range": (lambda frame: frame.assign(signal=frame["signal"] + 1), "prediction-range"),
    "constant": (lambda frame: frame.assign(signal=0.25), "prediction-constant"),
    "no prediction": (lambda frame: frame.rename(columns={"signal": "score"}), "column-missing"),
    "other ids": (lambda frame: frame.rename(columns={"symbol": "ticker"}), "column-missing"),
    "two predictions": (lambda frame: frame.assign(prediction=0.5), "column-missing"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_concerns_its_user_alone(tmp_path, fault):
    universe = Universe(["symbol"])
    folder = universe.write(tmp_path / "round")
    change, code = FAULTS[fault]
    change(universe.frames["user 0"]).to_csv(folder / "submissions" / "user 0.csv", index=False)
    round_ = read_round(folder).round
    assert [(q.user, q.code) for q in round_.quarantined] == [("user 0", code)]
    assert len(round_.users) == len(universe.users) - 1


def test_targets_of_two_dates_are_refused(tmp_path, refused):
    universe = Universe(["numerai_ticker"])
    universe.targets.loc[3, "friday_date"] = "2024-03-08"
    folder = universe.write(tmp_path / "round")
    assert "2 dates in friday_date" in refused("id-other-round", read_round, folder)


def test_an_asked_tournament_needs_its_ids(tmp_path, refused):
    folder = Universe(["numerai_ticker"]).write(tmp_path / "round")
    refused("column-missing", read_round, folder, tournament="crypto")


def test_numerai_tools_warns_of_nothing(caplog):
    with caplog.at_level(logging.WARNING):
        assert len(Universe(["symbol"]).cleaned)
    assert not caplog.records


def test_a_packed_round_takes_submissions_without_targets_or_ids(tmp_path):
    rng = np.random.default_rng(4)
    ids = [f"n{number}" for number in range(9)]
    for name, users in (("first", "ab"), ("second", "c")):
        folder = tmp_path / name
        (folder / "submissions").mkdir(parents=True)
        pd.DataFrame({"user": list(users), "stake": 1.0}).to_csv(folder / "stakes.csv", index=False)
        for user in users:
            table = pd.DataFrame({"id": ids, "prediction": rng.random(9)})
            table.to_csv(folder / "submissions" / f"{user}.csv", index=False)
    pd.DataFrame({"id": ids}).to_csv(tmp_path / "first/ids.csv", index=False)
    assert pack_round(tmp_path / "first", tmp_path / "packed").added == 2
    assert pack_round(tmp_path / "second", tmp_path / "packed").added == 1
