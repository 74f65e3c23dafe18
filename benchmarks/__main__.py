"""`python -m benchmarks`: run, print the ratios, write one JSON, and README's tables from it."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from benchmarks.publish import results
from benchmarks.publish.tables import Table, tables

_HERE = Path(__file__).parent
BENCHES = sorted(path.stem.removeprefix("bench_") for path in _HERE.glob("bench_*.py"))

_SLOWER = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""With these, OpenBLAS takes a slower kernel than the machine has: unfair to the closed form. They
are set against older builds with wrong results; here parity is asserted before any timing."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    asked = _asked(arguments)
    unset = held_back(asked.size)
    run = {"suite": "part" if asked.benches else asked.size, "unset": unset}
    start = time.monotonic()
    raw = _run(asked.benches or BENCHES, asked.size, unset)
    if raw is None:
        return 1
    found = results.condense(raw, run | {"seconds": round(time.monotonic() - start)})
    for table in tables(found).values():
        _show(table)
    asked.output.mkdir(parents=True, exist_ok=True)
    path = asked.output / results.file_name(found)
    path.write_text(results.as_text(found), "utf-8")
    print(path)
    if found["suite"] == "full" and asked.output == results.FOLDER:
        from benchmarks.publish.report import write  # matplotlib

        write(found)
    return 0


def _asked(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("benches", nargs="*", metavar="BENCH", help=f"of {', '.join(BENCHES)}")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", dest="size", action="store_const", const="quick", default="full",
                      help="smaller rounds and fewer turns: two minutes")  # fmt: skip
    size.add_argument("--tiny", dest="size", action="store_const", const="tiny",
                      help="one turn on tiny rounds: shows that everything runs")  # fmt: skip
    parser.add_argument("--output", type=Path, default=results.FOLDER, help="folder of the JSON")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.benches) - set(BENCHES):
        parser.error(f"no benchmark {sorted(unknown)}; there are {', '.join(BENCHES)}")
    return asked


def held_back(size: str) -> list[str]:
    """Return the variables to unset for a run; none for a tiny one, whose times do not count."""
    return [] if size == "tiny" else [name for name in _SLOWER if name in os.environ]


def _run(benches: list[str], size: str, unset: list[str]) -> dict[str, Any] | None:
    """Return what pytest-benchmark wrote; None where a benchmark failed."""
    environment = {name: text for name, text in os.environ.items() if name not in unset}
    # BLAS's idle threads would spin on for 25 ms, into the next competitor's turn
    environment["OPENBLAS_THREAD_TIMEOUT"] = "20"
    paths = [str(_HERE.parent), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw.json"
        command = [
            *(sys.executable, "-m", "pytest", "-q", "--benchmark-quiet", f"--size={size}"),
            *("-p", "no:cacheprovider", "-p", "no:xdist", f"--basetemp={folder}/rounds"),
            f"--benchmark-json={raw}",
            *(str(_HERE / f"bench_{bench}.py") for bench in benches),
        ]
        done = subprocess.run(command, env=environment, cwd=_HERE.parent)
        if done.returncode:
            print("a benchmark failed: no results are written", file=sys.stderr)
            return None
        return json.loads(raw.read_text("utf-8"))


def _show(table: Table) -> None:
    shown = RichTable(title=table.title, title_justify="left")
    for number, name in enumerate(table.header):
        shown.add_column(name, justify="right" if number else "left")
    for row in table.rows:
        shown.add_row(*map(Text, row))  # else [...] is markup
    console = Console()
    console.print(shown)
    for note in table.notes:
        console.print(Text(note))


if __name__ == "__main__":
    raise SystemExit(main())
