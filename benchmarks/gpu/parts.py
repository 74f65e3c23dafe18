"""The parts of `python -m benchmarks.gpu`: `python -m benchmarks.gpu.parts NAME` runs one.

Parity of all engines to the bit, NVIDIA's sanitizers, determinism, and timings. Each needs a GPU.
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
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu import timing as gpu_timing
from benchmarks.gpu.timing import TIES, TINY, Found, Sizes, Timing, engine_round, plan_of
from mmc_gpu.engines import EngineUnavailable, load_engine
from mmc_gpu.engines.gpu import engine as gpu_engine
from mmc_gpu.engines.gpu import kernels as gpu_kernels
from mmc_gpu.engines.gpu import round as gpu_round
from mmc_gpu.engines.numpy_engine import NumpyEngine

ROOT = Path(__file__).parents[2]
_WATCHED = 55
"""Seconds that one sanitizer may take."""
TESTS = [
    "tests/engines/test_engines.py",
    "tests/engines/test_inner.py",
    "tests/engines/gpu/test_gpu_engine.py",
    "tests/engines/gpu/test_gpu_round.py",
    "tests/rounds/test_full_stakes.py",
    "tests/metrics/test_parity.py",
    "tests/metrics/test_faults.py",
    "tests/metrics/test_tables.py",
    "tests/cluster/test_blocks.py::TestTheSameBits::test_for_other_methods",
]
"""The tests that use the gpu engine."""

TOOLS = ("memcheck", "racecheck", "synccheck")
SANITIZERS = ("compute-sanitizer", "/usr/local/cuda/bin/compute-sanitizer")


def main(arguments: list[str] | None = None) -> int:
    """Run one part, and write what it has found; return an exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.parts", description=__doc__)
    parser.add_argument("part")
    parser.add_argument("--into", type=Path, help="the JSON to write")
    parser.add_argument("--known", type=Path, help="the JSON of all parts: their bandwidths")
    parser.add_argument("--tiny", action="store_true", help="small sizes, to see that it runs")
    asked = parser.parse_args(arguments)
    if asked.part == "kernels":
        os.environ.setdefault("CUPY_CACHE_DIR", tempfile.mkdtemp())  # so that compiling is timed
    try:
        engine: Any = load_engine("gpu")
    except EngineUnavailable as error:
        print(error, file=sys.stderr)
        return 3
    timing = Timing(engine, TINY if asked.tiny else Sizes())
    if asked.known and asked.known.exists():
        timing.know(json.loads(asked.known.read_text()))
    parts: dict[str, Callable[[], Found]] = {
        "environment": partial(environment, engine),
        "small_round": small_round,
        "parity": parity,
        "kernels": partial(kernels, engine),
        "launches": partial(gpu_timing.launches, timing),
        "bandwidths": partial(gpu_timing.bandwidths, timing),
        "ranks": partial(gpu_timing.ranks, timing),
        "verbs": partial(gpu_timing.verbs, timing),
        "rounds": partial(gpu_timing.rounds, timing),
        "determinism": partial(determinism, timing),
        "sanitizers": sanitizers,
    }
    found = json.dumps(parts[asked.part](), indent=1, default=str)
    if asked.into:
        asked.into.write_text(found + "\n")
    return 0


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
        *("sum_lanes_f32", "sum_lanes_f64", "sum_lanes_i32", "rank_ends", "rank_table", "algebra"),
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
    chosen = gpu_round.HOST_TURN, gpu_engine.TURN
    rounds, first = 0, None
    try:
        for turn in (1 << 16, 1 << 22, 1 << 28):
            gpu_round.HOST_TURN, gpu_engine.TURN = turn, turn // 4
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
        gpu_round.HOST_TURN, gpu_engine.TURN = chosen
    return {"equal_rounds": rounds}


def small_round() -> Found:
    """Use every kernel once, in every way, on little data; check it."""
    gpu_kernels.OPTIONS = (*gpu_kernels.OPTIONS, "-lineinfo")  # a sanitizer names the line
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
    return {"ok": True}


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
            [*command, sys.executable, "-m", "benchmarks.gpu.parts", "small_round"], _WATCHED
        )
        said = [line for line in ran["output"].splitlines() if "=====" in line]
        clean = ran["exit"] == 0 and "small round: equal" in ran["output"]
        refused = "Device not supported" in ran["output"]
        found[check] = ran | {"clean": clean, "refused": refused, "summary": said[-3:]}
        found["ok"] &= clean or refused
    return found


def parity(tests: Sequence[str] = TESTS) -> Found:
    """Run the tests with all three engines; one that cannot load is a failure."""
    command = [sys.executable, "-m", "pytest", "-q", "--engines", "numpy,cpu,gpu"]
    cores = min(8, len(os.sched_getaffinity(0)))
    workers = ["-n", str(cores)] if find_spec("xdist") else []
    # warnings of whatever versions a machine has are no question of bits
    ran = _run([*command, "-p", "no:cacheprovider", "-W", "default", *workers, *tests])
    return ran | {"ok": ran["exit"] == 0, "summary": ran["output"].splitlines()[-1:]}


def _run(command: list[str], longest: float | None = None) -> Found:
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
