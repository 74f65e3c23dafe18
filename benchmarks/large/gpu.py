"""`python -m benchmarks.large.gpu`: everything about the GPU engine, on a machine that has a GPU.

Parity of all engines to the bit, NVIDIA's sanitizers, determinism, and timings. Writes one JSON
into benchmarks/results, anew after each part. Needs no network. No part depends on another: what
fails or is absent is said in the JSON, and the others still run.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

os.environ.setdefault("CUPY_CACHE_DIR", tempfile.mkdtemp())  # so that compiling is timed

import numpy as np

from benchmarks.large import gpu_timing
from benchmarks.large.gpu_timing import TIES, TINY, Found, Sizes, Timing, engine_round, plan_of
from mmc_gpu.engines import EngineUnavailable, load_engine
from mmc_gpu.engines.gpu import engine as gpu_engine
from mmc_gpu.engines.gpu import round as gpu_round
from mmc_gpu.engines.numpy_engine import NumpyEngine

ROOT = Path(__file__).parents[2]
_LONGEST, _WATCHED = 560, 180
"""Seconds that the tests may take, and one sanitizer: parts fit into ten minutes."""

TOOLS = ("memcheck", "racecheck", "synccheck")
SANITIZERS = ("compute-sanitizer", "/usr/local/cuda/bin/compute-sanitizer")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large.gpu", description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--only", nargs="*", help="these parts, by name")
    parser.add_argument("--resume", type=Path, help="a JSON that lacks parts, or where some failed")
    parser.add_argument("--tests", nargs="*", default=["tests"], help="what `parity` runs")
    parser.add_argument("--tiny", action="store_true", help="small sizes, to see that it runs")
    parser.add_argument("--small-round", action="store_true", help="what sanitizers watch")
    asked = parser.parse_args(arguments)
    if asked.small_round:
        return small_round()
    try:
        engine: Any = load_engine("gpu")
    except EngineUnavailable as error:
        print(error, file=sys.stderr)
        return 3
    timing = Timing(engine, TINY if asked.tiny else Sizes())
    parts: dict[str, Callable[[], Found]] = {
        "environment": partial(environment, engine),
        "kernels": partial(kernels, engine),
        "bandwidths": partial(gpu_timing.bandwidths, timing),
        "rounds": partial(gpu_timing.rounds, timing),
        "ranks": partial(gpu_timing.ranks, timing),
        "verbs": partial(gpu_timing.verbs, timing),
        "determinism": partial(determinism, timing),
        "sanitizers": sanitizers,
        "parity": partial(parity, asked.tests),
    }
    chosen = {name: run for name, run in parts.items() if not asked.only or name in asked.only}
    asked.output.mkdir(parents=True, exist_ok=True)
    path = asked.resume or asked.output / f"gpu-{time.strftime('%Y-%m-%d-%H%M%S')}.json"
    timing.know(found_before(path))
    return 0 if run_parts(chosen, path) else 1


def run_parts(parts: dict[str, Callable[[], Found]], path: Path) -> bool:
    """Run the parts, write what they find after each, and say whether all of them held.

    Args:
        parts: by name.
        path: of the JSON; parts that it says have held are not run again.
    """
    found = found_before(path)
    for name, run in parts.items():
        if found.get(name, {}).get("ok"):
            continue
        start = time.perf_counter()
        try:
            found[name] = {"ok": True, "found": run()}
            found[name]["ok"] = found[name]["found"].get("ok", True)
        except Exception as error:  # the JSON says so, and the next part runs
            reason = f"{type(error).__name__}: {error}"
            found[name] = {"ok": False, "error": reason, "trace": traceback.format_exc()}
        found[name]["seconds"] = time.perf_counter() - start
        print(f"{name}: {'ok' if found[name]['ok'] else 'FAILED'}, {found[name]['seconds']:.1f} s")
        path.write_text(json.dumps(found, indent=1, default=str) + "\n")
    print(path)
    return all(part["ok"] for part in found.values())


def found_before(path: Path) -> dict[str, Found]:
    """Return what a run that was cut off has found, by part."""
    return dict(json.loads(path.read_text())) if path.exists() else {}


def environment(engine: Any) -> Found:
    """Return what this ran on."""
    cupy, runtime = engine._cupy, engine._cupy.cuda.runtime
    return {
        "date": time.strftime("%Y-%m-%d %H:%M:%S"),
        "commit": _said("git", "rev-parse", "HEAD"),
        "gpus": [card.title for card in engine.cards],
        "memory": [card.device.mem_info[1] for card in engine.cards],
        "driver": _said("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"),
        "driver_cuda": runtime.driverGetVersion(),
        "runtime_cuda": runtime.runtimeGetVersion(),
        "cupy": cupy.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
    }


def _said(*command: str) -> str | None:
    """Return what a program says; None where it is absent or says nothing."""
    if not shutil.which(command[0]):
        return None
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return ran.stdout.strip() or None


def _cpu() -> str:
    described = Path("/proc/cpuinfo")
    lines = described.read_text().splitlines() if described.is_file() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor()


def kernels(engine: Any) -> Found:
    """Compile each kernel: seconds without a cache, registers, spilled and shared bytes."""
    found: Found = {}
    for name in (
        *("rank_buckets_f32", "rank_buckets_f64", "rank_radix_f32", "rank_radix_f64"),
        *("sum_groups_f32", "sum_groups_f64", "sum_groups_i32", "add_groups", "moments"),
        *("sum_lanes_f32", "sum_lanes_f64", "rank_ends", "rank_table", "algebra"),
        *("rows_ends_f32", "rows_ends_f64", "rows_copy_4", "rows_copy_8"),
    ):
        start = time.perf_counter()
        kernel = engine.cards[0].kernels.kernel(name)
        registers = kernel.num_regs  # the first kernel of a source compiles the whole source
        found[name] = {
            "compile_s": time.perf_counter() - start,
            "registers": registers,
            "spilled_bytes": kernel.local_size_bytes,
            "shared_bytes": kernel.shared_size_bytes,
        }
    return found


def determinism(timing: Timing) -> Found:
    """Do a round again and again, in other blocks and on another stream: the same moments."""
    users = min(3000, 9 * timing.sizes.users)
    block = timing.predictions("uniform", np.float32, users=users)
    block[::2] = block[::2].round(2)  # these crowd their buckets, the others do not
    rng = np.random.default_rng(1)
    weights = rng.random((21, len(block)))
    limbs = rng.integers(-(2**23), 2**23, (2, block.shape[1])).astype(np.int32)
    expected = engine_round(NumpyEngine(), block, weights, limbs)
    chosen = gpu_round.HOST_TURN, gpu_engine.DEVICE_TURN
    rounds, first = 0, None
    try:
        for turn in (1 << 16, 1 << 22, 1 << 28):
            gpu_round.HOST_TURN = gpu_engine.DEVICE_TURN = turn
            for given in (block, timing.engine.put(block), timing.pinned(block)):
                for stream in (timing.card.current(), timing.cupy.cuda.Stream(non_blocking=True)):
                    with timing.card.device, stream:
                        plan = plan_of(given, weights, limbs)
                        for _ in range(3):
                            moments = engine_round(timing.engine, given, weights, limbs)
                            np.testing.assert_array_equal(moments, expected)
                            found: Any = timing.engine.score_round(plan)
                            first = found.scores.copy() if first is None else first
                            np.testing.assert_array_equal(found.scores, first)
                            rounds += 1
    finally:
        gpu_round.HOST_TURN, gpu_engine.DEVICE_TURN = chosen
    return {"equal_rounds": rounds}


def small_round() -> int:
    """Use every kernel once, in every way, on little data; check it."""
    engine: Any = load_engine("gpu")
    engine._cupy.cuda.set_allocator(None)  # in the pool's memory, nobody sees an overrun
    rng = np.random.default_rng(0)
    limbs = rng.integers(-(2**23), 2**23, (2, 100)).astype(np.int32)
    reference: Any = NumpyEngine()
    for dtype in (np.float32, np.float64):
        block = rng.random((1100, 100)).astype(dtype)
        block[::50] = np.round(block[::50])  # crowds buckets
        weights = rng.random((11, len(block)))
        expected = engine_round(reference, block, weights, limbs)
        there = engine.put(block)
        found = engine_round(engine, there, weights, limbs)
        np.testing.assert_array_equal(found, expected)
        plans = (
            plan_of(given, weights, limbs) for given in (there, there[:, ::-1][:, ::-1], block)
        )
        scores = [engine.score_round(plan).scores.copy() for plan in plans]
        np.testing.assert_array_equal(scores[1:], [scores[0]] * 2)
        blend = np.zeros((11, 100))
        found = engine.get(engine.combine(blend, there, weights))
        np.testing.assert_array_equal(found, reference.combine(blend, block, weights))
        np.testing.assert_array_equal(engine.extremes(there.T)[0], block.min(axis=0))
        wide, long = rng.random((20, 3_000)), rng.random((1, 40_000))
        wide[::2] = wide[::2].round(2)  # the others fill buckets; many warps do either
        for series, ties in product((wide.astype(dtype), long.astype(dtype)), TIES):
            ranks = engine.get(engine.rank(engine.put(series), ties))
            np.testing.assert_array_equal(ranks, reference.rank(series, ties))
        table, probes = rng.normal(size=199), rng.normal(size=(3, 100))
        for given in (table, None):
            found = engine.inner(engine.put(block), given, probes, "average")
            expected = reference.inner(block, given, probes, "average")
            np.testing.assert_array_equal(found, expected)
        found = engine.ends(engine.put(block), 30)
        np.testing.assert_array_equal(found, reference.ends(block, 30))
    blend = np.zeros((11, 100))
    found = engine.get(engine.combine(blend, engine.rank(engine.put(block), "first"), weights))
    expected = reference.combine(blend, reference.rank(block, "first"), weights)
    np.testing.assert_array_equal(found, expected)
    print("small round: equal")
    return 0


def sanitizers() -> Found:
    """Run a small round under each of NVIDIA's sanitizers, where they are and work."""
    found: Found = {"ok": True}
    tool = next((path for name in SANITIZERS if (path := shutil.which(name))), None)
    for check in TOOLS:
        if not tool:
            found[check] = {"absent": "compute-sanitizer is not installed"}
            continue
        command = [tool, "--tool", check, "--error-exitcode", "99"]
        if check == "memcheck":  # errors of calls that only ask what a driver has
            command += ["--report-api-errors", "no"]
        ran = _run(
            [*command, sys.executable, "-m", "benchmarks.large.gpu", "--small-round"], _WATCHED
        )
        said = [line for line in ran["output"].splitlines() if "=====" in line]
        clean = ran["exit"] == 0 and "small round: equal" in ran["output"]
        refused = "Device not supported" in ran["output"]
        found[check] = ran | {"clean": clean, "refused": refused, "summary": said[-3:]}
        found["ok"] &= clean or refused
    return found


def parity(tests: list[str]) -> Found:
    """Run the tests with all three engines; one that cannot load is a failure."""
    command = [sys.executable, "-m", "pytest", "-q", "--engines", "numpy,cpu,gpu"]
    cores = min(8, len(os.sched_getaffinity(0)))
    workers = ["-n", str(cores)] if find_spec("xdist") else []
    # warnings of whatever versions a machine has are no question of bits
    ran = _run([*command, "-p", "no:cacheprovider", "-W", "default", *workers, *tests])
    return ran | {"ok": ran["exit"] == 0, "summary": ran["output"].splitlines()[-1:]}


def _run(command: list[str], longest: int = _LONGEST) -> Found:
    """Run a command at the root of the project; return its exit code and its last output."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    }
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    try:
        ran = subprocess.run(command, cwd=ROOT, env=environment, timeout=longest, **streams)
    except subprocess.TimeoutExpired as error:
        said = (error.stdout or b"").decode(errors="replace")  # bytes, whatever was asked for
        output = f"{said[-20_000:].strip()}\nended after {longest} s"
        return {"command": command, "exit": None, "output": output}
    return {"command": command, "exit": ran.returncode, "output": ran.stdout.strip()[-20_000:]}


if __name__ == "__main__":
    sys.exit(main())
