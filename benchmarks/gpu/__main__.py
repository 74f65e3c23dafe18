"""`python -m benchmarks.gpu RESULTS.json`: all about the GPU engine, for a day with a GPU.

Made for 15 minutes of a GPU, in calls of 10. Each part is a process of its own with a limit, and is
killed with all its children when its time is up. After each part the JSON is written anew; a call
with the same path runs only the parts that are not in it. Needs no network.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

PARTS = {
    "environment": 30,
    "small_round": 60,
    "parity": 240,
    "kernels": 60,
    "launches": 30,
    "bandwidths": 30,
    "ranks": 60,
    "verbs": 30,
    "rounds": 120,
    "determinism": 60,
    "sanitizers": 180,
}
"""What is run, in this order, and for how many seconds at most."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("results", type=Path, help="a JSON, which may hold parts already")
    parser.add_argument("--only", nargs="*", choices=PARTS, help="these parts")
    parser.add_argument("--again", action="store_true", help="also parts that have failed before")
    parser.add_argument("--tiny", action="store_true", help="small sizes, to see that it runs")
    asked = parser.parse_args(arguments)
    found = json.loads(asked.results.read_text()) if asked.results.exists() else {}
    for name in asked.only or PARTS:
        before = found.get(name)
        if before and (before["ok"] or not asked.again):
            continue
        command = [sys.executable, "-m", "benchmarks.gpu.parts", name]
        command += ["--known", str(asked.results)] + ["--tiny"] * asked.tiny
        found[name] = run_part(command, PARTS[name])
        print(f"{name}: {'ok' if found[name]['ok'] else 'FAILED'}, {found[name]['seconds']:.1f} s")
        asked.results.parent.mkdir(parents=True, exist_ok=True)
        fresh = asked.results.with_suffix(".new")  # renamed when whole: a call may be cut off
        fresh.write_text(json.dumps(found, indent=1) + "\n")
        fresh.replace(asked.results)
    return 0 if all(part["ok"] for part in found.values()) else 1


def run_part(command: list[str], limit: float) -> dict[str, Any]:
    """Run a part, and return what it has found, or how it ended.

    Args:
        command: what writes its findings, a JSON, into the file that is named behind `--into`.
        limit: seconds; then it is killed, and all processes that it has started.
    """
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    }
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, Path(folder, "said").open("w+") as said:
        into = Path(folder, "found.json")
        child = subprocess.Popen(
            [*command, "--into", str(into)],
            cwd=ROOT,
            env=environment,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a group of its own, which can be killed as a whole
        )
        try:
            ended = f"exit code {child.wait(limit)}"
        except subprocess.TimeoutExpired:
            ended = f"killed after {limit} s"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        said.seek(0)
        output = said.read()[-20_000:].strip()
        seconds = {"seconds": time.perf_counter() - start}
        if into.exists():
            part: dict[str, Any] = json.loads(into.read_text())
            return {"ok": part.get("ok", True), "found": part, "ended": ended} | seconds
        return {"ok": False, "error": ended, "output": output} | seconds


if __name__ == "__main__":
    sys.exit(main())
