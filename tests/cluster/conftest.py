"""Rounds and eras to work on, and a cluster of two nodes."""

import fcntl
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from packed_rounds import GROUPS, in_groups, make_packed

import mmc_gpu


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A round of 17 groups of stakers, and its digest from one process."""
    return in_groups(tmp_path_factory.mktemp("large") / "packed", GROUPS)


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    return make_packed(tmp_path_factory.mktemp("made") / "packed", 3200, 20, 2100)


@pytest.fixture
def packed(tmp_path, made):
    """A round of 4 blocks, 3 of them of stakers; to be damaged at will."""
    return shutil.copytree(made, tmp_path / "packed")


ERAS = 7


@pytest.fixture(scope="module")
def eras(tmp_path_factory):
    """A file of 7 eras of unequal sizes in row groups of 50 rows, and what evaluates it."""
    rng = np.random.default_rng(3)
    sizes = rng.integers(40, 90, ERAS)
    label = np.repeat([f"era{number}" for number in range(5, 5 + ERAS)], sizes)
    columns = {"era": label, "id": [f"n{n}" for size in sizes for n in range(size)]}
    for name in ("target", "a", "b", "meta", "base", "feature_x"):
        columns[name] = rng.random(len(label))
    columns["b"][70] = np.nan
    columns["target"][label == "era8"] = np.nan
    path = tmp_path_factory.mktemp("eras") / "eras.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=50)
    metrics = ["corr", "mmc", "bmc_each", "fnc", "cwmm", "max_feature_exposure", "churn"]
    return path, {
        "models": ["a", "b"],
        "meta_model": "meta",
        "benchmarks": ["base"],
        "features": ["feature_*"],
        "metrics": metrics,
        "engine": "numpy",
    }


@pytest.fixture(scope="module")
def one_at_a_time(tmp_path_factory):
    """Clusters of several of pytest-xdist's workers would meet at the same ports."""
    with (tmp_path_factory.getbasetemp().parent / "ray.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="module")
def nodes(one_at_a_time):
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
