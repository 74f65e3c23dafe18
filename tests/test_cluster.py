"""A round in blocks: the same bits for any number of them, from whatever workers, whatever dies."""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import mmc_gpu
from mmc_gpu.cli import app
from mmc_gpu.cluster import rounds
from mmc_gpu.cluster.pools import HerePool
from mmc_gpu.cluster.ray_pool import Cluster, RayPool
from mmc_gpu.cluster.rounds import BLEND, SCORE, RoundJob, score_in_blocks
from mmc_gpu.cluster.sealed import Store, seal, unseal
from mmc_gpu.cluster.shards import Shard, merge_shards, run_shard
from mmc_gpu.errors import EngineUnavailable, RoundError
from mmc_gpu.files.packed_writer import Batch, PackedWriter
from mmc_gpu.files.round_folder import read_round
from mmc_gpu.files.runs import Run
from mmc_gpu.method import Method
from mmc_gpu.scoring import score
from mmc_gpu.stakes import Stakes
from mmc_gpu.targets import Targets

GROUPS = 61
STOCKS = 5
METHOD = Method(draws=3)


def make_packed(folder, users, stocks, staked):
    rng = np.random.default_rng(5)
    ids = [f"n{number:03d}" for number in range(stocks)]
    names = [f"user_{number:06d}" for number in rng.permutation(users)]
    matrix = rng.random((users, stocks)).astype(np.float32)
    with PackedWriter(folder, None, ids) as writer:
        zeros = np.zeros(users, int)
        writer.add(Batch(names, [bytes(32)] * users, matrix, zeros, {}, set()))
        stakes = {name: float(rng.exponential()) + 0.01 for name in names[:staked]}
        target = rng.choice([0.0, 0.25, 0.5, 0.75, 1.0], stocks)
        writer.finish(Stakes(stakes), Targets(ids, {"target": target, "b": target**2}), [])
    return folder


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A round of 61 groups of stakers, and its digest from one process."""
    folder = tmp_path_factory.mktemp("large") / "packed"
    make_packed(folder, GROUPS * 1024 + 70, STOCKS, GROUPS * 1024 - 5)
    round_ = read_round(folder).round
    return round_, score(round_, METHOD, mmc_gpu.load_engine("numpy"), draws=False).digest


@pytest.fixture
def packed(tmp_path):
    """A round of 4 blocks, 3 of them of stakers; to be damaged at will."""
    return make_packed(tmp_path / "packed", 4000, 20, 2500)


def expected(packed, method=METHOD):
    return score(read_round(packed).round, method, mmc_gpu.load_engine("numpy")).digest


def job(round_, **options):
    return RoundJob.of(round_, METHOD, "numpy", **({"rows": 1024} | options))


class RecordingPool(HerePool):
    """Notes which blocks were computed; fails some, as often as told."""

    def __init__(self, failures=None):
        self.ran, self.failures = [], failures or {}

    def run(self, function, numbers, shared):
        for number, found in super().run(function, numbers, shared):
            name = (BLEND if function is rounds.blend_block else SCORE, number)
            self.ran.append(name)
            if self.failures.get(name, 0):
                self.failures[name] -= 1
                found = MemoryError("no more of it")
            yield number, found


class TamperingPool(RecordingPool):
    """Changes block 1 of a pass before it arrives, so many times."""

    def __init__(self, stage, change, times=1):
        super().__init__()
        self.stage, self.change, self.times = stage, change, times

    def run(self, function, numbers, shared):
        for number, found in super().run(function, numbers, shared):
            if self.ran[-1] == (self.stage, 1) and self.times:
                self.times -= 1
                found = self.change(found)
            yield number, found


class TestTheSameBits:
    @pytest.mark.parametrize("partitions", [1, 2, 7, 61])
    def test_for_any_number_of_blocks(self, large, partitions):
        round_, digest = large
        made = job(round_, rows=-(-GROUPS // partitions) * 1024)
        assert len(made.numbers(BLEND)) == partitions
        assert score_in_blocks(made, HerePool(), draws=False).digest == digest

    @pytest.mark.parametrize(
        "method", [Method(draws=2, blend="ranked"), Method(draws=1, ties="average")]
    )
    def test_for_other_methods(self, packed, method, engine):
        round_ = read_round(packed, blend=method.blend).round
        made = RoundJob.of(round_, method, engine.name, rows=1024, draws=True)
        one = score(round_, method, mmc_gpu.load_engine("numpy"))
        scores = score_in_blocks(made, HerePool())
        assert scores.digest == one.digest
        assert scores.engine == engine.name
        np.testing.assert_array_equal(scores.draws, one.draws)
        np.testing.assert_array_equal(scores.meta_model_corr, one.meta_model_corr)
        np.testing.assert_array_equal(scores.corr_with_meta_model, one.corr_with_meta_model)

    def test_blocks_come_back_in_any_order(self, packed):
        class Backwards(HerePool):
            def run(self, function, numbers, shared):
                yield from reversed(list(super().run(function, numbers, shared)))

        round_ = read_round(packed).round
        scores = score_in_blocks(job(round_), Backwards(), draws=False)
        assert scores.digest == expected(packed)

    @pytest.mark.parametrize("shards", [(1, 1), (2, 7), (61, 3)])
    def test_from_shards(self, packed, tmp_path, shards):
        round_ = read_round(packed).round
        for of in shards:
            for number in reversed(range(1, of + 1)):
                run_shard(job(round_), Shard(number, of), tmp_path / "work")
            scores = merge_shards(job(round_), tmp_path / "work")
        assert scores.digest == expected(packed)


class TestWhatArrives:
    def test_a_changed_byte_breaks_the_seal(self):
        sealed = bytearray(seal("key", "a", {"x": np.arange(3)}))
        np.testing.assert_array_equal(unseal("key", "a", bytes(sealed))["x"], [0, 1, 2])
        for place in (0, 70, len(sealed) - 1):
            changed = sealed.copy()
            changed[place] ^= 1
            with pytest.raises(RoundError, match="sha256"):
                unseal("key", "a", bytes(changed))
        for label in (("key", "b"), ("other", "a")):
            with pytest.raises(RoundError, match="sha256"):
                unseal(*label, bytes(sealed))

    @pytest.mark.parametrize("stage", [BLEND, SCORE])
    def test_a_tampered_block_is_computed_again(self, packed, stage):
        round_ = read_round(packed).round
        pool = TamperingPool(stage, lambda sealed: sealed[:-1] + bytes([sealed[-1] ^ 1]))
        assert score_in_blocks(job(round_), pool, draws=False).digest == expected(packed)
        assert pool.ran.count((stage, 1)) == 2

    def test_a_block_of_another_job_is_not_taken(self, packed):
        round_ = read_round(packed).round
        other = replace(job(round_), method=Method(draws=3, seed=1))
        pool = TamperingPool(BLEND, lambda _: rounds.blend_block(other, 1), times=3)
        with pytest.raises(RoundError, match="block blend-000001: its sha256"):
            score_in_blocks(job(round_), pool)

    @pytest.mark.parametrize(
        ("stage", "name", "wrong"), [(SCORE, "zeros", 1), (BLEND, "sums", np.inf)]
    )
    def test_a_block_that_cannot_be_right_is_not_taken(self, packed, stage, name, wrong):
        round_ = read_round(packed).round
        key = job(round_).key

        def spoilt(sealed):
            arrays = dict(unseal(key, f"{stage}-000001", sealed))
            arrays[name].flat[7] += wrong
            return seal(key, f"{stage}-000001", arrays)

        with pytest.raises(RoundError, match="do not sum to 0|not finite"):
            score_in_blocks(job(round_), TamperingPool(stage, spoilt, times=3))

    def test_a_round_that_changes_meanwhile_is_refused(self, packed):
        made = replace(job(read_round(packed).round), manifest="0" * 64)
        with pytest.raises(RoundError, match="changed since"):
            rounds.blend_block(made, 0)

    def test_a_worker_of_another_version_is_refused(self, packed):
        made = replace(job(read_round(packed).round), version="0.0.1")
        with pytest.raises(EngineUnavailable, match=r"0\.0\.1 on the driver"):
            rounds.blend_block(made, 0)


class TestFaults:
    def test_only_unfinished_blocks_are_computed_again(self, packed, tmp_path):
        round_, keep = read_round(packed).round, tmp_path / "keep"
        first = RecordingPool({(SCORE, 2): 3})
        with pytest.raises(RoundError, match="score block 2"):
            score_in_blocks(job(round_), first, keep=keep, draws=False)
        damaged = next(keep.rglob("blend-000001"))
        damaged.write_bytes(damaged.read_bytes()[:-1])
        second = RecordingPool()
        scores = score_in_blocks(job(round_), second, keep=keep, draws=False)
        assert second.ran[0] == (BLEND, 1)
        assert set(second.ran) & set(first.ran) == {(BLEND, 1), (SCORE, 2)}
        assert scores.digest == expected(packed)
        assert not keep.exists()

    def test_a_block_may_fail_twice(self, packed):
        round_ = read_round(packed).round
        pool = RecordingPool({(BLEND, 0): 2, (SCORE, 1): 2})
        scores = score_in_blocks(job(round_), pool, draws=False)
        assert pool.ran.count((BLEND, 0)) == pool.ran.count((SCORE, 1)) == 3
        assert scores.digest == expected(packed)

    def test_the_third_failure_names_the_users(self, packed):
        round_ = read_round(packed).round
        with pytest.raises(
            RoundError, match=r"blend block 1, users 'user_.*worker-failed"
        ) as caught:
            score_in_blocks(job(round_), RecordingPool({(BLEND, 1): 3}))
        assert "MemoryError: no more of it" in str(caught.value)

    @pytest.mark.parametrize("staked", [True, False])
    def test_a_damaged_row_fails_the_round_or_its_user_alone(self, packed, staked):
        round_ = read_round(packed).round
        user = round_.users[0 if staked else -1]
        file = next(packed.glob("predictions-*.npy"))
        data = bytearray(file.read_bytes())
        row = int(round_.rows[round_.users.index(user)])
        data[128 + row * 20 * 4] ^= 1
        file.write_bytes(data)
        with pytest.raises(RoundError, match=user):
            score_in_blocks(job(round_), HerePool())
        scores = score_in_blocks(job(round_), HerePool(), on_error="quarantine", draws=False)
        assert [fault.user for fault in scores.quarantined] == [user]
        assert user not in scores.users
        without = read_round(packed, damaged=scores.quarantined).round
        one = score(without, METHOD, mmc_gpu.load_engine("numpy"))
        assert scores.digest == one.digest

    def test_a_file_that_shrinks_fails_the_round(self, packed):
        round_ = read_round(packed).round
        rounds.open_job(job(round_))
        os.truncate(next(packed.glob("predictions-*.npy")), 128 + 100)
        with pytest.raises(RoundError, match=r"predictions-\d+.npy: it ends"):
            score_in_blocks(job(round_), HerePool(), on_error="quarantine")


class TestShards:
    def call(self, *arguments):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    def test_on_the_command_line(self, packed, tmp_path):
        work, result, plain = (tmp_path / name for name in ("work", "result", "plain"))
        shared = ("--draws", 3)
        for _ in range(2):
            for number in (1, 2):
                done = self.call(
                    "score", packed, "--shard", f"{number}/2", "-o", work, "--engine", "numpy",
                    "--memory", 0.001, *shared,
                )  # fmt: skip
                assert done.exit_code == 0, done.output
            done = self.call("merge", packed, work, "-o", result)
            assert done.exit_code == 0, done.output
        assert self.call("score", packed, "-o", plain, *shared).exit_code == 0
        digests = [
            re.search(r'"scores_digest": "(\w+)"', (folder / "receipt.json").read_text())
            for folder in (result, plain)
        ]
        assert digests[0][1] == digests[1][1]
        assert not work.exists()

    def test_a_merge_says_what_is_missing(self, packed, tmp_path):
        round_ = read_round(packed).round
        run_shard(job(round_), Shard(1, 3), tmp_path / "work")
        with pytest.raises(RoundError, match=r"2 of 3 blend blocks .*'blend-000001'"):
            merge_shards(job(round_), tmp_path / "work")

    @pytest.mark.parametrize("text", ["", "3", "0/3", "4/3", "1/0", "a/b", "-1/3", "1/3/5"])
    def test_no_shard_is_refused(self, text):
        with pytest.raises(ValueError, match="a shard is i/n"):
            Shard.parse(text)

    @pytest.mark.parametrize("of", [1, 2, 3, 10])
    def test_shards_share_every_block(self, of):
        every = [n for number in range(1, of + 1) for n in Shard(number, of).part(7)]
        assert every == list(range(7))


class TestWithoutACluster:
    def test_a_round_that_is_not_packed_is_refused(self):
        with pytest.raises(ValueError, match="open_round"):
            mmc_gpu.score_round(np.ones((3, 3)), cluster="local")

    def test_the_extra_is_named(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "ray", None)
        with pytest.raises(EngineUnavailable, match=r"pip install 'mmc-gpu\[ray\]'"):
            RayPool(Cluster(), "numpy")

    def test_an_address_without_authentication_is_warned_of(self, monkeypatch):
        monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
        assert Cluster("local").warning() is None
        assert "CVE-2023-48022" in Cluster("10.0.0.1:6379").warning()
        monkeypatch.setenv("RAY_AUTH_MODE", "token")
        assert Cluster("10.0.0.1:6379").warning() is None

    def test_a_store_removes_its_blocks_and_nothing_else(self, tmp_path):
        store = Store(tmp_path / "store", "key")
        store.write("blend-000000", seal("key", "blend-000000", {"x": np.zeros(1)}))
        assert store.find("blend-000000")["x"] == 0
        (tmp_path / "store/thesis.txt").write_text("irreplaceable")
        store.remove()
        assert [path.name for path in (tmp_path / "store").iterdir()] == ["thesis.txt"]


@pytest.fixture(scope="module")
def nodes():
    """Two nodes of one logical core and one pretended GPU each, and a pool on them."""
    kinds = {"num_cpus": 1, "num_gpus": 1, "object_store_memory": 80 * 2**20}
    root = str(Path(mmc_gpu.__file__).parents[1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", root)
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", "0123456789abcdef" * 4)
        # Ray reads its authentication when it is imported
        ray = pytest.importorskip("ray", reason="the extra ray is not installed")
        from ray.cluster_utils import Cluster as Nodes

        nodes = Nodes(initialize_head=True, head_node_args=kinds | {"include_dashboard": False})
        nodes.add_node(**kinds)
        ray.init(address=nodes.address, logging_level="ERROR", log_to_driver=False)
        yield nodes
        ray.shutdown()
        nodes.shutdown()


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")
class TestRay:
    def score(self, round_, **options):
        with RayPool(Cluster("auto"), "numpy") as pool:
            return score_in_blocks(job(round_), pool, draws=False, **options)

    def test_many_blocks_give_the_digest_of_one_process(self, nodes, large):
        round_, digest = large
        assert self.score(round_).digest == digest

    def test_from_python(self, nodes, packed):
        scores = mmc_gpu.score_round(
            mmc_gpu.open_round(packed), draws=3, engine="numpy", cluster="auto"
        )
        assert scores.digest == expected(packed)
        assert scores.draws.shape == (2, 4000, 3)

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

    def test_a_gpu_each(self, nodes):
        def gpu(job, number):
            time.sleep(0.2)
            return f"{os.getpid()} {os.environ['CUDA_VISIBLE_DEVICES']}".encode()

        with RayPool(Cluster("auto"), "gpu") as pool:
            found = dict(pool.run(gpu, iter(range(4)), ((),)))
        assert all(re.fullmatch(rb"\d+ 0", text) for text in found.values()), found
        with pytest.raises(EngineUnavailable, match="3 GPUs"):
            RayPool(Cluster("auto", gpus=3), "gpu")

    def test_a_killed_driver_that_is_started_again_goes_on(self, nodes, packed, tmp_path):
        out = tmp_path / "out"
        keep = tmp_path / ".out.blocks"
        command = [
            sys.executable, "-m", "mmc_gpu", "score", str(packed), "-o", str(out), "--draws", "3",
            "--engine", "numpy", "--cluster", nodes.address, "--workers", "1",
            "--memory", "0.001",
        ]  # fmt: skip
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            while process.poll() is None and not list(keep.rglob("blend-000001")):
                time.sleep(0.005)
            process.kill()
        assert process.returncode == -signal.SIGKILL
        finished = {path.name for path in keep.rglob("*-00000?")}
        assert finished

        ran = []
        with RayPool(Cluster("auto"), "numpy") as pool:
            run_all = pool.run

            def run(function, numbers, shared):
                for number, found in run_all(function, numbers, shared):
                    ran.append(
                        f"{'blend' if function is rounds.blend_block else 'score'}-{number:06d}"
                    )
                    yield number, found

            pool.run = run
            again = Run(METHOD, "numpy", pool=pool, threads=1, memory=1_073_741)
            scores = again.score(packed, out)
        assert scores.digest == expected(packed)
        assert not finished & set(ran)
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
