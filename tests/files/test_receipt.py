"""A receipt is read in one place: whoever reads it refuses the same, with the same words."""

import json

import pytest

from mmc_gpu.cli.runs import Run
from mmc_gpu.engines import load_engine
from mmc_gpu.errors import RoundError
from mmc_gpu.files.results.changes import differences_of_files
from mmc_gpu.files.results.page import result_page
from mmc_gpu.files.results.rounds import read_result
from mmc_gpu.files.results.verify import verify_result
from mmc_gpu.rounds.method import Method
from mmc_gpu.rounds.sample import make_sample_round, write_sample_round

METHOD = Method(draws=3)
OPTIONS = {"missing": "error", "on_error": "quarantine"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("receipt")
    write_sample_round(path / "round", make_sample_round(users=6, stocks=120, seed=2), False)
    Run(METHOD, load_engine("numpy")).score(path / "round", path / "out")
    return path


READERS = {
    "verify": lambda folder: verify_result(folder / "out", folder / "round", "numpy"),
    "report": lambda folder: result_page(folder / "out"),
    "reading back": lambda folder: read_result(folder / "out"),
}


def refused_by_all(folder, text):
    """Replace the receipt, for a moment; return the words with which everybody refuses it."""
    path = folder / "out/receipt.json"
    whole = path.read_text()
    path.write_text(text)
    said = set(differences_of_files(folder / "out", [], METHOD, OPTIONS))
    try:
        for read in READERS.values():
            with pytest.raises(RoundError) as caught:
                read(folder)
            assert caught.value.code == "receipt-invalid"
            said.add(str(caught.value))
    finally:
        path.write_text(whole)
    (words,) = said
    return words


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"created": None}, "'created' is not text"),
        ({"engine": 7}, "'engine' is not text"),
        ({"versions": []}, "'versions' is not an object"),
        ({"inputs": {}}, "'inputs' is not a list"),
        ({"inputs": [{"file": "a", "bytes": "1", "sha256": "0"}]}, "'bytes' is not a whole number"),
        ({"inputs": [{"file": "a", "bytes": 1}]}, "no 'sha256'"),
        ({"files": {"scores.parquet": None}}, "'scores.parquet' is not text"),
        ({"stocks": "many"}, "'stocks' is not a whole number"),
        ({"notes": None}, "'notes' is not a list"),
        ({"meta_model": []}, "'meta_model' has others"),
        ({"scores_digest": 0}, "'scores_digest' is not text"),
        ({"schema": "mmc_gpu receipt 9"}, "its schema, 'mmc_gpu receipt 9', is not"),
    ],
)
def test_what_does_not_fit_is_refused_by_all_with_the_same_words(folder, change, words):
    receipt = json.loads((folder / "out/receipt.json").read_text())
    said = refused_by_all(folder, json.dumps(receipt | change))
    assert words in said
    assert "receipt.json" in said


@pytest.mark.parametrize("name", ["created", "draws_digest", "parameters", "meta_model", "files"])
def test_what_is_missing_is_named_by_all(folder, name):
    receipt = json.loads((folder / "out/receipt.json").read_text())
    del receipt[name]
    assert f"no '{name}'" in refused_by_all(folder, json.dumps(receipt))


@pytest.mark.parametrize(
    "change",
    [{"draws": 0}, {"draws": 10**12}, {"ties": "last"}, {"missing": "guess"}, {"power": 2}],
)
def test_options_that_do_not_fit_are_refused_by_all(folder, change):
    receipt = json.loads((folder / "out/receipt.json").read_text())
    refused_by_all(folder, json.dumps(receipt | {"parameters": receipt["parameters"] | change}))


@pytest.mark.parametrize("text", ["", "[1]", "{", "[" * 100_000])
def test_what_is_no_receipt_is_refused_by_all(folder, text):
    refused_by_all(folder, text)
