"""Who reads the output: a person; a script (--json), which gets one JSON object a line; or nobody.

A command tells events while it works. Its result is the last line, with the exit code and, where it
failed, the error.
"""

import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import typer

from mmc_gpu.errors import RoundError


@dataclass
class Listener:
    """Who listens to this process, and what the command has found so far."""

    script: bool = False  # whether standard output gets JSON, and nothing else
    quiet: bool = False  # whether a person hears nothing but errors
    result: dict[str, Any] = field(default_factory=dict)  # what the last line of JSON will say


LISTENER = Listener()


def begin(arguments: Sequence[str]) -> None:
    """Find out who listens, before arguments are read: their faults are told in JSON too."""
    LISTENER.script, LISTENER.quiet = "--json" in arguments, "--quiet" in arguments
    LISTENER.result = {}


def event(name: str, **said: Any) -> None:
    """Tell a script what has happened; where nobody listens any more, the work goes on."""
    with suppress(OSError):
        _tell(name, said)


def _tell(name: str, said: dict[str, Any]) -> None:
    if LISTENER.script and not sys.stdout.closed:
        print(json.dumps({"event": name, **said}, allow_nan=False), flush=True)


def tell_result(**said: Any) -> None:
    """Add to what a script is told in the end."""
    LISTENER.result |= said


def harmless(text: str) -> str:
    """Return text of anybody's, such as names and paths, with escapes for what terminals obey."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def print_line(text: str) -> None:
    """Print text on standard output for a person; a script gets the result instead."""
    if not (LISTENER.script or LISTENER.quiet):
        typer.echo(harmless(text))


def error_of(error: RoundError) -> dict[str, str]:
    """Return an error as JSON has it."""
    return {"code": error.code, "detail": error.detail, "message": str(error)}


def end(stop: SystemExit) -> None:
    """Tell a script the result, exit code and error; raise OSError where nobody can be told."""
    code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    error = stop.__context__
    if isinstance(error, RoundError):
        tell_result(error=error_of(error))
    elif isinstance(error, Exception) and not isinstance(error, typer.Exit):
        usage = getattr(error, "format_message", None)  # of an argument that does not fit
        tell_result(error={"code": None, "message": str(error) if usage is None else usage()})
    _tell("result", {"exit_code": code, **LISTENER.result})
