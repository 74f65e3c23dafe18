"""The command line as a person runs it, and a round in a folder to run it on."""

import pandas as pd
import pytest

from mmc_gpu.rounds.sample import make_sample_round, write_sample_round


@pytest.fixture(scope="session")
def sample():
    return make_sample_round(users=40, stocks=200, seed=3)


@pytest.fixture
def folder(tmp_path, sample):
    """A sample round in a folder."""
    write_sample_round(tmp_path / "round", sample)
    return tmp_path / "round"


@pytest.fixture
def break_user(folder):
    """Overwrite a user's first prediction."""

    def break_user_(user, value):
        table = pd.read_parquet(folder / "predictions.parquet")
        table.loc[0, user] = value
        table.to_parquet(folder / "predictions.parquet", index=False)

    return break_user_
