"""What a script gets: with --json one object a line, exit codes, and silence with --quiet."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import mmc_gpu
from mmc_gpu.cli.app import app
from mmc_gpu.cli.options import EXIT_CODES
from mmc_gpu.cli.runs import Run
from mmc_gpu.cluster.shards import Shard
from mmc_gpu.engines import load_engine
from mmc_gpu.errors import CODES
from mmc_gpu.files.rounds.packing import pack_round
from mmc_gpu.rounds.method import Method
from mmc_gpu.rounds.sample import write_sample_round

README = (Path(__file__).parents[2] / "mmc_gpu/cli/README.md").read_text("utf-8")
COMMANDS = sorted(command.callback.__name__ for command in app.registered_commands)


@pytest.fixture
def lines(run):
    """Run a command with --json; returns exit code, events and the result."""

    def lines_(*arguments):
        code, out, err = run(*arguments, "--json")
        *events, result = map(json.loads, out.splitlines())
        assert err == "" or code == 2
        assert result["event"] == "result"
        assert result["exit_code"] == code
        return code, events, result

    return lines_


@pytest.fixture(scope="module")
def prepared(sample, tmp_path_factory):
    """What the commands are called with: a round, results, a packed round and its first shard."""
    made = tmp_path_factory.mktemp("prepared")
    write_sample_round(made / "round", sample)
    run = Run(Method(), load_engine("numpy"))
    for result in ("out", "results/one"):
        run.score(made / "round", made / result)
    paid = [{"score": "bootstrap_mmc", "multiplier": 1, "target": "target"}]
    (made / "rule.json").write_text(json.dumps({"name": "a", "factor": 1, "scores": paid}))
    pack_round(made / "round", made / "packed")
    run.score_shard(made / "packed", Shard(1, 1), made / "work")
    rng = np.random.default_rng(0)
    rows = [f"{era},{x},{y}" for era in (1, 2) for x, y in rng.random((30, 2))]
    (made / "eras.csv").write_text("\n".join(["era,target,model", *rows]) + "\n")
    return made


@pytest.fixture
def arguments(prepared, tmp_path):
    """Arguments for each command, which end well."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    folder = tmp_path / "round"
    return {
        "check": [folder],
        "demo": [tmp_path / "demo", "--users", 12, "--stocks", 120, "--engine", "numpy"],
        "doctor": [],
        "evaluate": [tmp_path / "eras.csv", "--engine", "numpy"],
        "explain": ["file-empty"],
        "history": [tmp_path / "results", "-o", tmp_path / "history"],
        "merge": [tmp_path / "packed", tmp_path / "work"],
        "pack": [folder, "-o", tmp_path / "packed"],
        "publish": [tmp_path / "out", folder, "-o", tmp_path / "public", "--disclose"],
        "pay": [tmp_path / "out", "--rule", tmp_path / "rule.json"],
        "report": [tmp_path / "out"],
        "score": [folder, "--engine", "numpy"],
        "verify": [tmp_path / "out", folder, "--engine", "numpy"],
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_writes_one_object_a_line_and_nothing_else(command, lines, arguments):
    code, _, result = lines(command, *arguments[command])
    assert code == 0
    assert "error" not in result
    assert len(result) > 2  # something of its own


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_silent_when_it_is_asked_to_be(command, run, arguments):
    assert run(command, *arguments[command], "--quiet") == (0, "", "")


def test_the_result_of_a_score_says_what_was_scored(lines, folder, tmp_path):
    _, events, result = lines("score", folder, "-o", tmp_path / "out", "--engine", "numpy")
    receipt = json.loads((tmp_path / "out/receipt.json").read_text())
    assert result["digest"] == receipt["scores_digest"]
    assert [row["rank"] for row in result["rows"]] == list(range(1, 21))
    assert (result["round"], result["number"]) == ("round", None)
    assert result["date"] == receipt["title"]["date"]
    assert [e["text"] for e in events if e["event"] == "note"][: len(receipt["notes"])] == [
        f"note: {note}" for note in receipt["notes"]
    ]


def test_who_is_quarantined_is_an_event_with_both_remedies(lines, folder, sample, break_user):
    break_user(sample.users[3], np.nan)
    code, events, result = lines("check", folder)
    assert code == 4
    (fault,) = [event for event in events if event["event"] == "quarantined"]
    assert (fault["user"], fault["code"]) == (sample.users[3], "prediction-missing")
    assert "--missing fill" in fault["remedy_operator"]
    assert result["quarantined"] == 1


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (["score", "nowhere"], 1, "file-missing"),
        (["score"], 2, None),
        (["score", "--nonsense"], 2, None),
        (["nonsense"], 2, None),
        (["explain", "zzz"], 2, None),
        (["score", "nowhere", "-o", "-"], 2, None),
    ],
)
def test_an_error_is_in_the_result(lines, arguments, code, error):
    found, _, result = lines(*arguments)
    assert found == code
    assert result["error"]["code"] == error
    assert result["error"]["message"]


def test_errors_are_said_when_all_else_is_silent(run, tmp_path):
    code, out, err = run("score", tmp_path / "nothing", "--quiet")
    assert (code, out) == (1, "")
    assert err.startswith("error: ")


def test_the_version_is_shown(run, lines):
    assert run("--version") == (0, f"mmc-gpu {mmc_gpu.__version__}\n", "")
    assert lines("--version")[2]["version"] == mmc_gpu.__version__


def test_exit_codes_are_documented_as_the_table_has_them(run):
    (text,) = re.findall(r"^Exit codes: (.*?)\.\n", README, re.MULTILINE | re.DOTALL)
    said = ", ".join(f"{code} {meaning}" for code, meaning in EXIT_CODES.items())
    assert " ".join(text.split()) == said
    assert said in " ".join(run("--help")[1].split())


def test_every_code_of_a_fault_is_told_to_scripts(lines):
    told = lines("explain")[2]["codes"]
    assert [(row["code"], row["meaning"], row["remedy"]) for row in told] == [
        (code, *CODES[code]) for code in CODES
    ]
