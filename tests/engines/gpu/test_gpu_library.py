"""Whatever is missing for a GPU is said in one sentence, with what to install."""

import re
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import pytest

from mmc_gpu.cli.doctor import findings
from mmc_gpu.engines import load_engine
from mmc_gpu.engines.gpu import card as gpu_card
from mmc_gpu.engines.gpu import library as gpu_library
from mmc_gpu.engines.gpu.kernels import FAMILIES
from mmc_gpu.errors import EngineUnavailable


class CUDARuntimeError(RuntimeError):
    def __init__(self, status):
        self.status = status
        super().__init__(f"error {status}")


def raising(error):
    def call(*_, **__):
        raise error

    return call


def make_cupy(
    *, count=lambda: 1, driver=13000, built=13000, nvrtc=lambda: (13, 0), version="14.2.0"
):
    cupy = ModuleType("cupy")
    cupy.__version__ = version
    cupy.cuda = SimpleNamespace(
        runtime=SimpleNamespace(
            CUDARuntimeError=CUDARuntimeError,
            getDeviceCount=count,
            driverGetVersion=lambda: driver,
            runtimeGetVersion=lambda: built,
        ),
        nvrtc=SimpleNamespace(getVersion=nvrtc),
    )
    return cupy


@pytest.fixture
def present(monkeypatch):
    """Make this `cupy`, and these wheels of it, what is installed."""

    def make(cupy, *wheels):
        monkeypatch.setitem(sys.modules, "cupy", cupy)
        monkeypatch.setattr(gpu_library, "version_of", lambda wheel: wheel in wheels)

    return make


def test_a_whole_installation_is_returned(present):
    cupy = make_cupy()
    present(cupy, "cupy-cuda13x")
    assert gpu_library.load_cupy() is cupy


@pytest.mark.parametrize(
    ("cupy", "sentence"),
    [
        (None, r"CuPy is not installed: pip install 'mmc-gpu\[cuda13x\]' .*'mmc-gpu\[cuda12x\]'"),
        (
            make_cupy(version="13.6.0"),
            r"CuPy 13\.6\.0 is too old: pip install --upgrade cupy-cuda13x",
        ),
        (
            make_cupy(count=raising(CUDARuntimeError(35)), driver=0),
            "no NVIDIA driver was found: install one",
        ),
        (
            make_cupy(count=raising(CUDARuntimeError(35)), driver=12040),
            r"driver supports CUDA 12\.4 and this CuPy needs 13\.0: update the driver, or pip",
        ),
        (make_cupy(count=raising(CUDARuntimeError(100))), r"no GPU can be used \(error 100\)"),
        (make_cupy(count=lambda: 0), "no GPU is visible: see nvidia-smi and CUDA_VISIBLE_DEVICES"),
        (
            make_cupy(nvrtc=raising(RuntimeError("no libnvrtc.so.13"))),
            r"missing: pip install 'nvidia-cuda-nvrtc==13\.\*' 'nvidia-cuda-runtime==13\.\*'",
        ),
        (
            make_cupy(nvrtc=raising(ImportError("no libnvrtc.so.12")), built=12060),
            "missing: pip install nvidia-cuda-nvrtc-cu12 nvidia-cuda-runtime-cu12",
        ),
    ],
)
def test_what_is_missing_is_named_with_its_remedy(present, cupy, sentence):
    present(cupy, "cupy-cuda13x")
    with pytest.raises(EngineUnavailable, match=sentence) as caught:
        load_engine("gpu")
    assert "\n" not in str(caught.value)


def test_two_wheels_of_cupy_are_an_error(present):
    present(make_cupy(), "cupy-cuda12x", "cupy-cuda13x")
    remedy = "pip uninstall cupy-cuda12x cupy-cuda13x, then pip install"
    with pytest.raises(EngineUnavailable, match=remedy):
        gpu_library.load_cupy()


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            ImportError("libcublas.so.13: no such file\nmore"),
            r"damaged \(ImportError: libcublas\.so\.13: no such",
        ),
        (PermissionError(13, "no", "/root/.cupy"), "set CUPY_CACHE_DIR to a writable one"),
    ],
)
def test_a_cupy_that_cannot_be_imported_is_an_error(present, monkeypatch, error, sentence):
    class Finder:
        def find_spec(self, name, path=None, target=None):
            if name == "cupy":
                raise error

    present(None, "cupy-cuda13x")
    monkeypatch.delitem(sys.modules, "cupy")
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    with pytest.raises(EngineUnavailable, match=sentence):
        gpu_library.load_cupy()


def test_a_missing_dependency_of_cupy_is_named(present, monkeypatch):
    class Finder:
        def find_spec(self, name, path=None, target=None):
            if name == "cupy":
                raise ModuleNotFoundError("No module named 'fastrlock'", name="fastrlock")

    present(None, "cupy-cuda13x")
    monkeypatch.delitem(sys.modules, "cupy")
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    remedy = "damaged .*No module named 'fastrlock'.*: pip uninstall cupy-cuda13x, then pip install"
    with pytest.raises(EngineUnavailable, match=remedy):
        gpu_library.load_cupy()


def test_a_card_that_is_too_old_is_an_error(make_engine, monkeypatch):
    make_engine()
    monkeypatch.setattr(gpu_card, "_OLDEST", 101)
    with pytest.raises(
        EngineUnavailable, match=r"compute capability 9\.0\) is too old, the .* 10\.1"
    ):
        load_engine("gpu")


def test_a_card_whose_memory_others_have_is_an_error(make_engine):
    cupy = make_engine()._cupy
    sentence = r"cannot be used \(cudaErrorMemoryAllocation.*\): see with nvidia-smi"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cupy.cuda, "Stream", raising(cupy.cuda.runtime.CUDARuntimeError(2)))
        with pytest.raises(EngineUnavailable, match=sentence):
            load_engine("gpu")


def test_doctor_names_the_card_and_its_memory(make_engine):
    make_engine(memory=3 << 30)
    found = dict(findings())
    assert found["engine gpu"] == "works: it scored a small round"
    memory = "3.2 GB free of 3.2 GB; it ranked three values"
    assert found["GPU 0 (No GPU, compute capability 9.0)"] == memory


@pytest.mark.parametrize(
    ("rank", "sentence"),
    [
        (raising(RuntimeError("no kernel image\nmore")), r"\(RuntimeError: no kernel image\)"),
        (raising(RuntimeError), r"could not rank three values \(RuntimeError\)"),
        (lambda card, series, ties: series, r"wrongly, as \[\[0\.3, 0\.1, 0\.3\]\]"),
    ],
)
def test_doctor_says_that_a_gpu_cannot_run_a_kernel(make_engine, monkeypatch, rank, sentence):
    make_engine()
    monkeypatch.setattr(gpu_card.Card, "rank", rank)
    found = dict(findings())["engine gpu"]
    assert found.startswith("cannot run: GPU 0 (No GPU, compute capability 9.0) ")
    assert re.search(sentence, found)
    assert "\n" not in found


def test_the_engines_can_be_listed_without_importing_cupy():
    script = (
        "import sys, mmc_gpu.engines, mmc_gpu.engines.gpu.engine; assert 'cupy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_kernels_are_found_beside_the_package():
    for family in set(FAMILIES.values()):
        assert "__global__" in gpu_library.kernel_source(family)
        assert "#include" not in gpu_library.kernel_source(family)
