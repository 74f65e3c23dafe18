"""`python -m mmc_gpu`, and the command `mmc-gpu`."""

import os
import signal
import sys
from contextlib import suppress
from io import TextIOWrapper


def main() -> None:
    """Run the command line; Ctrl-C at any moment is one line and exit code 130."""
    try:
        _prepare_streams()
        # after each product of NumPy's its threads would wait for the next one at full speed
        os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
        if threads := os.environ.get("MMC_GPU_THREADS"):
            os.environ.setdefault("OMP_NUM_THREADS", threads)  # those of BLAS, Arrow and numexpr
        from mmc_gpu.cli.app import main as run

        run()
    except (KeyboardInterrupt, SystemExit) as stop:
        # typer makes an exit of Ctrl-C, with its cause, and says nothing
        cause = stop if isinstance(stop, KeyboardInterrupt) else stop.__context__
        if not isinstance(getattr(cause, "__cause__", None) or cause, KeyboardInterrupt):
            raise
        with suppress(OSError):
            print("stopped", file=sys.stderr)
        raise SystemExit(130) from None
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C once more ends what is left at once


def _prepare_streams() -> None:
    """Make standard streams fit for use: open those closed, or files of ours get their numbers.

    What is written to standard error is lost; writing to standard output fails.
    """
    for name, flags in (("stdin", os.O_RDONLY), ("stdout", os.O_RDONLY), ("stderr", os.O_WRONLY)):
        if getattr(sys, name) is None:  # the lowest number that is free
            handle = os.open(os.devnull, flags)
            setattr(sys, name, os.fdopen(handle, "r" if name == "stdin" else "w"))
    if isinstance(sys.stdout, TextIOWrapper):  # Windows' code pages lack most letters
        sys.stdout.reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    main()
