"""Numbers as text: plain ASCII decimals, in stakes as in predictions, from files and Python."""

import numpy as np
import pandas as pd
import pytest

import mmc_gpu
from mmc_gpu.errors import RoundError
from mmc_gpu.inputs.columns import written_number

IDS = [f"n{n:02}" for n in range(12)]
VALUES = np.random.default_rng(0).random((12, 2))

WORDS = [
    *(
        "1_000",
        "0_5",
        "\u0663",
        "\u0660.\u0665",
        "\uff11",
        "\uff10.\uff15",
        "0.5\u00a0",
        "\u00a00.5",
        "0.5\u2003",
        "0.5\u200b",
    ),
    *("0x1", "0x1p-2", "0b1", "1e", "e5", "1d-3", "--1", "1-", "1+", ".", "-", "+", "0.5.5"),
    *(
        "1 000",
        "0.5f",
        "0.5%",
        "$1",
        "1/2",
        "\u22120.5",
        "true",
        "TRUE",
        "\u00bd",
        "\u00b2",
        "NaNs",
    ),
    *("n/a", "Null", "\\N", "'1'", "infinite"),
]
NUMBERS = {
    "1": 1.0,
    "+1": 1.0,
    "007": 7.0,
    "1e5": 1e5,
    "1E+5": 1e5,
    "1e-3": 1e-3,
    "5.": 5.0,
    ".5": 0.5,
    " 0.5": 0.5,
    "0.5\t": 0.5,
    "1e-400": 0.0,
    "0.12345678901234567890123456789": 0.12345678901234567890123456789,
}


@pytest.fixture
def folder(tmp_path):
    pd.Series(VALUES[:, 1] ** 2, IDS, name="target").rename_axis("id").to_csv(
        tmp_path / "targets.csv"
    )
    frame = pd.DataFrame(VALUES, IDS, ["a", "b"]).rename_axis("id")
    frame.to_csv(tmp_path / "predictions.csv")
    (tmp_path / "stakes.csv").write_text("user,stake\na,1\nb,2\n", encoding="utf-8")
    return tmp_path


def faults_of(folder):
    found = mmc_gpu.open_round(folder, on_error="quarantine")
    return [(fault.user, fault.code) for fault in found.quarantined]


def in_python(*stakes, **options):
    names = "acdef"[: len(stakes)]
    frame = pd.DataFrame(VALUES, IDS, ["a", "b"])
    frame = frame.assign(**{name: frame["a"] for name in names})
    target = pd.Series(VALUES[:, 1] ** 2, IDS)
    given = dict(zip(names, stakes, strict=True)) | {"b": 2.0}
    return mmc_gpu.score_round(frame, given, target, engine="numpy", **options)


def quoted(text):
    return '"' + text.replace('"', '""') + '"'


@pytest.mark.parametrize("text", WORDS, ids=ascii)
def test_a_word_is_no_number_anywhere(text, folder):
    assert written_number(text) is None
    if text.isascii():
        assert written_number(text.encode()) is None
    assert written_number(text.encode("utf-8")) is None
    (folder / "stakes.csv").write_text(f"user,stake\na,{quoted(text)}\nb,2\n", encoding="utf-8")
    assert faults_of(folder) == [("a", "value-text")]
    (folder / "stakes.csv").write_text("user,stake\na,1\nb,2\n", encoding="utf-8")
    lines = (folder / "predictions.csv").read_text(encoding="utf-8").splitlines()
    lines[4] = f"n03,{quoted(text)},0.5"
    (folder / "predictions.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert faults_of(folder) == [("a", "value-text")]


@pytest.mark.parametrize("text", WORDS, ids=ascii)
def test_a_word_is_no_stake_in_python(text):
    code = text.encode("utf-8")
    stakes = text, code, np.str_(text), np.bytes_(code)
    scores = in_python(*stakes, on_error="quarantine")
    found = [(fault.user, fault.code) for fault in scores.quarantined]
    assert found == [(name, "value-text") for name in "acde"]


@pytest.mark.parametrize("text", NUMBERS, ids=ascii)
def test_a_plain_decimal_is_the_same_number_everywhere(text, folder):
    assert written_number(text) == written_number(text.encode()) == NUMBERS[text]
    lines = (folder / "targets.csv").read_text(encoding="utf-8").splitlines()
    lines[4] = f"n03,{quoted(text)}"
    (folder / "targets.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "stakes.csv").write_text(f"user,stake\na,{quoted(text)}\nb,2\n", encoding="utf-8")
    found = mmc_gpu.open_round(folder)
    assert found.targets["target"][3] == NUMBERS[text]
    assert found.stakes[found.users.index("a")] == NUMBERS[text]
    assert in_python(text).stakes.tolist() == in_python(text.encode()).stakes.tolist()
    assert NUMBERS[text] in in_python(text).stakes.tolist()


@pytest.mark.parametrize("text", ["inf", "-Infinity", "nan", "-1", "1e400", "1e16", "9" * 400])
def test_a_number_that_is_no_stake_is_invalid(text, folder):
    (folder / "stakes.csv").write_text(f"user,stake\na,{text}\nb,2\n", encoding="utf-8")
    assert faults_of(folder) == [("a", "stake-invalid")]
    for stake in (text, text.encode()):
        scores = in_python(stake, on_error="quarantine")
        assert [fault.code for fault in scores.quarantined] == ["stake-invalid"]


@pytest.mark.parametrize("values", [VALUES.astype(str), VALUES.astype("S"), ["1_0", b"0.5"]])
def test_predictions_as_text_are_refused_in_python(values):
    column = np.asarray(values, object).ravel()[:1].tolist() + [0.5] * 11
    frame = pd.DataFrame({"a": pd.Series(column, IDS, dtype=object), "b": VALUES[:, 1]})
    with pytest.raises(RoundError, match="value-text"):
        mmc_gpu.score_round(frame, {"b": 1.0}, pd.Series(VALUES[:, 0], IDS))
