"""`python -m mmc_gpu`, and the command `mmc-gpu`."""

import os
import sys
from contextlib import suppress


def main() -> None:
    """Run the command line; whatever stops it is one line and an exit code."""
    try:
        _open_closed_streams()
        from mmc_gpu.cli.app import main as run

        run()
    except KeyboardInterrupt:
        with suppress(OSError):
            print("stopped", file=sys.stderr)
        raise SystemExit(130) from None


def _open_closed_streams() -> None:
    """Open standard streams that are closed, or the next file that is opened is taken for one.

    What is written to standard error goes nowhere; writing to standard output fails.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            handle = os.open(os.devnull, os.O_WRONLY if name == "stderr" else os.O_RDONLY)
            if handle != number:
                os.dup2(handle, number)
                os.close(handle)
            setattr(sys, name, os.fdopen(number, "w" if number else "r"))


if __name__ == "__main__":
    main()
