"""Every option of a score is an option of the command and of the function, and reaches both."""

import inspect
from dataclasses import fields
from typing import get_args, get_type_hints

import pandas as pd
import pytest

import mmc_gpu.api
from mmc_gpu.cli.score import score
from mmc_gpu.rounds.method import Method

OPTIONS = [field.name for field in fields(Method)]


def other_than_default(name):
    """Return a value of an option that is allowed and not the default."""
    default = getattr(Method(), name)
    choices = get_args(get_type_hints(Method)[name])
    if choices:
        return next(choice for choice in choices if choice != default)
    return default + 1 if isinstance(default, int) else default / 2


class Stopped(Exception):
    """What was asked for is known; nothing needs to be scored."""


def stop(*given, **named):
    raise Stopped(given, named)


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("function", [score, mmc_gpu.score_round])
def test_an_option_has_the_same_default_everywhere(name, function):
    assert inspect.signature(function).parameters[name].default == getattr(Method(), name)


@pytest.mark.parametrize("name", OPTIONS)
def test_the_command_passes_an_option_on(name, folder, monkeypatch):
    monkeypatch.setattr("mmc_gpu.cli.runs.Run", stop)
    value = other_than_default(name)
    with pytest.raises(Stopped) as stopped:
        score([folder], engine="numpy", **{name: value})
    method, _ = stopped.value.args[0]
    assert method == Method(**{name: value})


@pytest.mark.parametrize("name", OPTIONS)
def test_the_function_passes_an_option_on(name, sample, monkeypatch):
    monkeypatch.setattr(mmc_gpu.api, "score", stop)
    value = other_than_default(name)
    frame = pd.DataFrame(sample.predictions.T, sample.ids, sample.users)
    target = pd.Series(next(iter(sample.targets.values())), sample.ids)
    with pytest.raises(Stopped) as stopped:
        mmc_gpu.score_round(frame, sample.stakes, target, engine="numpy", **{name: value})
    _, method, _ = stopped.value.args[0]
    assert method == Method(**{name: value})


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("documented", [Method, mmc_gpu.score_round])
def test_an_option_is_documented(name, documented):
    assert f"\n    {name}: " in inspect.getdoc(documented)


@pytest.mark.parametrize("name", OPTIONS)
def test_an_options_help_says_what_it_is(name):
    (option,) = get_type_hints(score, include_extras=True)[name].__metadata__
    assert option.help.endswith(".")
