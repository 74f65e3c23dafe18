"""`python -m benchmarks.large.gpu`, tiny and on the fake CUDA: it must not break on a GPU."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def gpu(make_engine, monkeypatch):
    """The benchmark, on the fake CUDA."""
    engine = make_engine()
    monkeypatch.setattr(engine._cupy, "argsort", lambda array, axis: array)  # of CuPy's own kernels
    from benchmarks.large import gpu

    return gpu


def run(gpu, folder, *arguments):
    code = gpu.main(["--tiny", "--output", str(folder), *arguments])
    (report,) = folder.glob("gpu-*.json")
    return code, json.loads(report.read_text())


def test_every_part_of_it_runs(gpu, tmp_path):
    parts = ["environment", "kernels", "bandwidths", "rounds", "ranks", "verbs"]
    code, found = run(gpu, tmp_path, "--only", *parts, "determinism")
    assert list(found) == [*parts, "determinism"]
    assert code == 0, {name: part.get("trace") for name, part in found.items()}
    rounds = found["rounds"]["found"]
    assert {name for name, timed in rounds.items() if "error" in timed} == set()
    assert rounds["device, float32, most users"]["users"] == gpu.TINY.most
    assert rounds["device, float32, many draws"]["draws"] == gpu.TINY.many_draws
    assert rounds["pinned host, float32, more users"]["users"] == gpu.TINY.more
    assert all(timed["device_median_s"] == 0.001 for timed in found["verbs"]["found"].values())
    assert all(part["bytes_per_s"] > 0 for part in found["bandwidths"]["found"].values())
    assert found["determinism"]["found"]["equal_rounds"] == 54
    assert len(found["kernels"]["found"]) == 18


def test_the_readmes_figures_are_those_of_a_run(gpu, tmp_path):
    from benchmarks.publish import gpu_report

    readme = (ROOT / "README.md").read_text("utf-8")
    paths = (ROOT / "benchmarks/results").glob("gpu-*.json")  # the newest may just be being written
    runs = [None, *(json.loads(path.read_text("utf-8")) for path in paths)]
    assert any(gpu_report.filled(readme, found) == readme for found in runs)
    parts = ["environment", "bandwidths", "rounds", "ranks", "verbs", "determinism"]
    run(gpu, tmp_path, "--only", *parts)
    made = gpu_report.filled(readme, gpu_report.newest(tmp_path))
    assert gpu_report.NOTHING not in made
    assert "| rounds: device, float32, many draws, 30 x 40 x 50 draws | " in made
    assert "| ranks: float32, cupy.argsort alone | " in made
    assert "| verbs: combine | " in made
    assert re.search(r"No GPU, compute capability 9.0\); driver .+, CUDA 13000, CuPy 14.2", made)
    assert "parity was not run; determinism held; sanitizers was not run." in made
    assert gpu_report.filled(made, None) == gpu_report.filled(readme, None)


def test_the_small_round_uses_every_kernel(gpu, make_engine, capsys):
    machine = make_engine().machine
    machine.log()
    try:
        assert gpu.main(["--small-round"]) == 0
    finally:
        make_engine()  # memory comes from the pool again
    assert "small round: equal" in capsys.readouterr().out


def test_without_a_gpu_it_says_what_is_missing(gpu, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert gpu.main([]) == 3
    assert "CuPy is not installed: pip install" in capsys.readouterr().err


def test_an_environment_without_git_and_a_driver_is_one(gpu, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    found = run(gpu, tmp_path, "--only", "environment")[1]["environment"]["found"]
    assert (found["commit"], found["driver"]) == (None, None)
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho 580.95.05\n")
    smi.chmod(0o755)
    assert gpu._said("nvidia-smi") == "580.95.05"


def test_what_was_said_before_the_time_was_up_is_kept(gpu):
    ran = gpu._run(["sh", "-c", "echo first; exec sleep 9"], 0.5)
    assert ran["exit"] is None
    assert ran["output"] == "first\nended after 0.5 s"


def test_a_part_that_fails_is_said_and_the_rest_runs(gpu, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu.gpu_timing, "ranks", lambda timing: 1 / 0)
    code, found = run(gpu, tmp_path, "--only", "environment", "ranks", "bandwidths")
    assert code == 1
    assert found["ranks"]["error"] == "ZeroDivisionError: division by zero"
    assert found["bandwidths"]["ok"]


def test_a_run_that_was_cut_off_is_resumed(gpu, tmp_path, monkeypatch):
    ran = []
    for name in ("ranks", "verbs"):
        monkeypatch.setattr(gpu.gpu_timing, name, lambda timing, name=name: ran.append(name) or {})
    cut = tmp_path / "gpu-cut.json"
    cut.write_text(json.dumps({"ranks": {"ok": True}, "verbs": {"ok": False}}))
    code, found = run(gpu, tmp_path, "--resume", str(cut), "--only", "ranks", "verbs")
    assert code == 0
    assert ran == ["verbs"]
    assert found["verbs"]["ok"]


def test_a_resumed_run_knows_the_bandwidths(gpu, tmp_path):
    cut = tmp_path / "gpu-cut.json"
    bandwidths = {"device": {"bytes_per_s": 1e12}, "bus": {"bytes_per_s": 5e10}}
    cut.write_text(json.dumps({"bandwidths": {"ok": True, "found": bandwidths}}))
    code, found = run(gpu, tmp_path, "--resume", str(cut), "--only", "ranks")
    assert code == 0
    timed = found["ranks"]["found"]["float32, uniform, ties first"]
    assert timed["fraction_of_device"] == timed["bytes"] / timed["median_s"] / 1e12


def test_a_round_that_does_not_fit_costs_no_other_its_time(gpu, tmp_path, monkeypatch):
    def tiled(timing, users):
        raise MemoryError(f"no room for {users} users")

    monkeypatch.setattr(gpu.gpu_timing.Timing, "tiled", tiled)
    code, found = run(gpu, tmp_path, "--only", "rounds")
    assert code == 0, found
    assert "no room" in found["rounds"]["found"]["device, float32, most users"]["error"]
    assert found["rounds"]["found"]["pinned host, float32"]["median_s"] > 0


def test_wrong_ranks_are_a_failure(gpu, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu.gpu_timing.NumpyEngine, "rank", lambda *_: np.zeros((30, 40)))
    code, found = run(gpu, tmp_path, "--only", "ranks")
    assert code == 1
    assert found["ranks"]["error"].startswith("AssertionError")


def test_parity_is_the_verdict_of_pytest(gpu, tmp_path):
    test = "tests/engines/gpu/test_gpu_library.py::test_kernels_are_found_beside_the_package"
    code, found = run(gpu, tmp_path, "--only", "parity", "--tests", test)
    assert code == 0, found
    assert "passed" in found["parity"]["found"]["summary"][0]
    assert "numpy,cpu,gpu" in found["parity"]["found"]["command"]


@pytest.mark.parametrize(
    ("script", "code", "verdict"),
    [
        ("echo '===== ERROR SUMMARY: 0 errors'; echo 'small round: equal'", 0, {"clean": True}),
        ("echo '===== ERROR SUMMARY: 2 errors'; exit 99", 1, {"clean": False, "refused": False}),
        ("echo 'Device not supported'; exit 1", 0, {"clean": False, "refused": True}),
    ],
)
def test_sanitizers_are_heard(gpu, tmp_path, monkeypatch, script, code, verdict):
    tool = tmp_path / "compute-sanitizer"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setattr(gpu, "SANITIZERS", (str(tool),))
    done, found = run(gpu, tmp_path, "--only", "sanitizers")
    assert done == code
    for check in gpu.TOOLS:
        assert verdict.items() <= found["sanitizers"]["found"][check].items()


def test_an_absent_sanitizer_is_said(gpu, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "SANITIZERS", (str(tmp_path / "none"),))
    code, found = run(gpu, tmp_path, "--only", "sanitizers")
    assert code == 0
    assert "absent" in found["sanitizers"]["found"]["memcheck"]


def test_the_sanitizers_command_is_the_small_round(gpu, monkeypatch):
    commands = []
    monkeypatch.setattr(gpu, "SANITIZERS", (sys.executable,))
    monkeypatch.setattr(
        gpu, "_run", lambda command, _: commands.append(command) or {"exit": 1, "output": ""}
    )
    gpu.sanitizers()
    assert [command[2] for command in commands] == list(gpu.TOOLS)
    assert all(
        command[-3:] == ["-m", "benchmarks.large.gpu", "--small-round"] for command in commands
    )
