"""What several commands share: exit codes and options."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from mmc_gpu.cluster import Cluster


EXIT_CODES = {
    0: "ok, also where rounds wait for their targets",
    1: "failed",
    2: "usage",
    3: "environment (an engine that cannot run)",
    4: "finished with quarantined users",
    5: "verification mismatch",
    130: "stopped by Ctrl-C",
}
"""What each exit code means; all documentation is made from this table, or compared with it."""

FAILED, USAGE, ENVIRONMENT, QUARANTINED, MISMATCH, STOPPED = list(EXIT_CODES)[1:]


def place(text: str) -> Any:
    """Return the path or the URI that an argument names."""
    from mmc_gpu.files.formats.places import place_of

    return place_of(text)


Round = Annotated[Path, typer.Argument(help="Folder of the round.", metavar="ROUND", parser=place)]
Engine = Annotated[
    str, typer.Option(help="numpy, cpu, gpu; auto takes the one that is done first and says which.")
]
Threads = Annotated[
    int | None,
    typer.Option(
        help="Threads of the cpu engine; by default MMC_GPU_THREADS, or all cores.", min=1
    ),
]
Missing = Annotated[
    Literal["error", "fill"],
    typer.Option(help="Missing predictions: a fault, or filled with the user's lower median."),
]
EraMissing = Annotated[
    Literal["error", "fill"],
    typer.Option(
        help="Missing predictions: no score in that era, or 0.5 among the ranks of the others."
    ),
]
OnError = Annotated[
    Literal["quarantine", "fail"],
    typer.Option(help="A user's fault: leave that user out (exit code 4), or stop (1)."),
]
Blend = Annotated[
    Literal["raw", "ranked"], typer.Option(help="Blend predictions as submitted, or their ranks.")
]
Target = Annotated[
    str | None, typer.Option(help="Target of the leaderboard; by default the first target.")
]
Tournament = Annotated[
    Literal["signals", "crypto"] | None,
    typer.Option(help="Clean submissions as it does; by default found from the targets' columns."),
]
Address = Annotated[
    str | None, typer.Option(help="Compute on Ray: local, auto, or a cluster's HOST:PORT.")
]
Workers = Annotated[
    int | None, typer.Option(help="Workers on the cluster; by default as many as fit.", min=1)
]
Report = Annotated[
    bool, typer.Option("--report", help="Write report.html, a page to look at in a browser.")
]
Factor = Annotated[
    float | None, typer.Option(help="The round's payout factor, for rules that have none.")
]
Top = Annotated[int, typer.Option(help="How many rows are shown, best first.", min=1)]


def refuse(why: str, **given: Any) -> None:
    """Refuse the options that are given, where the call would not use them."""
    if names := [f"--{name.replace('_', '-')}" for name, value in given.items() if value]:
        raise typer.BadParameter(f"{', '.join(names)}: {why}")


def cluster_of(
    address: str | None, workers: int | None, threads: int | None, keep: Path | None = None
) -> "Cluster | None":
    """Return where the workers are, or None for no cluster; warn if anybody can run code there.

    `threads` are of each worker's cpu engine, one by default; finished blocks are kept in `keep`.
    """
    if address is None:
        refuse("needs a --cluster", workers=workers)
        return None
    from mmc_gpu.cli.terminal import say
    from mmc_gpu.cluster import Cluster

    cluster = Cluster(address, workers, threads or 1, keep=keep)
    if warning := cluster.warning():
        say(f"warning: {warning}", "yellow")
    return cluster


@contextmanager
def waiting_is_no_failure() -> Iterator[None]:
    """End with exit code 0 where a round waits for its targets."""
    from mmc_gpu.cli.listener import tell_result
    from mmc_gpu.cli.terminal import say
    from mmc_gpu.errors import WAITING, RoundError

    try:
        yield
    except RoundError as error:
        if error.code != WAITING:
            raise
        say(f"waiting for targets: {error.detail}")
        tell_result(state="waiting", detail=error.detail)
        raise typer.Exit from None


Json = Annotated[
    bool,
    typer.Option(
        "--json", help="Write events, then the result, to standard output: a JSON object a line."
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Say nothing but errors.")]


def with_listeners(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command with the options of every command; `listener.begin` has read them."""

    @wraps(command)
    def run(**given: Any) -> None:
        del given["json_"], given["quiet"]
        command(**given)

    options = {"json_": Json, "quiet": Quiet}
    kind = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        *inspect.signature(command).parameters.values(),
        *(inspect.Parameter(n, kind, default=False, annotation=o) for n, o in options.items()),
    ]
    run.__annotations__ = command.__annotations__ | options
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return run
