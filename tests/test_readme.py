"""What the READMEs show is what happens: each command and snippet is run once, in order."""

import contextlib
import hashlib
import io
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from systems import posix

from mmc_gpu.errors import CODES
from mmc_gpu.rounds.sample import make_sample_round, write_sample_round

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
PAGES = {
    str(path.relative_to(ROOT).as_posix()): path.read_text("utf-8")
    for path in (
        ROOT / "README.md",
        *sorted((ROOT / "mmc_gpu").rglob("README.md")),
        *(ROOT / name / "README.md" for name in ("kernels", "benchmarks")),
        *sorted((ROOT / ".github").glob("*.md")),
    )
    if path.exists()
}
"""The front page, what stands beside the code that it describes, and the pages for contributors."""

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```\n(?:\n```text\n(.*?)^```)?", re.MULTILINE | re.DOTALL)

ELSEWHERE = {
    "pytest": "tests of their own; .ci/run has README's test command word for word",
    "pip install": "needs a network",
    "export RAY": "with those below: needs several nodes, which tests/cluster starts",
    "ray ": "",
    "mmc-gpu score PACKED --cluster HEAD": "",
    "PYTHONPATH=. python3 -m benchmarks.gpu": "needs a GPU; tests run it on a fake driver",
    "PYTHONPATH=. python3 -m benchmarks.publish.gpu_report": "writes the README anew",
    "python -m benchmarks": "takes minutes; tests/benchmarks runs it at tiny sizes",
}
"""Beginnings of commands that are not run here, and why."""

SAMPLE = "5d3a5dee9387e8192adf9af97dbeb312be31820391e0d1ca267cd6a2ca290e9d"
"""Of the demo's round when the README was written; NumPy may change its distributions one day."""


def code_table():
    """Return the README's table of codes, as `CODES` says it."""
    rows = [f"| `{name}` | {code.meaning} | {code.remedy} |" for name, code in CODES.items()]
    return "\n".join(["| code | what it means | remedy |", "|---|---|---|", *rows])


def test_every_code_is_in_the_table():
    assert code_table() in PAGES["mmc_gpu/inputs/README.md"]


def commands(block):
    """Return a block's commands as they are run here: (command, exit codes that will do)."""
    for line in filter(None, block.splitlines()):
        command, _, comment = line.rpartition("&& ")[2].replace(".venv/bin/", "").partition(" # ")
        if any(command.startswith(beginning) for beginning in ELSEWHERE):
            continue
        if command.startswith("ssh-keygen") and shutil.which("ssh-keygen") is None:
            continue
        code = re.search(r"exit code (\d)( where)?", comment)
        codes = {int(code[1])} if code else {0}
        yield command.strip(), codes | ({0} if code and code[2] else set())


def in_a_process(command):
    """Return whether a command needs one; Ray ends with its own, and readers begin with the demo's.

    Others take longer there, and print the same.
    """
    name, _, rest = command.partition(" ")
    return name != "mmc-gpu" or rest == "demo" or "--cluster" in rest or set(rest) & set("$?<>|&;`")


def words(command):
    """Return a command's words as a shell gives them."""
    found = []
    for word in shlex.split(command, posix=False):
        places = sorted(map(str, Path().glob(word))) if "*" in word and word[0] not in "'\"" else []
        found += places or shlex.split(word)
    return found


def lines(text):
    """Return lines with single spaces; the engine differs with the machine, and no score does."""
    return [re.sub(r"engine \w+", "engine", " ".join(line.split())) for line in text.splitlines()]


@cache
def sha256_of_the_sample():
    sample = make_sample_round()
    return hashlib.sha256(sample.predictions.tobytes() + str(sample.stakes).encode()).hexdigest()


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder with the rounds that the README names, and the command of this checkout."""
    command = tmp_path / "bin/mmc-gpu"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mmc_gpu "$@"\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{command.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("MPLBACKEND", "Agg")
    for name in ("ROUND", "ROUNDS/one", "ROUNDS/two"):
        write_sample_round(tmp_path / name, make_sample_round(20, 200))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@posix  # the commands are those of a shell that Windows lacks
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("page", [name for name in PAGES if not name.startswith(".github")])
def test_every_command_and_snippet_runs_and_prints_what_stands_below_it(workplace, page, run):
    pytest.importorskip("matplotlib", reason="the READMEs' commands draw plots")
    pytest.importorskip("duckdb", reason="the READMEs' queries need it: pip install '.[test]'")
    sha256, names = sha256_of_the_sample(), {}
    for kind, body, shown in BLOCK.findall(PAGES[page]):
        if kind == "python":
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(body, page, "exec"), names)
            assert printed.getvalue().split() == shown.split(), body
            continue
        assert kind == "sh", body
        printed = []
        for command, codes in commands(body):
            if in_a_process(command):
                ran = subprocess.run(command, shell=True, capture_output=True, text=True)
                code, out, err = ran.returncode, ran.stdout, ran.stderr
            else:
                code, out, err = run(*words(command)[1:])
            assert code in codes, f"{command}\n{out}\n{err}"
            printed += lines(out) + lines(err)
        if sha256 == SAMPLE:
            assert [line for line in lines(shown) if line not in printed] == [], body
    if sha256 != SAMPLE:
        pytest.skip(f"NumPy {np.__version__} draws another sample round than the READMEs'")


def test_nothing_is_shown_twice():
    shown = [body for text in PAGES.values() for _, body, _ in BLOCK.findall(text)]
    assert len(shown) > 25
    assert len(set(shown)) == len(shown)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"\s*\n\s*", " ", PAGES[page])):
        path, _, anchor = link.partition("#")
        if path.startswith("https:"):
            continue
        target = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text("utf-8"), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings]


def test_every_page_is_linked_from_the_first():
    for page in PAGES:
        assert page == "README.md" or f"]({page})" in README


def test_the_first_page_is_short():
    assert README.count("\n") < 250
    assert README.index("pytest -n auto") < README.index("![") < README.index("\n## ")


def test_pictures_are_there_and_small():
    for page, text in PAGES.items():
        for picture in re.findall(r"!\[.+?\]\((.+?)\)", text):
            assert 0 < ((ROOT / page).parent / picture).stat().st_size < 150_000


def test_extras_that_the_readmes_install_exist():
    extras = re.findall(r"pip install 'mmc-gpu\[(\w+)\]'", "".join(PAGES.values()))
    assert {"cuda13x", "ray"} <= set(extras)
    for extra in extras:
        assert f"\n{extra} = [" in (ROOT / "pyproject.toml").read_text()


def test_each_dependency_and_extra_has_its_line_in_the_bill():
    rows = {}
    for line in PAGES[".github/DEPENDENCIES.md"].splitlines():
        if line.startswith("| `"):
            first, *cells = line.strip("| ").split(" | ")
            rows[first.strip("`")] = re.findall(r"`([\w-]+)`", cells[0])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = {
        extra: [name_of(needed) for needed in needs if not needed.startswith("mmc-gpu[")]
        for extra, needs in project["optional-dependencies"].items()
    }
    assert set(rows) == {*map(name_of, project["dependencies"]), *extras}
    assert {extra: sorted(rows[extra]) for extra in extras} == {
        extra: sorted(names) for extra, names in extras.items()
    }


def name_of(requirement):
    """Return the package of a requirement such as "numba>=0.62"."""
    return re.match(r"[\w-]+", requirement)[0]


def test_the_test_command_is_what_ci_runs():
    (command,) = re.findall(r"^python3 -m venv .*pytest.*$", README, re.MULTILINE)
    for part in command.split("&&"):
        assert part.strip() in (ROOT / ".ci/run").read_text()


if __name__ == "__main__":
    print(code_table())
