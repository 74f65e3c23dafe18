"""However the import of CuPy or numba fails: there is no such engine, and `auto` goes on."""

import sys
from types import ModuleType

import pytest

from mmc_gpu import engines
from mmc_gpu.engines import load_engine
from mmc_gpu.engines.gpu import library
from mmc_gpu.errors import EngineUnavailable

FAILURES = [
    OSError(30, "Read-only file system", "/home/u/.cupy"),
    FileNotFoundError(2, "No such file or directory", "/proc/home"),
    NotADirectoryError(20, "Not a directory", "/dev/null/home"),
    PermissionError(13, "Permission denied", "/root/.cupy"),
    OSError(28, "No space left on device"),
    OSError("libcuda.so.1: cannot open shared object file"),
    ImportError("Numba needs NumPy 2.4 or less. Got NumPy 2.5.\nmore"),
    ModuleNotFoundError("No module named 'llvmlite'", name="llvmlite"),
    RuntimeError("CuPy failed to load\n\n====\n"),
    AttributeError("partially initialized module has no attribute 'core'"),
    ValueError("numpy.dtype size changed, may indicate binary incompatibility"),
    TypeError("unhashable"),
    SyntaxError("invalid syntax"),
    SystemError("initialization failed"),
    NameError("name 'x' is not defined"),
    KeyError("HOME"),
    RuntimeError(),
]


@pytest.fixture
def failing(monkeypatch):
    """Let the import of a module fail with an error."""

    def fail(name, error):
        class Finder:
            def find_spec(self, asked, path=None, target=None):
                if asked == name:
                    raise error

        monkeypatch.delitem(sys.modules, name, raising=False)
        monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])

    return fail


@pytest.mark.parametrize("error", FAILURES, ids=repr)
@pytest.mark.parametrize("installed", [[], ["cupy-cuda12x"]])
def test_without_cupy_there_is_no_gpu(failing, monkeypatch, error, installed):
    failing("cupy", error)
    monkeypatch.setattr(library, "version_of", lambda wheel: wheel in installed)
    assert load_engine("auto").name in ("cpu", "numpy")
    with pytest.raises(EngineUnavailable) as caught:
        load_engine("gpu")
    said = str(caught.value)
    assert "\n" not in said
    assert "uninstall ," not in said
    if getattr(error, "errno", None):
        assert "CUPY_CACHE_DIR" in said
    else:
        assert "pip install 'mmc-gpu[cuda13x]'" in said
        assert ("uninstall cupy-cuda12x, then" in said) == bool(installed)
    assert str(error).split("\n")[0] in said


@pytest.fixture(params=[False, True], ids=["not compiled", "compiled"])
def needed(monkeypatch, request):
    """The library that the cpu engine needs: numba, where its kernels are not compiled yet."""
    monkeypatch.setattr(engines, "kernels_are_kept", lambda: request.param)
    return "llvmlite.binding" if request.param else "numba"


@pytest.mark.parametrize("error", FAILURES, ids=repr)
def test_without_numba_auto_takes_numpy(failing, needed, error):
    failing(needed, error)
    failing("cupy", ModuleNotFoundError("No module named 'cupy'", name="cupy"))
    assert load_engine("auto").name == "numpy"
    with pytest.raises(
        EngineUnavailable, match=r"numba cannot be imported .*: pip install"
    ) as caught:
        load_engine("cpu")
    assert "\n" not in str(caught.value)


def test_a_numba_that_is_not_there_is_no_damage(failing, monkeypatch):
    monkeypatch.setattr(engines, "kernels_are_kept", lambda: False)
    failing("numba", ModuleNotFoundError("No module named 'numba'", name="numba"))
    with pytest.raises(EngineUnavailable, match="needs numba: pip install numba"):
        load_engine("cpu")


def test_where_kernels_are_compiled_numba_is_not_needed(failing, monkeypatch):
    monkeypatch.setattr(engines, "kernels_are_kept", lambda: True)
    failing("numba", ImportError("Numba needs NumPy 2.4 or less. Got NumPy 2.5."))
    assert load_engine("cpu").name == "cpu"


def test_a_folder_named_cupy_is_no_gpu(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", ModuleType("cupy"))
    monkeypatch.setattr(library, "version_of", lambda wheel: False)
    assert load_engine("auto").name in ("cpu", "numpy")
    with pytest.raises(EngineUnavailable, match=r"damaged .*: remove the folder cupy, then pip"):
        load_engine("gpu")


def test_what_cuda_raises_besides_is_no_gpu(monkeypatch):
    class Runtime:
        class CUDARuntimeError(RuntimeError):
            pass

        @staticmethod
        def getDeviceCount():
            raise OSError("libcudart.so.13: cannot open shared object file")

    cupy = ModuleType("cupy")
    cupy.__version__, cupy.cuda = "14.2.0", ModuleType("cuda")
    cupy.cuda.runtime = Runtime
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setattr(library, "version_of", lambda wheel: False)
    assert load_engine("auto").name in ("cpu", "numpy")
    with pytest.raises(EngineUnavailable, match=r"CUDA cannot be used .*libcudart.*: pip install"):
        load_engine("gpu")


@pytest.mark.parametrize(("name", "needed_by"), [("cupy", "gpu"), ("llvmlite.binding", "cpu")])
def test_a_stop_at_the_import_is_not_taken_for_damage(failing, monkeypatch, name, needed_by):
    monkeypatch.setattr(engines, "kernels_are_kept", lambda: True)
    failing(name, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        load_engine(needed_by)
