"""Options: equal ones have one text, later ones change no older text, and receipts keep theirs."""

import inspect
import json
import tarfile
from dataclasses import fields, make_dataclass, replace
from itertools import takewhile
from pathlib import Path

import numpy as np
import pytest
import typer
from made_rounds import make_round

from mmc_gpu.api import score_round
from mmc_gpu.cli.score import score as score_command
from mmc_gpu.engines import load_engine
from mmc_gpu.files.results.changes import differences_of_files
from mmc_gpu.files.results.rounds import make_receipt
from mmc_gpu.files.results.verify import verify_result
from mmc_gpu.rounds import method as module
from mmc_gpu.rounds.method import Method, read_method
from mmc_gpu.rounds.round import take_round
from mmc_gpu.rounds.scoring import score

FIRST = (
    '{"blend":"raw","draws":20,"sample":0.67,"scale":0.0841,"seed":0,"ties":"first"}'  # of 0.1.0
)
ODD = {"draws": 5, "sample": 1, "seed": False, "ties": "first", "blend": "raw", "scale": 1}
WRITTEN = Path(__file__).parents[1] / "files/written_by/0.1.0.tar.xz"


def test_the_text_of_the_defaults_is_that_of_version_0_1():
    assert Method().canonical() == FIRST


@pytest.mark.parametrize(
    ("odd", "plain"),
    [
        ({"sample": 1}, {"sample": 1.0}),
        ({"sample": True}, {"sample": 1.0}),
        ({"sample": np.float64(0.5)}, {"sample": 0.5}),
        ({"scale": 1}, {"scale": 1.0}),
        ({"scale": np.int32(2)}, {"scale": 2.0}),
        ({"seed": False}, {"seed": 0}),
        ({"seed": np.uint64(2**64 - 1)}, {"seed": 2**64 - 1}),
        ({"draws": np.int64(20)}, {"draws": 20}),
    ],
    ids=str,
)
def test_equal_options_have_one_text(odd, plain):
    found, expected = Method(**odd), Method(**plain)
    assert found == expected
    assert found.canonical() == expected.canonical()
    (name,) = odd
    assert type(getattr(found, name)) is type(getattr(expected, name))


@pytest.mark.parametrize(
    "options",
    [
        *({"draws": wrong} for wrong in (0, True, False, np.bool_(True), 2.0, "2", None)),
        *({"sample": wrong} for wrong in ("0.5", None, 0, 1j, float("nan"))),
        *({"seed": wrong} for wrong in (-1, 1.0, "1", np.bool_(False), np.float64(1))),
        *({"scale": wrong} for wrong in ("1", 10**400, -1, None, float("nan"))),
    ],
    ids=str,
)
def test_what_is_no_such_number_is_refused_by_name(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Method(**options)


@pytest.fixture
def later():
    """`Method` as a later version might have it, with one option more."""
    return make_dataclass("Method", [("clip", float, 0.0)], bases=(Method,), frozen=True)


def scored(method):
    made = make_round(8, 30, seed=1)
    round_ = take_round(*made.frames())
    return score(round_, method, load_engine("numpy"))


def test_a_later_option_at_its_default_changes_no_digest_and_no_receipt(later):
    before, after = scored(Method(draws=3)), scored(later(draws=3))
    assert after.digest == before.digest
    texts = [json.dumps(make_receipt(each)["parameters"]) for each in (before, after)]
    assert texts[0] == texts[1]


def test_a_later_option_that_is_set_changes_the_digest_and_the_receipt(later):
    before, after = scored(Method(draws=3)), scored(later(draws=3, clip=0.5))
    assert after.digest != before.digest
    assert make_receipt(after)["parameters"] == make_receipt(before)["parameters"] | {"clip": 0.5}


def test_every_version_reads_receipts_without_later_options(later, monkeypatch):
    monkeypatch.setattr(module, "Method", later)
    assert read_method(Method().parameters()) == later()
    assert read_method(later(clip=0.5).parameters()) == later(clip=0.5)


def test_a_receipts_own_text_is_kept_and_the_options_are_equal():
    found = read_method(ODD | {"missing": "error", "on_error": "quarantine"})
    assert found == Method(5, 1.0, 0, "first", "raw", 1.0)
    assert hash(found) == hash(Method(5, 1.0, 0, "first", "raw", 1.0))
    assert found.canonical() == json.dumps(ODD, sort_keys=True, separators=(",", ":"))
    assert json.dumps(found.parameters()) == json.dumps(ODD)
    assert replace(found, draws=6).canonical() == Method(6, 1.0, 0, scale=1.0).canonical()


def test_a_receipt_of_now_is_read_as_it_was_written():
    method = Method(7, 0.5, 3, "average", "ranked", 1 / 12)
    assert read_method(json.loads(json.dumps(method.parameters()))) == method


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"colour": 1}, "'colour'"),
        ({"draws": None}, "draws"),
        ({"draws": 1_000_001}, "draws must be .* not 1000001"),
        ({"sample": "1"}, "sample"),
        ({"scale": 10**400}, "scale"),
        ({"ties": []}, "ties"),
    ],
    ids=str,
)
def test_a_receipt_with_other_options_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        read_method(ODD | change)


@pytest.mark.parametrize("name", ODD)
def test_a_receipt_that_lacks_an_option_is_refused(name):
    with pytest.raises(ValueError, match=f"missing.*'{name}'"):
        read_method({key: ODD[key] for key in ODD if key != name})


def test_a_result_with_odd_options_of_version_0_1_0_is_verified(tmp_path):
    with tarfile.open(WRITTEN) as archive:
        archive.extractall(tmp_path, filter="data")
    verdict = verify_result(tmp_path / "result-odd", tmp_path / "round", "numpy")
    assert verdict.differences == []
    receipt = json.loads((tmp_path / "result-odd/receipt.json").read_text())
    options = {name: receipt["parameters"][name] for name in ("missing", "on_error")}
    method = Method(draws=5, sample=1.0, seed=0, scale=1.0)
    finished = differences_of_files(tmp_path / "result-odd", receipt["inputs"], method, options)
    assert finished == []


@pytest.mark.parametrize("option", fields(Method), ids=lambda option: option.name)
def test_each_option_is_one_of_score_round_and_of_the_command(option):
    given = inspect.signature(score_round).parameters[option.name]
    assert given.default == option.default
    assert given.annotation == option.type
    asked = inspect.signature(score_command).parameters[option.name]
    assert asked.default == option.default
    (shown,) = (one for one in asked.annotation.__metadata__ if hasattr(one, "help"))
    assert isinstance(shown, typer.models.OptionInfo)
    assert shown.help
    assert sentence(Method, option.name) == sentence(score_round, option.name)


def sentence(documented, name):
    """Return what a docstring says of a name, on one line."""
    lines = inspect.getdoc(documented).splitlines()
    (at,) = (at for at, line in enumerate(lines) if line.startswith(f"    {name}: "))
    rest = takewhile(lambda line: line.startswith("        "), lines[at + 1 :])
    return " ".join(line.strip() for line in [lines[at], *rest])
