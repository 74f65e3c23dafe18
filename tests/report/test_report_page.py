"""The report as a file: small, whole, the same numbers as the result, and under a strict policy."""

import base64
import dataclasses
import hashlib
import json
import re
import zlib

import numpy as np
import pytest
from pages import made_up_scores

import mmc_gpu.report.rounds as round_report
from mmc_gpu.errors import RoundError
from mmc_gpu.files.results.rounds import make_receipt, read_result, write_results
from mmc_gpu.report.page import decimals as pack_decimals
from mmc_gpu.report.page import integers as pack_integers
from mmc_gpu.report.page import texts as pack_texts

DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)

OPTIONS = {"missing": "fill", "on_error": "quarantine"}


@pytest.fixture(scope="module")
def text(scores, tmp_path_factory):
    return scores.report(tmp_path_factory.mktemp("report") / "report.html").read_text()


def unpacked(text):
    return zlib.decompress(base64.b64decode(text))


def test_five_thousand_users_fit_into_a_megabyte_and_a_half(tmp_path):
    page = made_up_scores(5_000).report(tmp_path / "report.html")
    assert page.stat().st_size < 1_500_000


def test_the_policy_allows_this_script_and_this_style_and_nothing_else(text):
    (policy,) = re.findall(r'Content-Security-Policy" content="(.*?)"', text)
    allowed = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert allowed["default-src"] == "'none'"
    for tag in ("script", "style"):
        (inside,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert allowed[f"{tag}-src"] == f"'sha256-{digest}'"


def test_the_page_names_no_other_place(text):
    outside = re.findall(r"""(?:src|href)=|url\(|@import|https?://[^"'\s]+""", DATA.sub("", text))
    assert outside == ["http://www.w3.org/2000/svg"]  # a name, not an address


def test_nothing_in_the_data_can_end_the_script(text):
    (data,) = DATA.findall(text)
    assert not set("<>&") & set(data)
    assert json.loads(data)["summary"]["targets"][-1] == "<b>bold</b>"


def test_users_are_the_leaderboard_best_first(text, scores):
    data = json.loads(DATA.search(text)[1])
    users = json.loads(unpacked(data["users"]))
    assert users == [scores.users[user] for user in scores.order()]


def test_integers_are_packed_zigzag_in_planes_of_bytes():
    planes = unpacked(pack_integers([0, -1, 1, -2, 300]))
    assert planes == bytes([0, 1, 2, 3, 600 & 255]) + bytes([0, 0, 0, 0, 600 >> 8]) + bytes(10)


def test_decimals_are_rounded_and_what_is_not_finite_is_unknown():
    packed = pack_decimals([0.123456, -0.1, np.nan, np.inf, -np.inf], 3)
    assert packed == {"integers": pack_integers([123, -100, *[-(2**31)] * 3]), "decimals": 3}


def test_texts_survive_packing():
    texts = ["<b>", "مرحبا", '"\\', ""]
    assert json.loads(unpacked(pack_texts(texts))) == texts


@pytest.mark.parametrize("size", [1e-300, 1e-7, 1e6, 1e300])
def test_scores_of_any_size_are_shown_with_five_digits(size, tmp_path):
    scores = made_up_scores(50)
    names = ("mmc", "mmc_se", "per_draw")
    scaled = {name: getattr(scores, name) * size for name in names}
    text = dataclasses.replace(scores, **scaled).report(tmp_path / "report.html").read_text()
    packed = json.loads(DATA.search(text)[1])["views"][0]["columns"]["mmc"]
    largest = np.abs(scaled["per_draw"]).max() * 10.0 ** packed["decimals"]
    assert 1e4 <= largest < 1e5


@pytest.mark.parametrize("value", [np.inf, -np.inf])
@pytest.mark.parametrize("all_draws", [True, False])
def test_infinite_scores_are_shown_as_unknown(value, all_draws, tmp_path):
    scores = made_up_scores(50)
    draws, mmc, error = scores.per_draw.copy(), scores.mmc.copy(), scores.mmc_se.copy()
    draws[0, 7, : None if all_draws else 1] = mmc[0, 7] = value
    error[0, 7] = np.nan
    infinite = dataclasses.replace(scores, per_draw=draws, mmc=mmc, mmc_se=error)
    text = infinite.report(tmp_path / "report.html").read_text()
    packed = json.loads(DATA.search(text)[1])["views"][0]["columns"]["mmc"]
    shown = np.where(np.arange(50) == 7, np.nan, scores.mmc[0])[infinite.order()]
    assert packed == pack_decimals(shown, 5)


def test_a_lone_staker_and_one_draw_have_a_page(tmp_path):
    scores = made_up_scores(2, draws=1)
    alone = dataclasses.replace(scores, meta_model_corr=np.full((1, 1), np.nan))
    text = alone.report(tmp_path / "report.html").read_text()
    assert "low" not in json.loads(DATA.search(text)[1])["views"][0]["columns"]


@pytest.mark.parametrize(("most", "targets"), [(1, 1), (2 * 150, 2), (9 * 150, 3)])
def test_targets_share_a_page_as_long_as_there_is_room(scores, monkeypatch, most, targets):
    monkeypatch.setattr(round_report, "_MOST_TARGET_ROWS", most)
    page = round_report.round_page(scores, make_receipt(scores), 1)
    views = json.loads(DATA.search(page.decode())[1])["views"]
    wanted = [scores.targets[number] for number in (1, 0, 2)[:targets]]
    assert [view["target"] for view in views] == wanted
    assert round_report.page_shows(page, wanted[0])
    assert not any(round_report.page_shows(page, name) for name in wanted[1:])


def test_an_unknown_target_is_an_error(scores, tmp_path):
    with pytest.raises(ValueError, match="no target 'nothing'"):
        scores.report(tmp_path / "report.html", target="nothing")
    assert not (tmp_path / "report.html").exists()


class TestResultFolder:
    """A report can be made of a folder as well as of scores in memory."""

    @pytest.mark.parametrize("format_", ["parquet", "csv", "json"])
    def test_a_result_is_read_back_to_the_bit(self, scores, tmp_path, format_):
        write_results(tmp_path / "out", scores, [], OPTIONS, format_, draws=True)
        found, receipt = read_result(tmp_path / "out")
        assert found.digest == scores.digest == receipt["scores_digest"]
        for field in ("users", "targets", "quarantined", "notes", "method", "stocks"):
            assert getattr(found, field) == getattr(scores, field)
        for field in ("counts", "filled", "meta_model_corr", "full_meta_model_corr"):
            np.testing.assert_array_equal(getattr(found, field), getattr(scores, field))

    def test_without_draws_the_scores_are_there_all_the_same(self, scores, tmp_path):
        write_results(tmp_path / "out", scores, [], OPTIONS)
        found, _ = read_result(tmp_path / "out")
        assert found.per_draw is None
        np.testing.assert_array_equal(found.mmc, scores.mmc)

    @pytest.mark.parametrize("name", ["scores.parquet", "quarantine.csv", "draws.parquet"])
    def test_a_file_that_is_not_the_receipts_is_refused(self, scores, tmp_path, name):
        write_results(tmp_path / "out", scores, [], OPTIONS, draws=True)
        with (tmp_path / "out" / name).open("ab") as file:
            file.write(b" ")
        with pytest.raises(RoundError, match=name) as caught:
            read_result(tmp_path / "out")
        assert caught.value.code == "receipt-invalid"

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("parameters", {"draws": 10**12}),
            ("parameters", {}),
            ("meta_model", []),
            ("draws_digest", "0"),
            ("files", {}),
            ("stocks", "many"),
            ("versions", None),
            ("inputs", [{"file": "targets.csv"}]),
        ],
    )
    def test_a_receipt_that_does_not_fit_is_refused(self, scores, tmp_path, key, value):
        write_results(tmp_path / "out", scores, [], OPTIONS)
        path = tmp_path / "out/receipt.json"
        receipt = json.loads(path.read_text())
        if key == "parameters" and value:
            value = receipt[key] | value
        path.write_text(json.dumps(receipt | {key: value}))
        with pytest.raises(RoundError) as caught:
            read_result(tmp_path / "out")
        assert caught.value.code == "receipt-invalid"
