"""The command line as a person runs it, and a round in a folder to run it on."""

import shutil

import pandas as pd
import pytest

from mmc_gpu.rounds.sample import make_sample_round, write_sample_round


@pytest.fixture(scope="session")
def sample():
    return make_sample_round(users=40, stocks=200, seed=3)


@pytest.fixture(scope="session")
def made(sample, call, tmp_path_factory):
    """A sample round and its result, `round` and `out`: copy them."""
    made = tmp_path_factory.mktemp("made")
    write_sample_round(made / "round", sample)
    assert call("score", made / "round", "-o", made / "out") == 0
    return made


@pytest.fixture
def folder(tmp_path, made):
    """A sample round in a folder."""
    return shutil.copytree(made / "round", tmp_path / "round")


@pytest.fixture
def result(folder, tmp_path, made):
    """The result of the round."""
    return shutil.copytree(made / "out", tmp_path / "out")


@pytest.fixture
def break_user(folder):
    """Overwrite a user's first prediction."""

    def break_user_(user, value):
        table = pd.read_parquet(folder / "predictions.parquet")
        table.loc[0, user] = value
        table.to_parquet(folder / "predictions.parquet", index=False)

    return break_user_
