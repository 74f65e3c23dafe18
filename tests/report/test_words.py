"""Pages name only commands, options and files that exist."""

import re
from functools import cache
from importlib.resources import files

import pytest
import typer.main

from mmc_gpu.cli.app import app
from mmc_gpu.errors import CODES
from mmc_gpu.files.results.eras import ERA_FILES
from mmc_gpu.files.results.rounds import ROUND_FILES

WEB = files("mmc_gpu.report") / "web"
TEXTS = {
    path.name: path.read_text(encoding="utf-8")
    for path in WEB.iterdir()
    if path.name.endswith((".js", ".html"))
}
REMEDIES = {code: f"{meaning} {remedy}" for code, (meaning, remedy) in CODES.items()}


@cache
def commands():
    return typer.main.get_command(app).commands


@pytest.mark.parametrize("name", [*TEXTS, *REMEDIES])
def test_every_option_that_is_named_exists(name):
    options = {
        option
        for command in commands().values()
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", TEXTS.get(name) or REMEDIES[name]))
    assert named <= options


@pytest.mark.parametrize("name", TEXTS)
def test_every_command_and_file_that_is_named_exists(name):
    named = set(re.findall(r"mmc-gpu ([a-z]+)", TEXTS[name]))
    assert named <= commands().keys()
    tables = set(re.findall(r"\b\w+\.(?:csv|parquet)\b", TEXTS[name]))
    assert tables <= {*ERA_FILES, *ROUND_FILES}
