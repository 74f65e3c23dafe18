"""What a cluster costs is measured, and the scale on paper is arithmetic that adds up."""

import sys
from pathlib import Path

import pytest

for needed in ("psutil", "cpuinfo", "threadpoolctl", "matplotlib"):
    pytest.importorskip(needed, reason=f"pip install '.[bench]' brings {needed}")
sys.path.append(str(Path(__file__).parents[2]))  # benchmarks/ is not installed

from benchmarks.large import cluster
from benchmarks.publish import scale
from benchmarks.publish.markdown import README
from benchmarks.publish.results import newest
from benchmarks.publish.scale import GROUP, Rates, Work


def test_the_benchmark_runs_on_a_tiny_round(nodes, tmp_path):
    found = cluster.measure(tmp_path, users=1500, stocks=20, turns=1, workers=(1, 2))
    assert [run["workers"] for run in found["runs"]] == [1, 2]
    for run in found["runs"]:
        assert run["overhead"] == run["cluster_s"] / run["alone_s"] - 1
    assert min(found[rate] for rate in ("block_s", "bytes_per_s", "sums_bytes_per_s")) > 0
    full = newest()
    if full is not None:
        machine = found["machine"] | {"cores": 2}
        assert "| 2 |" in scale.section(full, found | {"machine": machine})


def test_the_arithmetic_adds_up():
    rates = Rates(cores=2, prediction=2e-9, draw=1e-10, bus=1e10, block=0.01, shipped=1e8, sums=1e9)
    work = Work(rounds=10, users=10 * GROUP, stocks=1000, draws=30)
    assert (work.groups, work.blocks) == (60, 160)
    assert work.sums == 60 * 31 * 1000 * 8
    compute = 10 * 10_240 * 1000 * (2e-9 + 10 * 1e-10)
    assert work.seconds(rates, 1) == pytest.approx(compute)
    driver = 160 * 0.01 + work.sums / 1e8 + work.sums / 1e9
    probes = 4 * 33 * 1000 * 4 * 10 / 1e8
    assert work.seconds(rates, 4) == pytest.approx(compute / 4 + driver + probes)


def test_readme_shows_the_newest_results():
    readme = README.read_text("utf-8")
    assert scale.filled(readme) == readme
