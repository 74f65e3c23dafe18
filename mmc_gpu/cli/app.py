"""The command line: arguments -> files -> scoring -> files."""

import sys
from contextlib import suppress
from functools import cache
from typing import Annotated, Any, NoReturn

import typer

from mmc_gpu.cli import options
from mmc_gpu.cli.eras import evaluate
from mmc_gpu.cli.listener import LISTENER, begin, end, print_line, tell_result
from mmc_gpu.cli.results import history, pay, publish, report, verify
from mmc_gpu.cli.rounds import check, pack
from mmc_gpu.cli.score import demo, merge, score
from mmc_gpu.errors import CODES, EngineUnavailable, RoundError, explained
from mmc_gpu.version import __version__

app = typer.Typer(
    help="Score every submission of a Numerai round: bootstrap MMC, CORR and more.\n\n"
    "Start with [bold]mmc-gpu demo[/bold]. A round is a folder with targets (id, one column a"
    " target), stakes (user, stake) and predictions (id, one column a user) or submissions/ (one"
    " file a user: id, prediction), each as Parquet or CSV.\n\n"
    f"Exit codes: {', '.join(f'{n} {what}' for n, what in options.EXIT_CODES.items())}.",
    rich_markup_mode="rich",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def doctor() -> None:
    """Show versions, engines, GPU and kernels, and what to install."""
    from mmc_gpu.cli.doctor import findings

    found = findings()
    for name, state in found:
        print_line(f"{name:12} {state}")
    tell_result(found=dict(found))


def _codes(incomplete: str) -> list[str]:
    return [code for code in CODES if code.startswith(incomplete)]


def explain(
    code: Annotated[
        str | None, typer.Argument(help="As in an error: prediction-range.", autocompletion=_codes)
    ] = None,
) -> None:
    """Tell what an error's code means and how to mend it; without a code, list them all."""
    codes = list(CODES) if code is None else [code.strip("[]")]
    width = None if sys.stdout.isatty() else sys.maxsize  # nothing is wrapped in pipes
    print_line("\n\n".join(explained(code, width) for code in codes))
    tell_result(codes=[{"code": code, **CODES[code]._asdict()} for code in codes])


_COMMANDS = (
    *(demo, score, merge, report, check, pack, verify, publish, pay, history),
    *(evaluate, doctor, explain),
)
for command in _COMMANDS:
    app.command()(options.with_listeners(command))


def _version(asked: bool) -> None:
    if asked:
        tell_result(version=__version__)
        if not LISTENER.script:
            typer.echo(f"mmc-gpu {__version__}")
        raise typer.Exit


@app.callback()
def every_command(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    json_: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Options of all commands; `begin` has read them."""


def _fail(message: Any, code: int) -> NoReturn:
    from mmc_gpu.cli.terminal import say

    with suppress(OSError):  # where standard error cannot be written, the exit code says it
        say(f"error: {message}", "red")
    raise SystemExit(code)


def _fail_to_write(error: OSError) -> NoReturn:
    LISTENER.script = False  # its words go to standard error, as a person's do
    with suppress(OSError):
        sys.stdout.close()  # or Python tries to write the rest, at its end
    _fail(f"the output cannot be written: {error.strerror}", options.FAILED)


def main() -> None:
    """Run the command line, and tell a script how it ended."""
    begin(sys.argv[1:])
    helping = len(sys.argv) < 2 or "--help" in sys.argv
    try:
        _run(_command(helping or sys.stderr.isatty()))
    except SystemExit as stop:
        try:
            end(stop)
        except OSError as error:
            _fail_to_write(error)
        raise


@cache
def _command(boxes: bool) -> Any:
    """Return the command line, which is built once; in a box, an error's line would be wrapped."""
    app.rich_markup_mode = "rich" if boxes else None
    return typer.main.get_command(app)


def _run(command: Any) -> None:
    """Run the command line; every expected error is one line and an exit code."""
    try:
        try:
            command()
        finally:
            sys.stdout.flush()
    except (ValueError, EngineUnavailable) as error:
        from mmc_gpu.cli.terminal import show_quarantine

        quarantined = getattr(error, "quarantined", ())
        show_quarantine(quarantined, most=len(quarantined))
        other = options.ENVIRONMENT if isinstance(error, EngineUnavailable) else options.USAGE
        _fail(error, options.FAILED if isinstance(error, RoundError) else other)
    except OSError as error:
        if not error.filename and error.strerror:
            _fail_to_write(error)
        from mmc_gpu.files.formats.source import named

        _fail(named(error, str(error.filename)), options.FAILED)  # pyarrow's have words alone
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "start new thread" not in str(error):
            raise
        remedy = "raise this process's limits (ulimit -v, ulimit -u), or give it more memory"
        _fail(f"{str(error) or 'out of memory'}: {remedy}", options.ENVIRONMENT)
