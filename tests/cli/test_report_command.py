"""`mmc-gpu report`, and `score --report`: a result becomes a page."""

import shutil

import pytest


@pytest.fixture
def result(run, folder, tmp_path):
    run("score", folder, "-o", tmp_path / "out", "--save-draws")
    return tmp_path / "out"


def test_a_result_becomes_a_page_in_its_folder(run, result):
    code, out, err = run("report", result)
    assert (code, out) == (0, "")
    assert "report.html in a browser" in err
    assert (result / "report.html").read_text().startswith("<!DOCTYPE html>")


def test_the_page_can_go_elsewhere_and_be_of_another_target(run, result, tmp_path):
    page = tmp_path / "page.html"
    assert run("report", result, "-o", page, "--target", "target_ada")[0] == 0
    assert '{"summary":{"target":"target_ada","targets":["target",' in page.read_text()
    assert not (result / "report.html").exists()


def test_it_is_the_page_that_score_writes(run, folder, result):
    run("report", result)
    read = (result / "report.html").read_text()
    run("score", folder, "-o", result, "--report")
    at_once = (result / "report.html").read_text()
    for page in (read, at_once):
        assert '"strips":{' in page
    assert cut(read) == cut(at_once)


def test_a_new_result_removes_the_old_page_and_still_verifies(run, folder, result):
    run("report", result)
    assert run("verify", result, folder)[0] == 0
    run("score", folder, "-o", result)
    assert not (result / "report.html").exists()


def test_a_packed_rounds_page_has_the_draws_too(run, folder, tmp_path):
    assert run("pack", folder, "-o", tmp_path / "packed")[0] == 0
    run("score", tmp_path / "packed", "-o", tmp_path / "one", "--report", "--name", "round")
    run("score", folder, "-o", tmp_path / "other", "--report")
    pages = [(tmp_path / name / "report.html").read_text() for name in ("one", "other")]
    assert '"strips":{' in pages[0]
    assert cut(pages[0]).split('"quality":')[0] == cut(pages[1]).split('"quality":')[0]


def test_each_of_several_rounds_gets_a_page(run, folder, tmp_path):
    shutil.copytree(folder, tmp_path / "second")
    rounds, out = [folder, tmp_path / "second"], tmp_path / "many"
    assert run("score", *rounds, "-o", out)[0] == 0
    for _ in range(2):
        assert run("score", *rounds, "-o", out, "--report")[0] == 0
        assert len(list(out.glob("*/report.html"))) == 2


@pytest.mark.parametrize("option", ["--report", "--save-draws"])
def test_a_page_and_the_draws_need_a_folder(run, folder, option):
    for output in ([], ["-o", "-"]):
        code, out, err = run("score", folder, option, *output)
        assert (code, out) == (2, "")
        assert "-o" in err


def test_what_is_no_result_is_an_error(run, folder, tmp_path):
    assert run("report", folder)[0] == 1
    code, _, err = run("report", tmp_path / "nothing")
    assert code == 1
    assert "[receipt-invalid]" in err


def test_an_unknown_target_is_a_usage_error(run, result):
    assert run("report", result, "--target", "nothing")[0] == 2


def cut(page):
    """Return a page without when it was scored, and without the files' names."""
    return page.split('"receipt":')[0]
