"""Verifying a result: all of it is computed again and compared, or named as not checked.

Whoever forges a file makes its hash in the receipt anew: hashes alone show nothing.

Long, because every file and every entry of a receipt is forged.
"""

import base64
import hashlib
import json
import re
import shutil
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from systems import posix

from mmc_gpu.cli.runs import Run
from mmc_gpu.engines import load_engine
from mmc_gpu.errors import RoundError
from mmc_gpu.files.formats.table import read_table
from mmc_gpu.files.results import verify as verifying
from mmc_gpu.files.results.page import result_page
from mmc_gpu.files.results.receipt import read_round_receipt
from mmc_gpu.files.results.verify import verify_result
from mmc_gpu.files.rounds.packing import pack_round
from mmc_gpu.files.rounds.read import read_round
from mmc_gpu.files.writing.tables import json_bytes
from mmc_gpu.rounds.method import Method
from mmc_gpu.rounds.sample import make_sample_round, write_sample_round

METHOD = Method(draws=6)
FORMATS = ["parquet", "csv", "json"]


def score_into(round_, out, format_="parquet", **options):
    options = {"save_draws": True, "report": True} | options
    Run(METHOD, load_engine("numpy"), format_=format_, **options).score(round_, out)
    return out


def read_csv(path):
    """Return a CSV file as a frame, with the bits that the package reads."""
    return read_table(path, text=("id", "user")).to_pandas()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a folder with a round of two targets and one quarantined user, and its results."""
    path = tmp_path_factory.mktemp("verify")
    write_sample_round(path / "round", make_sample_round(users=8, stocks=60, seed=2), True)
    targets = read_csv(path / "round/targets.csv")
    targets["other"] = targets.iloc[::-1, 1].to_numpy()
    targets.to_csv(path / "round/targets.csv", index=False)
    users = sorted((path / "round/submissions").iterdir())
    users[3].write_bytes(b"")
    for format_ in FORMATS[1:]:
        score_into(path / "round", path / format_, format_, report=False)
    with_page = score_into(path / "round", path / "page")
    shutil.copytree(with_page, path / "parquet", ignore=shutil.ignore_patterns("report.html"))
    return path


@pytest.fixture
def result(made, tmp_path):
    """Return a copy of the result as Parquet, without a page."""
    return shutil.copytree(made / "parquet", tmp_path / "result")


@pytest.fixture
def page(made, result):
    """Return the page of the result, which lies in its folder now."""
    return Path(shutil.copy(made / "page/report.html", result))


@pytest.fixture
def verify(made, result):
    """Verify the result against the round; returns the verdict."""
    return lambda round_=made / "round": verify_result(result, round_, "numpy")


def change_receipt(folder, **changes):
    path = folder / "receipt.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def forge(folder, name, data):
    """Replace a file of a result, and its hash in the receipt."""
    (folder / name).write_bytes(data)
    files = json.loads((folder / "receipt.json").read_text())["files"]
    change_receipt(folder, files=files | {name: hashlib.sha256(data).hexdigest()})


def forge_table(folder, name, change):
    """Change a Parquet table of a result with pandas, and its hash."""
    table = pd.read_parquet(folder / name)
    table = change(table)
    table.to_parquet(folder / name, index=False)
    forge(folder, name, (folder / name).read_bytes())


def set_first(column, value):
    def change(table):
        table.loc[0, column] = value(table.loc[0, column]) if callable(value) else value
        return table

    return change


@pytest.mark.parametrize("format_", [*FORMATS, "page"])
def test_an_honest_result_names_only_what_nobody_can_compute(made, format_):
    verdict = verify_result(made / format_, made / "round", "numpy")
    assert verdict.differences == []
    assert verdict.notes == ["not checked: 'created', 'title', 'engine', 'versions' of the receipt"]


# files


@pytest.mark.parametrize("name", ["scores.parquet", "draws.parquet", "quarantine.csv"])
def test_a_file_that_was_deleted_is_named(verify, result, name):
    (result / name).unlink()
    assert f"{name}: gone since the result was written" in verify().differences


@pytest.mark.parametrize("name", ["scores.parquet", "quarantine.csv"])
def test_a_file_that_was_deleted_with_its_hash_is_missed(verify, result, name):
    (result / name).unlink()
    files = json.loads((result / "receipt.json").read_text())["files"]
    change_receipt(result, files={n: sha for n, sha in files.items() if n != name})
    assert verify().differences


@pytest.mark.parametrize("name", ["scores.parquet", "quarantine.csv", "report.html"])
def test_a_link_instead_of_a_file_is_a_difference(verify, result, page, name, tmp_path):
    (result / name).rename(tmp_path / name)
    (result / name).symlink_to(tmp_path / name)
    assert any(line.startswith(f"{name}: cannot be read") for line in verify().differences)


@pytest.mark.parametrize("name", ["scores.csv", "scores.json"])
@pytest.mark.parametrize("hashed", [False, True])
def test_a_second_table_of_scores_does_not_belong(verify, made, result, name, hashed):
    data = (made / name.split(".")[1] / name).read_bytes()
    if hashed:
        forge(result, name, data)
    else:
        (result / name).write_bytes(data)
    assert verify().differences


def test_draws_that_the_receipt_does_not_name_do_not_belong(verify, result):
    files = json.loads((result / "receipt.json").read_text())["files"]
    change_receipt(result, files={n: sha for n, sha in files.items() if n != "draws.parquet"})
    assert verify().differences == ["draws.parquet: not a file of this result"]


@posix
def test_other_files_in_the_folder_are_named_as_not_checked(verify, result):
    (result / "payouts\x1b[2J.csv").write_text("alice,1000")
    verdict = verify()
    assert verdict.differences == []
    assert r"not checked: 'payouts\x1b[2J.csv' in the folder" in verdict.notes


@pytest.mark.parametrize("name", ["payouts.csv", "../round/targets.csv", "receipt.json"])
def test_a_hash_of_what_is_no_file_of_a_result_is_a_difference(verify, result, name):
    files = json.loads((result / "receipt.json").read_text())["files"]
    change_receipt(result, files=files | {name: "0" * 64})
    assert any(line.startswith("files: not those of a result") for line in verify().differences)


# tables of numbers

CHANGES = {
    "one bit": set_first("mmc", lambda mmc: np.nextafter(mmc, 1)),
    "an order of magnitude": set_first("corr", lambda corr: corr * 10),
    "a sign": set_first("mmc_se", lambda error: -error),
    "not a number": set_first("corr_with_meta_model", np.nan),
    "a stake": set_first("stake", 1e6),
    "another user": set_first("user", "mallory"),
    "another target": set_first("target", "forged"),
    "filled": set_first("filled", 7),
    "a row less": lambda table: table.iloc[1:],
    "a row twice": lambda table: pd.concat([table, table.iloc[:1]]),
    "another order": lambda table: table.iloc[::-1],
    "a further column": lambda table: table.assign(payout=1.0),
    "a column less": lambda table: table.drop(columns="mmc_se"),
    "no user": lambda table: table.drop(columns="user"),
    "text": lambda table: table.assign(mmc="high"),
    "another type": lambda table: table.assign(filled=table["filled"].astype(float)),
    "nothing": lambda table: table.iloc[:0],
}


def written(table, format_, like=None):
    """Return a table as CSV, or as JSON: with all that another one says, or as 0.1.0 wrote it."""
    if format_ == "csv":
        return table.to_csv(index=False, lineterminator="\n").encode()
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    return json_bytes(json.loads(like.read_bytes()) | {"rows": rows} if like else rows)


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("change", CHANGES)
def test_a_forged_table_of_scores_is_found(made, tmp_path, format_, change):
    if format_ != "parquet" and change == "another type":
        pytest.skip("a CSV and a JSON file have no types")
    folder = shutil.copytree(made / format_, tmp_path / "out")
    if format_ == "parquet":
        forge_table(folder, "scores.parquet", CHANGES[change])
    else:
        table = CHANGES[change](pd.read_parquet(made / "parquet/scores.parquet"))
        honest = folder / f"scores.{format_}"
        forge(folder, honest.name, written(table, format_, like=honest))
    verdict = verify_result(folder, made / "round", "numpy")
    assert any(line.startswith(f"scores.{format_}: ") for line in verdict.differences)


@pytest.mark.parametrize("data", [b"", b"x", b"[[[[" * 50_000, b"[]", b"{}", b'[{"user": 1}, 2]'])
@pytest.mark.parametrize("name", ["scores.parquet", "scores.json", "scores.csv", "draws.parquet"])
def test_what_is_no_table_is_a_difference(verify, result, name, data):
    forge(result, name, data)
    assert any(line.startswith(f"{name}: cannot be read") for line in verify().differences)


@pytest.mark.parametrize(
    "change",
    [
        set_first("draw_2", lambda mmc: np.nextafter(mmc, 1)),
        set_first("draw_0", np.nan),
        set_first("user", "mallory"),
        lambda table: table.drop(columns="draw_5"),
        lambda table: table.assign(draw_6=0.0),
        lambda table: table.iloc[:-1],
    ],
)
def test_forged_draws_are_found(verify, result, change):
    forge_table(result, "draws.parquet", change)
    assert any(line.startswith("draws.parquet: ") for line in verify().differences)


@pytest.mark.parametrize("format_", FORMATS)
def test_it_says_for_whom_scores_differ_the_ten_worst_and_how_many(made, tmp_path, format_):
    folder = shutil.copytree(made / format_, tmp_path / "out")
    table = pd.read_parquet(made / "parquet/scores.parquet")
    honest = table["mmc"].tolist()
    table["mmc"] += np.arange(len(table)) * 1e-9
    table.loc[4, "corr"] = np.nan
    if format_ == "parquet":
        table.to_parquet(folder / "scores.parquet", index=False)
        forge(folder, "scores.parquet", (folder / "scores.parquet").read_bytes())
    else:
        forge(folder, f"scores.{format_}", written(table, format_))
    name = f"scores.{format_}"
    users, values = table["user"].nunique(), len(table)  # one mmc is the same, one corr is not
    head, *worst = verify_result(folder, made / "round", "numpy").differences
    expected = f"{name}: not the scores of this round: {values} values of {users} users differ"
    assert head == expected
    assert len(worst) == 10
    user, target = table.loc[4, ["user", "target"]]
    assert worst[0].startswith(f"{name}: {user!r}, on {target!r}, corr: nan there, ")
    last = len(table) - 1
    user, target = table.loc[last, ["user", "target"]]
    there, now = table.loc[last, "mmc"].item(), honest[last]
    assert f"{name}: {user!r}, on {target!r}, mmc: {there!r} there, {now!r} computed" == worst[1]


def test_a_row_that_is_missing_or_too_many_is_named_by_its_user(verify, result):
    forge_table(result, "scores.parquet", set_first("user", "mallory"))
    (line,) = [line for line in verify().differences if "one row for each user" in line]
    assert "'mallory'" in line


# who was quarantined


def forge_quarantine(folder, change):
    lines = (folder / "quarantine.csv").read_text().splitlines()
    forge(folder, "quarantine.csv", ("\n".join(change(lines)) + "\n").encode())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda lines: [*lines, "eve,,,id-missing,all,mend it,wait"],
            "listed, not computed: 'eve: id-",
        ),
        (lambda lines: lines[:1], "not listed: "),
        (lambda lines: [lines[0], lines[1].replace("file-empty", "id-missing")], "id-missing"),
        (lambda lines: [lines[0] + ",owes", lines[1] + ",9"], "a column too many, or none: 'owes'"),
        (lambda lines: [lines[0], lines[1] + " and pay"], "in another form"),
        (
            lambda lines: ["user,file,line,code,detail,remedy", lines[1].rsplit(',"', 1)[0]],
            "a column too many, or none: 'remedy_operator'",
        ),
        (lambda lines: [lines[0], "x,,,no-such-code,a,b,c"], "no-such-code"),
        (lambda lines: ["nothing"], "not listed: "),
    ],
)
def test_a_forged_list_of_quarantined_users_is_found(verify, result, change, words):
    forge_quarantine(result, change)
    found = [line for line in verify().differences if line.startswith("quarantine.csv: ")]
    assert any(words in line for line in found)


def test_the_words_of_a_fault_are_named_as_not_checked_where_they_differ(verify, result):
    forge_quarantine(result, lambda lines: [line.replace(" is empty", " lies") for line in lines])
    verdict = verify()
    assert verdict.differences == []
    assert "not checked: 'detail' in quarantine.csv, whose words differ" in verdict.notes


@pytest.mark.parametrize("kind", ["empty", "no Parquet", "no CSV", "a link", "a wide file"])
def test_a_fault_does_not_tell_where_the_round_lay(made, tmp_path, kind):
    here = shutil.copytree(made / "round", tmp_path / "here")
    name = sorted((here / "submissions").iterdir())[5]
    if kind == "a link":
        name.unlink()
        name.symlink_to(made / "round")
    elif kind == "no Parquet":
        name.unlink()
        name.with_suffix(".parquet").write_bytes(b"PAR1")
    elif kind == "no CSV":
        name.unlink()
        name.with_suffix(".csv").write_bytes(b'id,prediction\n"a,1\n')
    else:
        name.write_bytes(b"")
    result = score_into(here, tmp_path / "out")
    assert str(tmp_path) not in (result / "quarantine.csv").read_text()
    there = here.rename(tmp_path / "there")
    verdict = verify_result(result, there, "numpy")
    assert verdict.differences == []
    assert len(verdict.notes) == 1


# the page


def test_a_forged_page_is_found(verify, page):
    page.write_bytes(page.read_bytes().replace(b"<body", b"<body data-paid='1000'", 1))
    assert verify().differences == ["report.html: not the page of these scores"]


def test_a_page_whose_packed_numbers_were_changed_is_found(verify, page):
    honest = page.read_bytes()
    packed = re.search(rb'"(eJ[A-Za-z0-9+/]+=*)"', honest)[1]
    whole = bytearray(zlib.decompress(base64.b64decode(packed)))
    whole[0] ^= 1
    forged = base64.b64encode(zlib.compress(bytes(whole)))
    page.write_bytes(honest.replace(packed, forged))
    assert verify().differences == ["report.html: not the page of these scores"]
    page.write_bytes(honest.replace(packed, b"eJ" + b"A" * 30))
    assert any(line.startswith("report.html: ") for line in verify().differences)


def test_a_page_that_another_zlib_packed_is_the_same_page(verify, page):
    honest = page.read_bytes()

    def again(found):
        whole = zlib.decompress(base64.b64decode(found[1]))
        packer = zlib.compressobj()
        begun = packer.compress(whole[:9]) + packer.flush(zlib.Z_SYNC_FLUSH)
        data = begun + packer.compress(whole[9:]) + packer.flush()
        return b'"' + base64.b64encode(data) + b'"'

    other = re.sub(rb'"(eJ[A-Za-z0-9+/]+=*)"', again, honest)
    assert other != honest
    page.write_bytes(other)
    assert verify().differences == []


@pytest.mark.parametrize("target", [None, "other"])
@pytest.mark.parametrize("draws", [False, True])
def test_the_page_of_any_target_made_later_verifies(made, tmp_path, target, draws):
    result = score_into(made / "round", tmp_path / "out", save_draws=draws, report=False)
    (result / "report.html").write_bytes(result_page(result, target))
    assert verify_result(result, made / "round", "numpy").differences == []


def test_a_page_of_another_version_is_named_as_not_checked(verify, result):
    versions = json.loads((result / "receipt.json").read_text())["versions"]
    change_receipt(result, versions=versions | {"mmc_gpu": "0.1.0"})
    (result / "report.html").write_text("forged")
    verdict = verify()
    assert verdict.differences == []
    assert "not checked: report.html: written by 0.1.0" in verdict.notes


# the receipt


def first_corr(meta_model):
    return [meta_model[0] | {"corr": meta_model[0]["corr"] / 2}, *meta_model[1:]]


def in_dotted_name(meta_model):
    """A false number, and the true one under a name that looks like its place."""
    false = meta_model[0]["corr_per_draw"]
    entry = meta_model[0] | {"corr_per_draw": [0.5, *false[1:]], "corr_per_draw.0": false[0]}
    return [entry, *meta_model[1:]]


RECEIPT_CHANGES = {
    "users": lambda users: users + 1,
    "stakers": lambda stakers: stakers - 1,
    "stocks": lambda stocks: stocks * 10,
    "quarantined": lambda quarantined: 0,
    "notes": lambda notes: [*notes, "all is well"],
    "notes, a long one": lambda notes: [*notes, "x" * 200],
    "meta_model": first_corr,
    "meta_model, per draw": in_dotted_name,
    "meta_model, further": lambda meta_model: [meta_model[0] | {"sharpe": 9}, *meta_model[1:]],
    "meta_model, order": lambda meta_model: meta_model[::-1],
    "draws_digest": lambda digest: "0" * 64,
    "scores_digest": lambda digest: digest[:-1] + "\x1b",
    "inputs": lambda inputs: [inputs[0] | {"bytes": 1}, *inputs[1:]],
    "inputs, sha256": lambda inputs: [inputs[0] | {"sha256": "0" * 64}, *inputs[1:]],
    "inputs, further": lambda inputs: [*inputs, inputs[0] | {"file": "payouts.csv"}],
    "inputs, less": lambda inputs: inputs[1:],
    "inputs, none": lambda inputs: [],
    "inputs, twice": lambda inputs: [inputs[0] | {"sha256": "0" * 64}, *inputs],
    "inputs, more of it": lambda inputs: [inputs[0] | {"paid": 1}, *inputs[1:]],
    "parameters": lambda parameters: parameters | {"seed": 1},
    "parameters, on_error": lambda parameters: parameters | {"on_error": "fail"},
    "parameters, scale": lambda parameters: parameters | {"scale": 1 / 12},
}


@pytest.mark.parametrize("name", RECEIPT_CHANGES)
def test_every_forged_entry_of_a_receipt_is_found(verify, result, name):
    entry = name.split(",")[0]
    value = json.loads((result / "receipt.json").read_text())[entry]
    change_receipt(result, **{entry: RECEIPT_CHANGES[name](value)})
    verdict = verify()
    assert verdict.differences
    assert "\x1b" not in "".join(verdict.differences)


@pytest.mark.parametrize(
    "changes",
    [
        {"created": "1999-01-01T00:00:00+00:00"},
        {"engine": "abacus"},
        {"versions": {"mmc_gpu": "0.2.0", "abacus": "1"}},
        {"paid\x1b": 1000},
    ],
)
def test_what_nobody_can_compute_is_named_as_not_checked(verify, result, changes):
    change_receipt(result, **changes)
    verdict = verify()
    assert verdict.differences == []
    (name,) = changes
    assert ascii(name) in verdict.notes[0]


def test_a_page_shows_the_entries_that_are_not_checked(verify, result, page):
    change_receipt(result, created="1999-01-01T00:00:00+00:00")
    assert verify().differences == ["report.html: not the page of these scores"]


def test_every_entry_of_a_receipt_is_compared_or_named(verify, result):
    said = json.loads((result / "receipt.json").read_text())
    entries = {name.split(",")[0] for name in RECEIPT_CHANGES}
    assert entries | {"schema", "created", "title", "engine", "versions", "files"} == set(said)


def test_scores_with_another_scale_and_a_digest_of_its_own_are_found(made, tmp_path):
    """All is consistent, but the scores are those of other options than the receipt says."""
    other = tmp_path / "other"
    Run(Method(draws=6, scale=1 / 12), load_engine("numpy"), save_draws=True).score(
        made / "round", other
    )
    parameters = json.loads((made / "parquet/receipt.json").read_text())["parameters"]
    change_receipt(other, parameters=parameters)
    assert verify_result(other, made / "round", "numpy").differences


def test_files_that_come_beside_the_data_change_nothing(verify, made, tmp_path):
    folder = shutil.copytree(made / "round", tmp_path / "beside")
    (folder / ".DS_Store").write_bytes(b"")
    (folder / "README.md").write_text("what this is")
    verdict = verify(folder)
    assert verdict.differences == []
    assert "not checked: 'notes' of the receipt, which differ" in verdict.notes


# the form of the inputs


def packed(round_, tmp_path):
    pack_round(round_, tmp_path / "packed")
    return tmp_path / "packed"


def shared_as_parquet(round_, tmp_path):
    folder = shutil.copytree(round_, tmp_path / "parquet")
    for name in ("targets", "stakes"):
        table = read_csv(folder / f"{name}.csv")
        table.to_parquet(folder / f"{name}.parquet", index=False)
        (folder / f"{name}.csv").unlink()
    return folder


def other_submissions(round_, tmp_path):
    folder = shutil.copytree(round_, tmp_path / "others")
    for place, path in enumerate(sorted((folder / "submissions").iterdir())):
        if path.stat().st_size:
            table = read_csv(path)
            if place % 2:
                table.to_parquet(path.with_suffix(".parquet"), index=False)
            else:
                table.to_csv(path.with_suffix(".csv.gz"), index=False)
            path.unlink()
    return folder


@pytest.mark.parametrize("form", [packed, shared_as_parquet, other_submissions])
def test_another_form_of_the_same_round_is_a_note(verify, made, tmp_path, form):
    verdict = verify(form(made / "round", tmp_path))
    assert verdict.differences == []
    assert any("the scores have the same bits" in note for note in verdict.notes)


def test_one_wide_file_instead_of_submissions_is_a_note(tmp_path):
    sample = make_sample_round(users=8, stocks=100, seed=5)
    write_sample_round(tmp_path / "wide", sample, False)
    write_sample_round(tmp_path / "files", sample, True)
    for was, now in (("wide", "files"), ("files", "wide")):
        result = score_into(tmp_path / was, tmp_path / f"result-{was}")
        verdict = verify_result(result, tmp_path / now, "numpy")
        assert verdict.differences == []
        assert any("in another form" in note for note in verdict.notes)
    pack_round(tmp_path / "wide", tmp_path / "packed")
    result = score_into(tmp_path / "packed", tmp_path / "result-packed")
    assert verify_result(result, tmp_path / "files", "numpy").differences == []


@pytest.mark.parametrize("form", [packed, shared_as_parquet])
def test_another_form_with_other_scores_is_a_difference(verify, made, tmp_path, form):
    changed = shutil.copytree(made / "round", tmp_path / "changed")
    stakes = read_csv(changed / "stakes.csv")
    stakes["stake"] *= np.linspace(1, 2, len(stakes))
    stakes.to_csv(changed / "stakes.csv", index=False)
    differences = verify(form(changed, tmp_path)).differences
    assert any(line.startswith("inputs in another form") for line in differences)
    assert any("not the scores of this round" in line for line in differences)


def test_an_input_in_another_form_does_not_excuse_a_changed_one(verify, made, tmp_path):
    folder = shared_as_parquet(made / "round", tmp_path)
    shutil.copy(sorted((folder / "submissions").iterdir())[0], folder / "submissions/new.csv")
    shutil.copy(folder / "submissions/new.csv", folder / "submissions/newer.csv")
    assert any("submissions/new" in line for line in verify(folder).differences)


# receipts that do not fit

BROKEN = [
    "[" * 100_000,
    '{"schema":' * 100_000,
    '{"schema": "mmc_gpu receipt 1", "schema": "mmc_gpu receipt 1"}',
    "",
    "\x00",
    "1" * 5000,
]
ODD = [
    None,
    True,
    -1,
    10**12,
    10**400,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "x\x1b\ud800",
    [],
    [None],
    [[[[[]]]]],
    {},
    {"a": {"b": {}}},
]


def places(value, at=()):
    """Yield the place of every value in a receipt; of long lists the first entry."""
    yield at
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*at, key))
    elif isinstance(value, list) and value:
        yield from places(value[0], (*at, 0))


def refusal_of(read, folder):
    """Return the code with which a result is refused; None if it is read."""
    try:
        read(folder)
    except RoundError as error:
        return error.code
    return None


def replaced(value, at, new):
    if not at:
        return new
    copy = value.copy()
    copy[at[0]] = replaced(value[at[0]], at[1:], new)
    return copy


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_receipt_is_invalid(made, result, verify, text):
    (result / "receipt.json").write_text(text)
    for read in (verify, lambda: result_page(result)):
        with pytest.raises(RoundError) as caught:
            read()
        assert caught.value.code == "receipt-invalid"


@pytest.mark.parametrize("draws", [10**12, 10**6, 10**400, 6.0, "6", None, True, 0, -1, [6]])
def test_draws_that_do_not_fit_are_invalid(made, result, verify, draws):
    said = json.loads((result / "receipt.json").read_text())
    change_receipt(result, parameters=said["parameters"] | {"draws": draws})
    for read in (verify, lambda: result_page(result)):
        with pytest.raises(RoundError) as caught:
            read()
        assert caught.value.code == "receipt-invalid"


def test_any_value_in_any_place_is_invalid_or_found(made, result, monkeypatch):
    """Nothing that stands in a receipt is ever a traceback, neither in verify nor in report."""
    monkeypatch.setattr(verifying, "read_round", cache(read_round))  # it stays as it is
    said = json.loads((result / "receipt.json").read_text())
    honest = json.dumps(said)
    free = {"created", "title", "engine", "versions"}  # text that nobody can compute
    tried = 0
    for at in places(said):
        for new in ODD:
            forged = json.dumps(replaced(said, at, new))
            if forged == honest:
                continue
            (result / "receipt.json").write_text(forged)
            if refusal_of(read_round_receipt, result) == "receipt-invalid":
                continue
            tried += 1
            assert refusal_of(result_page, result) in (None, "receipt-invalid", "file-missing")
            verdict = verify_result(result, made / "round", "numpy")
            assert verdict.differences or at[0] in free, (at, new)
    assert tried > 20


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("column", ["stake", "mmc", "mmc_se", "corr", "filled", "user", "target"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, 1e308, "x"])
def test_a_page_of_forged_scores_is_refused_or_made(result, column, value):
    """`report` believes a table whose hash fits, but never breaks on it."""
    table = pd.read_parquet(result / "scores.parquet").astype({column: object})
    table.loc[0, column] = value
    if isinstance(value, str) or column in ("user", "target"):
        table[column] = table[column].astype(str)
    else:
        table[column] = table[column].astype(float)
    table.to_parquet(result / "scores.parquet", index=False)
    forge(result, "scores.parquet", (result / "scores.parquet").read_bytes())
    assert refusal_of(result_page, result) in (None, "receipt-invalid")
