"""A real Ray on this machine: the same bits, whatever dies."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from packed_rounds import GROUPS, METHOD, damage, expected, job, make_packed
from pandas.testing import assert_frame_equal
from typer.testing import CliRunner

import mmc_gpu
from mmc_gpu.cli.app import app
from mmc_gpu.cli.nights import score_many
from mmc_gpu.cli.runs import Run
from mmc_gpu.cluster import rounds
from mmc_gpu.cluster.ray_pool import Cluster, RayPool
from mmc_gpu.cluster.round_blocks import BLEND, SCORE
from mmc_gpu.cluster.rounds import score_in_blocks
from mmc_gpu.errors import EngineUnavailable, RoundError
from mmc_gpu.files.rounds.read import read_round


class TestWithoutACluster:
    def test_a_round_that_is_not_packed_is_refused(self):
        with pytest.raises(ValueError, match="open_round"):
            mmc_gpu.score_round(np.ones((3, 3)), cluster="local")

    def test_the_extra_is_named(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "ray", None)
        with pytest.raises(EngineUnavailable, match=r"pip install 'mmc-gpu\[ray\]'"):
            RayPool(Cluster(), "numpy")

    @pytest.mark.parametrize(
        "address", ["127.0.0.1:1", "ray://127.0.0.1:1", "[::1]:1", "nowhere.invalid:6379", "..:1"]
    )
    def test_an_address_where_nobody_listens_is_said_at_once(self, monkeypatch, address):
        nothing = SimpleNamespace(RayError=RuntimeError)  # Ray reads its variables when imported
        ray = SimpleNamespace(is_initialized=lambda: False, exceptions=nothing)
        monkeypatch.setitem(sys.modules, "ray", ray)
        with pytest.raises(EngineUnavailable, match=f"Ray at {re.escape(address)}: "):
            RayPool(Cluster(address), "numpy")

    def test_what_is_no_cluster_is_refused(self):
        for odd in (3, "", ["local"]):
            with pytest.raises(ValueError, match="cluster must be an address"):
                mmc_gpu.score_round(np.ones((3, 3)), cluster=odd)
        for option in ("workers", "threads"):
            for odd in (0, -1, 1.5, "2", True):
                with pytest.raises(ValueError, match=f"{option} must be a whole number"):
                    Cluster(**{option: odd})

    def test_an_address_without_authentication_is_warned_of(self, monkeypatch):
        monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
        assert Cluster("local").warning() is None
        assert "CVE-2023-48022" in Cluster("10.0.0.1:6379").warning()
        monkeypatch.setenv("RAY_AUTH_MODE", "token")
        assert Cluster("10.0.0.1:6379").warning() is None


def assert_same(one, other):
    assert one.labels == other.labels
    for table in ("eras", "counts", "faults", "summary"):
        assert_frame_equal(getattr(one, table), getattr(other, table), check_exact=True)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")
class TestRay:
    def score(self, round_, **options):
        with RayPool(Cluster("auto"), "numpy") as pool:
            return score_in_blocks(job(round_), pool, draws=False, **options)

    @pytest.mark.parametrize("partitions", [1, 2, 6, GROUPS])
    def test_any_number_of_blocks_gives_the_digest_of_one_process(self, nodes, large, partitions):
        round_, digest = large
        made = job(round_, rows=-(-GROUPS // partitions) * 1024)
        with RayPool(Cluster("auto"), "numpy") as pool:
            assert score_in_blocks(made, pool, draws=False).digest == digest

    def test_from_python(self, nodes, packed):
        scores = mmc_gpu.score_round(
            mmc_gpu.open_round(packed), draws=3, engine="numpy", cluster="auto"
        )
        assert scores.digest == expected(packed)
        assert scores.draws.shape == (2, 3200, 3)

    def test_a_worker_killed_in_a_block_changes_nothing(self, nodes, packed, tmp_path, monkeypatch):
        def killed_once(job, number, probes, folder=str(tmp_path)):
            if number == 1 and not os.path.exists(f"{folder}/killed"):  # noqa: PTH110
                Path(folder, "killed").touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return rounds.score_users(job, number, probes)

        monkeypatch.setattr(rounds, "score_users", killed_once)
        assert self.score(read_round(packed).round).digest == expected(packed)
        assert (tmp_path / "killed").exists()

    def test_a_block_that_kills_every_worker_is_named(self, nodes, packed, monkeypatch):
        def killed(job, number):
            os.kill(os.getpid(), signal.SIGKILL)

        monkeypatch.setattr(rounds, "blend_block", killed)
        with pytest.raises(RoundError, match=r"blend block \d, users 'user_.*WorkerCrashed"):
            self.score(read_round(packed).round)

    def test_a_damaged_row_names_its_user_who_can_be_left_out(self, nodes, packed, tmp_path):
        user = damage(packed, 5)
        command = ["score", str(packed), "--draws", "3", "--engine", "numpy", "--cluster", "auto"]
        done = CliRunner().invoke(app, [*command, "--on-error", "fail"])
        assert isinstance(done.exception, RoundError)
        assert done.exception.user == user
        done = CliRunner().invoke(app, [*command, "-o", str(tmp_path / "out")])
        assert done.exit_code == 4, done.output
        assert user in (tmp_path / "out/quarantine.csv").read_text()

    def test_eras(self, nodes, eras, tmp_path):
        path, options = eras
        one, many = (mmc_gpu.evaluate(path, **options, cluster=c) for c in (None, "auto"))
        assert_same(one, many)
        command = [
            "evaluate", str(path), "--cluster", "auto", "--engine", "numpy", "--model", "a",
            "--format", "csv", "-o", str(tmp_path / "out"),
        ]  # fmt: skip
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output
        alone = mmc_gpu.evaluate(path, models=["a"], engine="numpy").eras
        assert_frame_equal(pd.read_csv(tmp_path / "out/eras.csv"), alone)
        assert [found.name for found in tmp_path.iterdir()] == ["out"]

    def test_many_rounds(self, nodes, packed, tmp_path):
        other = make_packed(tmp_path / "other", 1500, 30, 1100)
        empty = tmp_path / "empty"
        empty.mkdir()
        with RayPool(Cluster("auto"), "numpy") as pool:
            run = Run(METHOD, "numpy", pool=pool, threads=1)
            outcomes = list(score_many(run, [packed, empty, other], tmp_path / "out"))
            again = list(score_many(run, [packed, other], tmp_path / "out"))
        found = [outcome.outline and outcome.outline.digest for outcome in outcomes]
        assert found == [expected(packed), None, expected(other)]
        assert outcomes[1].error.code == "round-layout"
        assert [outcome.state for outcome in again] == ["finished"] * 2

    def test_a_worker_has_as_many_threads_as_it_takes_cores(self, nodes):
        def own(job, number):
            names = ("MMC_GPU_THREADS", "OMP_NUM_THREADS")
            return " ".join(os.environ[name] for name in names).encode()

        with RayPool(Cluster("auto"), "numpy") as pool:
            found = dict(pool.run(own, iter(range(2)), ((),)))
        assert set(found.values()) == {b"1 1"}

    def test_a_gpu_each(self, nodes):
        def gpu(job, number):
            time.sleep(0.2)
            return f"{os.getpid()} {os.environ['CUDA_VISIBLE_DEVICES']}".encode()

        with RayPool(Cluster("auto"), "gpu") as pool:
            found = dict(pool.run(gpu, iter(range(4)), ((),)))
        assert all(re.fullmatch(rb"\d+ 0", text) for text in found.values()), found
        with pytest.raises(EngineUnavailable, match="3 GPUs"):
            RayPool(Cluster("auto", gpus=3), "gpu")

    def test_a_killed_driver_that_is_started_again_goes_on(self, nodes, large, tmp_path):
        round_, digest = large
        packed, out, keep = round_.predictions.folder, tmp_path / "out", tmp_path / ".out.blocks"
        command = [
            sys.executable, "-m", "mmc_gpu", "score", str(packed), "-o", str(out), "--draws", "3",
            "--engine", "numpy", "--cluster", nodes.address, "--workers", "1",
            "--memory", "0.0001",
        ]  # fmt: skip
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            while process.poll() is None and not list(keep.rglob("blend-000002")):
                time.sleep(0.001)
            process.kill()
        assert process.returncode == -signal.SIGKILL
        finished = {path.name for path in keep.rglob("blend-0000??")}
        assert "blend-000002" in finished

        ran = []
        with RayPool(Cluster("auto"), "numpy") as pool:
            run_all = pool.run

            def run(function, numbers, shared):
                for number, found in run_all(function, numbers, shared):
                    stage = BLEND if function is rounds.blend_block else SCORE
                    ran.append(f"{stage}-{number:06d}")
                    yield number, found

            pool.run = run
            again = Run(METHOD, "numpy", pool=pool, threads=1, memory=107_374)
            scores = again.score(packed, out)
        assert scores.digest == digest
        assert not finished & set(ran)
        assert {f"blend-{number:06d}" for number in range(GROUPS)} == finished | {
            name for name in ran if name.startswith("blend")
        }
        assert not keep.exists()

    def test_a_node_that_goes_changes_nothing(self, nodes, large):
        round_, digest = large
        node = nodes.add_node(num_cpus=1, object_store_memory=80 * 2**20)
        gone = []

        def report(stage, done, total):
            if stage == SCORE and not gone:
                nodes.remove_node(node, allow_graceful=False)
                gone.append(done)

        assert self.score(round_, progress=report).digest == digest
        assert gone[0] < len(round_.users)


def test_tokens_are_switched_on_as_the_readme_says(packed, tmp_path, monkeypatch):
    """Two nodes with a token: who has it scores, who has not is refused."""
    pytest.importorskip("ray", reason="the extra ray is not installed")
    root = Path(__file__).parents[2]
    readme = (root / "mmc_gpu/cluster/README.md").read_text("utf-8")
    (block,) = re.findall(r"^export RAY_AUTH_MODE=token\n(.*?)^```", readme, re.M | re.S)
    generate, head, node, scored = (line.partition("#")[0].split() for line in block.splitlines())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    for name, text in ("RAY_AUTH_MODE", "token"), ("HOME", tmp_path), ("PYTHONPATH", root):
        monkeypatch.setenv(name, str(text))
    modules = {"ray": "ray.scripts.scripts", "mmc-gpu": "mmc_gpu"}
    places = {"HEAD:6379": f"127.0.0.1:{port}", "PACKED": str(packed)}

    def command(words, *more):
        rest = [places.get(word, word) for word in words[1:]]
        return [sys.executable, "-m", modules[words[0]], *rest, *more]

    small = ("--block", "--num-cpus=1", f"--object-store-memory={80 * 2**20}")
    own = ("--draws", "3", "--engine", "numpy")
    subprocess.run(command(generate), check=True, capture_output=True)
    with contextlib.ExitStack() as running:
        for words, more in (head, [f"--port={port}", "--include-dashboard=false"]), (node, []):
            started = subprocess.Popen(command(words, *small, *more), stdout=subprocess.DEVNULL)
            running.callback(started.wait)
            running.callback(started.terminate)
            wait_for(f"127.0.0.1:{port}")
        done = subprocess.run(
            command(scored, *own), cwd=tmp_path, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        assert "CVE" not in done.stderr
        monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
        refused = subprocess.run(
            command(scored, *own), cwd=tmp_path, capture_output=True, text=True, timeout=120
        )
    assert expected(packed) in (tmp_path / "RESULT/receipt.json").read_text()
    assert refused.returncode == 3
    assert "CVE-2023-48022" in refused.stderr


def wait_for(address):
    host, port = address.split(":")
    for _ in range(300):
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 1):
            return
        time.sleep(0.2)
    raise TimeoutError(address)
