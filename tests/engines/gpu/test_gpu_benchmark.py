"""`python -m benchmarks.gpu`, tiny and on the fake CUDA: it must not break on a GPU."""

import json
import re
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks.gpu import __main__ as command
from benchmarks.gpu import parts, timing
from mmc_gpu.engines.gpu import kernels

ROOT = Path(__file__).parents[3]


@pytest.fixture
def gpu(make_engine, monkeypatch):
    """The benchmark's parts, on the fake CUDA."""
    engine = make_engine()
    monkeypatch.setattr(engine._cupy, "argsort", lambda array, axis: array)  # of CuPy's own kernels
    return parts


def run(gpu, folder, *names):
    """Run parts in this process, as `python -m benchmarks.gpu` does in others."""
    path = folder / "gpu-run.json"
    found = json.loads(path.read_text()) if path.exists() else {}
    for name in names:
        into = folder / "part"
        assert gpu.main([name, "--tiny", "--into", str(into), "--known", str(path)]) == 0
        part = json.loads(into.read_text())
        found[name] = {"ok": part.get("ok", True), "found": part}
        path.write_text(json.dumps(found))
    return found


def test_every_part_of_it_runs(gpu, tmp_path):
    timed = ["kernels", "launches", "bandwidths", "ranks", "verbs", "rounds", "determinism"]
    found = run(gpu, tmp_path, "environment", *timed)
    assert all(part["ok"] for part in found.values())
    assert [name for name in command.PARTS if name in found] == list(found)
    rounds = found["rounds"]["found"]
    assert {name for name, timed in rounds.items() if "error" in timed} == set()
    assert rounds["device, float32, most users"]["users"] == timing.TINY.most
    assert rounds["device, float32, many draws"]["draws"] == timing.TINY.many_draws
    assert rounds["pinned host, float32, more users"]["users"] == timing.TINY.more
    assert all(timed["device_median_s"] == 0.001 for timed in found["verbs"]["found"].values())
    assert all(part["bytes_per_s"] > 0 for part in found["bandwidths"]["found"].values())
    assert found["determinism"]["found"]["equal_rounds"] == 54
    assert len(found["kernels"]["found"]) == 19
    assert len(found["launches"]["found"]) == 8


def test_the_readmes_figures_are_those_of_a_run(gpu, tmp_path):
    from benchmarks.publish import gpu_report

    readme = (ROOT / "mmc_gpu/engines/README.md").read_text("utf-8")
    paths = (ROOT / "benchmarks/results").glob("gpu-*.json")  # the newest may just be being written
    runs = [None, *(json.loads(path.read_text("utf-8")) for path in paths)]
    assert any(gpu_report.filled(readme, found) == readme for found in runs)
    run(gpu, tmp_path, "environment", "bandwidths", "rounds", "ranks", "verbs", "determinism")
    made = gpu_report.filled(readme, gpu_report.newest(tmp_path))
    assert gpu_report.NOTHING not in made
    assert "| rounds: device, float32, many draws, 30 x 40 x 50 draws | " in made
    assert "| ranks: float32, cupy.argsort alone | " in made
    assert "| verbs: combine | " in made
    assert re.search(r"No GPU, compute capability 9.0\); driver .+, CUDA 13000, CuPy 14.2", made)
    assert "parity was not run; determinism held; sanitizers was not run." in made
    assert gpu_report.filled(made, None) == gpu_report.filled(readme, None)


def test_the_small_round_uses_every_kernel(gpu, make_engine, monkeypatch, capsys):
    monkeypatch.setattr(kernels, "OPTIONS", kernels.OPTIONS)
    machine = make_engine().machine
    machine.log()
    try:
        assert gpu.main(["small_round"]) == 0
    finally:
        make_engine()  # memory comes from the pool again
    assert "-lineinfo" in kernels.OPTIONS
    assert "small round: equal" in capsys.readouterr().out


def test_without_a_gpu_it_says_what_is_missing(gpu, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert gpu.main(["rounds"]) == 3
    assert "CuPy is not installed: pip install" in capsys.readouterr().err


def test_an_environment_without_git_and_a_driver_is_one(gpu, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    found = run(gpu, tmp_path, "environment")["environment"]["found"]
    assert (found["commit"], found["driver"]) == (None, None)
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho 580.95.05\n")
    smi.chmod(0o755)
    assert gpu._said("nvidia-smi") == "580.95.05"


def test_what_was_said_before_the_time_was_up_is_kept(gpu):
    ran = gpu._run(["sh", "-c", "echo first; exec sleep 9"], 0.5)
    assert ran["exit"] is None
    assert ran["output"] == "first\nended after 0.5 s"


WRITES = """
import pathlib, sys
pathlib.Path(sys.argv[sys.argv.index('--into') + 1]).write_text('{"figure": 1}')
"""
HANGS = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(99)'])
print(child.pid, flush=True)
time.sleep(99)
"""


def test_a_part_is_a_process_and_is_killed_with_its_children():
    assert command.run_part([sys.executable, "-c", WRITES], 60)["found"] == {"figure": 1}
    failed = command.run_part([sys.executable, "-c", "print('why'); 1 / 0"], 60)
    assert (failed["ok"], failed["error"]) == (False, "exit code 1")
    assert failed["output"].startswith("why")
    hung = command.run_part([sys.executable, "-c", HANGS], 1.5)
    assert (hung["ok"], hung["error"]) == (False, "killed after 1.5 s")
    for _ in range(100):
        state = Path(f"/proc/{int(hung['output'])}/stat")
        if not state.exists() or state.read_text().split()[2] == "Z":
            return
        time.sleep(0.05)
    raise AssertionError("a child is alive")


def test_results_are_written_after_every_part_and_resumed(tmp_path, monkeypatch):
    path, ran = tmp_path / "deep" / "gpu.json", []

    def run_part(asked, limit):
        name = asked[3]
        ran.append(name)
        if name == "ranks" and ran.count(name) == 1:
            raise KeyboardInterrupt
        return {"ok": name != "verbs", "seconds": 0.0, "found": {"limit": limit}}

    monkeypatch.setattr(command, "run_part", run_part)
    with pytest.raises(KeyboardInterrupt):
        command.main([str(path)])
    before = ["environment", "small_round", "parity", "kernels", "launches", "bandwidths"]
    assert list(json.loads(path.read_text())) == before
    assert command.main([str(path)]) == 1  # verbs fails
    assert ran == [*before, "ranks", "ranks", "verbs", "rounds", "determinism", "sanitizers"]
    assert command.main([str(path), "--again"]) == 1
    assert ran[-1] == "verbs"
    assert list(json.loads(path.read_text())) == list(command.PARTS)
    assert sum(command.PARTS.values()) <= 900


def test_a_resumed_run_knows_the_bandwidths(gpu, tmp_path):
    cut = tmp_path / "gpu-run.json"
    bandwidths = {"device": {"bytes_per_s": 1e12}, "bus": {"bytes_per_s": 5e10}}
    cut.write_text(json.dumps({"bandwidths": {"ok": True, "found": bandwidths}}))
    found = run(gpu, tmp_path, "ranks")
    timed = found["ranks"]["found"]["float32, uniform, ties first"]
    assert timed["fraction_of_device"] == timed["bytes"] / timed["median_s"] / 1e12


def test_a_round_that_does_not_fit_costs_no_other_its_time(gpu, tmp_path, monkeypatch):
    def tiled(_, users):
        raise MemoryError(f"no room for {users} users")

    monkeypatch.setattr(timing.Timing, "tiled", tiled)
    found = run(gpu, tmp_path, "rounds")
    assert "no room" in found["rounds"]["found"]["device, float32, most users"]["error"]
    assert found["rounds"]["found"]["pinned host, float32"]["median_s"] > 0


def test_wrong_ranks_are_a_failure(gpu, tmp_path, monkeypatch):
    monkeypatch.setattr(timing.NumpyEngine, "rank", lambda *_: np.zeros((30, 40)))
    with pytest.raises(AssertionError):
        gpu.main(["ranks", "--tiny"])


def test_parity_is_the_verdict_of_pytest(gpu):
    assert all((ROOT / name.partition("::")[0]).exists() for name in gpu.TESTS)
    test = "tests/engines/gpu/test_gpu_library.py::test_kernels_are_found_beside_the_package"
    found = gpu.parity([test])
    assert found["ok"], found
    assert "passed" in found["summary"][0]
    assert "numpy,cpu,gpu" in found["command"]


@pytest.mark.parametrize(
    ("script", "held", "verdict"),
    [
        ("echo '===== ERROR SUMMARY: 0 errors'; echo 'small round: equal'", True, {"clean": True}),
        (
            "echo '===== ERROR SUMMARY: 2 errors'; exit 99",
            False,
            {"clean": False, "refused": False},
        ),
        ("echo 'Device not supported'; exit 1", True, {"clean": False, "refused": True}),
    ],
)
def test_sanitizers_are_heard(gpu, tmp_path, monkeypatch, script, held, verdict):
    tool = tmp_path / "compute-sanitizer"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setattr(gpu, "SANITIZERS", (str(tool),))
    found = gpu.sanitizers()
    assert found["ok"] == held
    for check in gpu.TOOLS:
        assert verdict.items() <= found[check].items()


def test_an_absent_sanitizer_is_said(gpu, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "SANITIZERS", (str(tmp_path / "none"),))
    found = gpu.sanitizers()
    assert found["ok"]
    assert "absent" in found["memcheck"]


def test_the_sanitizers_command_is_the_small_round(gpu, monkeypatch):
    commands = []
    monkeypatch.setattr(gpu, "SANITIZERS", (sys.executable,))
    monkeypatch.setattr(
        gpu, "_run", lambda command, _: commands.append(command) or {"exit": 1, "output": ""}
    )
    gpu.sanitizers()
    assert [command[2] for command in commands] == list(gpu.TOOLS)
    assert all(
        command[-3:] == ["-m", "benchmarks.gpu.parts", "small_round"] for command in commands
    )
