"""Submissions of strangers, with every kind of fault: one command, one page, one list to send."""

import gzip
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from systems import POSIX

from mmc_gpu.errors import CODES, remedies
from mmc_gpu.rounds.sample import make_sample_round, write_sample_round

IDS = make_sample_round(users=12, stocks=60, seed=7).ids
GOOD = [f"{id_},{(place + 1) / 61:.6f}" for place, id_ in enumerate(IDS)]


def csv(*lines, header="id,prediction", end="\n"):
    return "\n".join([header, *lines]).encode() + end.encode()


def changed(row, line):
    return [line if place == row else good for place, good in enumerate(GOOD)]


def parquet(**columns):
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"id": IDS, **columns}), sink)
    return sink.getvalue().to_pybytes()


NUMBERS = [(place + 1) / 61 for place in range(60)]

KINDS = {
    # file: contents, code, line
    "missing.csv": (csv(*changed(4, f"{IDS[4]},")), "prediction-missing", 6),
    "word_for_missing.csv": (csv(*changed(0, f"{IDS[0]},NA")), "prediction-missing", 2),
    "infinite.csv": (csv(*changed(9, f"{IDS[9]},inf")), "prediction-infinite", 11),
    "too_large.csv": (csv(*changed(9, f"{IDS[9]},1e400")), "prediction-infinite", 11),
    "outside.csv": (csv(*changed(2, f"{IDS[2]},1.5")), "prediction-range", 4),
    "negative.csv": (csv(*changed(2, f"{IDS[2]},-0.1")), "prediction-range", 4),
    "constant.csv": (csv(*(f"{id_},0.5" for id_ in IDS)), "prediction-constant", None),
    "text.csv": (csv(*changed(3, f"{IDS[3]},high")), "value-text", 5),
    "comma.csv": (csv(*changed(3, f'{IDS[3]},"0,5"')), "value-text", 5),
    "hex.csv": (csv(*changed(3, f"{IDS[3]},0x1p-1")), "value-text", 5),
    "underscore.csv": (csv(*changed(3, f"{IDS[3]},1_0")), "value-text", 5),
    "semicolon.csv": (csv(*GOOD).replace(b",", b";"), "file-separator", None),
    "twice.csv": (csv(*GOOD, GOOD[1]), "id-duplicate", 62),
    "fewer.csv": (csv(*GOOD[:55]), "id-missing", None),
    "other_round.csv": (csv(*GOOD[:20]), "id-other-round", None),
    "no_id.csv": (csv(*changed(6, ",0.5")), "id-null", 8),
    "case.csv": (csv(*changed(6, f"{IDS[6].upper()},0.5")), "id-mismatch", None),
    "space.csv": (csv(*changed(6, f"{IDS[6]} ,0.5")), "id-mismatch", None),
    "no_column.csv": (csv(*GOOD, header="id,target"), "column-missing", None),
    "two_columns.csv": (csv(*GOOD, header="id,id"), "header-duplicate", None),
    "wide_row.csv": (csv(*changed(8, f"{IDS[8]},0.5,0.5")), "row-width", 10),
    "narrow_row.csv": (csv(*changed(8, IDS[8])), "row-width", 10),
    "utf16.csv": (csv(*GOOD).decode().encode("utf-16"), "file-encoding", None),
    "latin.csv": (csv(*GOOD, "é,0.5").decode().encode("latin-1"), "file-encoding", None),
    "empty.csv": (b"", "file-empty", None),
    "header.csv": (csv(), "file-empty", None),
    "quote.csv": (csv(*changed(5, f'"{IDS[5]},0.5')), "file-damaged", None),
    "half.parquet": (parquet(prediction=NUMBERS)[:400], "file-damaged", None),
    "no_parquet.parquet": (b"PAR1 in name only", "file-damaged", None),
    "dates.parquet": (parquet(prediction=[pd.Timestamp("2026-01-01")] * 60), "column-type", None),
    "broken.csv.gz": (gzip.compress(csv(*GOOD))[:100], "file-damaged", None),
    "pickle.pkl": (b"\x80\x04.", "file-format", None),
    "link.csv": (None, "file-regular", None),
    "control\x07.csv": (csv(*GOOD), "user-name", None),
}
if not POSIX:
    del KINDS["control\x07.csv"]


@pytest.fixture(scope="module")
def rounds(tmp_path_factory):
    """A round with every kind of fault, and the same one without those submissions."""
    folder = tmp_path_factory.mktemp("strangers")
    sample = make_sample_round(users=12, stocks=60, seed=7)
    for name in ("clean", "faulty"):
        write_sample_round(folder / name, sample, submissions=True)
    into = folder / "faulty/submissions"
    for name, (contents, _, _) in KINDS.items():
        if contents is None:
            (into / name).symlink_to("clean.csv")
        else:
            (into / name).write_bytes(contents)
    ann, bob = sample.users[:2]
    (into / f"{ann} (1).csv").write_bytes(csv(*GOOD))
    for name in ("faulty", "clean"):
        with (folder / name / "stakes.csv").open("a") as stakes:
            stakes.write("outside,5\nnegative,5\n")
            if name == "faulty":
                stakes.write("broke,-1\n")
    (into / "broke.csv").write_bytes(csv(*GOOD))
    return folder, ann, bob


@pytest.fixture
def listed(rounds, run, tmp_path):
    folder, _, _ = rounds
    options = ("-o", tmp_path / "out", "--engine", "numpy", "--report")
    code, _, err = run("score", folder / "faulty", *options)
    assert code == 4, err
    return pd.read_csv(tmp_path / "out/quarantine.csv", dtype=str, keep_default_na=False)


def test_each_kind_of_fault_is_one_row_with_its_file_and_line(listed):
    found = {
        row.file: (row.code, int(row.line) if row.line else None) for row in listed.itertuples()
    }
    for name, (_, code, line) in KINDS.items():
        assert found[f"submissions/{name}"] == (code, line), name
    assert found["stakes.csv"][0] == "stake-invalid"
    assert len(listed) == len(KINDS) + 2
    assert listed["user"].is_unique


def test_the_list_can_be_sent(listed, rounds):
    folder, _, _ = rounds
    assert list(listed) == [
        *("user", "file", "line", "code", "detail", "remedy", "remedy_operator")
    ]
    for row in listed.itertuples():
        assert row.code in CODES
        assert (row.remedy, row.remedy_operator) == remedies(row.code)
        assert str(folder) not in row.detail  # no path of the operator's machine
        assert "--" not in row.remedy  # users have no command line


def test_a_copy_of_a_file_names_both_and_the_likely_user(listed, rounds):
    _, ann, _ = rounds
    (row,) = listed[listed["user"] == f"{ann} (1)"].itertuples()
    assert row.code == "user-duplicate"
    for words in (f"submissions/{ann} (1).csv", f"submissions/{ann}.csv", f"user '{ann}'"):
        assert words in row.detail


def test_everybody_else_is_scored_as_if_they_had_never_submitted(rounds, run, tmp_path):
    folder, ann, _ = rounds
    for name in ("clean", "faulty"):
        run("score", folder / name, "-o", tmp_path / name, "--engine", "numpy")
    digests = [
        json.loads((tmp_path / name / "receipt.json").read_text())["scores_digest"]
        for name in ("clean", "faulty")
    ]
    assert digests[0] == digests[1]
    users = pq.read_table(tmp_path / "faulty/scores.parquet").column("user").to_pylist()
    assert ann in users


def test_a_packed_round_lists_the_same(listed, rounds, run, tmp_path):
    folder, _, _ = rounds
    assert run("pack", folder / "faulty", "-o", tmp_path / "packed")[0] == 4
    run("score", tmp_path / "packed", "-o", tmp_path / "out2", "--engine", "numpy")
    packed = pd.read_csv(tmp_path / "out2/quarantine.csv", dtype=str, keep_default_na=False)
    both = [table.set_index("user").sort_index() for table in (listed, packed)]
    same = ["code", "remedy", "remedy_operator"]
    pd.testing.assert_frame_equal(both[0][same], both[1][same])
    of_files = both[0]["file"].str.startswith("submissions/") & (
        both[0]["code"] != "prediction-range"
    )
    assert (both[0]["file"] == both[1]["file"])[of_files].all()


def test_the_page_counts_every_kind(listed, run, tmp_path):
    page = (tmp_path / "out/report.html").read_text()
    for code in set(listed["code"]):
        assert f'["{code}",' in page


def test_a_user_with_two_files_is_one_row(run, tmp_path):
    sample = make_sample_round(users=5, stocks=60, seed=1)
    write_sample_round(tmp_path / "round", sample, submissions=True)
    user = sample.users[0]
    (tmp_path / f"round/submissions/{user}.csv.gz").write_bytes(gzip.compress(csv(*GOOD)))
    run("score", tmp_path / "round", "-o", tmp_path / "out", "--engine", "numpy")
    (row,) = pd.read_csv(tmp_path / "out/quarantine.csv").itertuples()
    assert (row.user, row.code) == (user, "user-duplicate")
    assert f"{user}.csv.gz" in row.detail
    assert f"{user}.csv'" in row.detail


def test_a_name_that_only_looks_like_a_copy_is_a_users(run, tmp_path):
    sample = make_sample_round(users=5, stocks=60, seed=1)
    write_sample_round(tmp_path / "round", sample, submissions=True)
    files = tmp_path / "round/submissions"
    (files / f"{sample.users[0]}.csv").rename(files / "zoe (1).csv")
    code, _, _ = run("score", tmp_path / "round", "--engine", "numpy")
    assert code == 0


def test_lines_count_blank_lines_and_quoted_ones(run, tmp_path):
    sample = make_sample_round(users=5, stocks=60, seed=7)
    write_sample_round(tmp_path / "round", sample, submissions=True)
    lines = ["", *changed(2, f'"{IDS[2]}",inf')]
    (tmp_path / "round/submissions/blank.csv").write_bytes(csv(*lines))
    run("score", tmp_path / "round", "-o", tmp_path / "out", "--engine", "numpy")
    table = pd.read_csv(tmp_path / "out/quarantine.csv")
    assert table["line"].tolist() == [5]
    assert np.isfinite(table["line"]).all()


@pytest.mark.parametrize("rounds", [1, 2])
def test_where_nobody_is_left_all_faults_are_told_with_their_files(run, tmp_path, rounds):
    names = [f"round{number}" for number in range(rounds)]
    for name in names:
        sample = make_sample_round(users=5, stocks=60, seed=1)
        write_sample_round(tmp_path / name, sample, submissions=True)
        for path in (tmp_path / name / "submissions").iterdir():
            path.write_bytes(csv())
    folders = [tmp_path / name for name in names]
    code, out, _ = run("score", *folders, "-o", tmp_path / "out", "--engine", "numpy", "--json")
    *events, result = map(json.loads, out.splitlines())
    assert code == result["exit_code"] == 1
    if rounds == 1:
        told = [event for event in events if event["event"] == "quarantined"]
        assert result["error"]["code"] == "round-empty"
    else:
        told = [row for event in events for row in event["quarantined"]]
        assert [event["error"]["code"] for event in events] == ["round-empty"] * 2
    expected = [f"submissions/{user}.csv" for user in sample.users] * rounds
    assert sorted(row["file"] for row in told) == sorted(expected)
