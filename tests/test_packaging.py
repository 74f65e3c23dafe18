"""The kernels travel with the package, however it is installed."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from mmc_gpu.version import __version__

pytest.importorskip("hatchling", reason="the extra `test` has hatchling")

ROOT = Path(__file__).parents[1]
LIST = (
    "from mmc_gpu.engines.gpu.library import kernel_folder, kernel_source;"
    "names = sorted(f.name for f in kernel_folder().iterdir() if f.name.endswith('.cu'));"
    "assert all('__global__' in kernel_source(name[:-3]) for name in names);"
    "print(*names); print(kernel_folder())"
)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the sources and nothing else."""
    folder = tmp_path_factory.mktemp("sources") / "checkout"
    made = (
        ".git",
        ".venv*",
        ".*cache",
        ".benchmarks",
        ".hypothesis",
        "__pycache__",
        "dist",
        "build",
    )
    return Path(shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*made)))


@pytest.fixture(scope="module")
def kernels():
    return [path.name for path in sorted((ROOT / "kernels").glob("*.cu"))]


def build(checkout, out, *kinds):
    """Build with the backend that pyproject.toml names, without a network; return each file.

    Each kind has a folder of its own: a wheel and that of an editable install have one name.
    """
    code = (
        "import os, sys, hatchling.build as build\n"
        "for kind in sys.argv[2:]:\n"
        "    folder = os.path.join(sys.argv[1], kind)\n"
        "    os.mkdir(folder)\n"
        "    print(os.path.join(folder, getattr(build, f'build_{kind}')(folder)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, out, *kinds],
        cwd=checkout,
        env=os.environ | {"SOURCE_DATE_EPOCH": "1700000000"},
        capture_output=True,
        text=True,
        check=True,
    )
    return [Path(path) for path in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def built(checkout, tmp_path_factory):
    """The wheel and the sdist of the checkout, and the wheel of an editable install of it."""
    return build(checkout, tmp_path_factory.mktemp("built"), "wheel", "sdist", "editable")


@pytest.fixture(scope="module")
def unpacked(built, tmp_path_factory):
    """What the sdist holds."""
    folder = tmp_path_factory.mktemp("unpacked")
    shutil.unpack_archive(built[1], folder, filter="data")
    return next(folder.iterdir())


@pytest.fixture(scope="module")
def names(built):
    """Return the names of what the wheel holds."""
    return set(zipfile.ZipFile(built[0]).namelist())


def installed(folder):
    """Return the kernels and where they lie, as a fresh process sees them with folder first."""
    environment = os.environ | {
        "PYTHONPATH": f"{folder}{os.pathsep}{sysconfig.get_path('purelib')}"
    }
    done = subprocess.run(
        [sys.executable, "-c", LIST],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    names, place = done.stdout.split("\n")[:2]
    return names.split(), Path(place)


def test_the_version_is_the_first_of_the_changelog_and_the_wheels(built):
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert re.search(r"^## (\S+) \(20\d\d-\d\d-\d\d\)$", changelog, re.MULTILINE)[1] == __version__
    assert built[0].name.startswith(f"mmc_gpu-{__version__}-")


def test_bare_checkout(checkout, kernels):
    names, place = installed(checkout)
    assert names == kernels
    assert place == checkout / "kernels"


def test_wheel(built, kernels, tmp_path):
    zipfile.ZipFile(built[0]).extractall(tmp_path / "site")
    names, place = installed(tmp_path / "site")
    assert names == kernels
    assert place == tmp_path / "site/mmc_gpu/kernels"


def test_wheel_holds_what_reports_are_made_of(names):
    parts = list((ROOT / "mmc_gpu/report/web").iterdir())
    assert {path.suffix for path in parts} == {".html", ".css", ".js"}
    assert {f"mmc_gpu/report/web/{path.name}" for path in parts} < names


def test_the_readmes_travel_with_the_code_that_they_describe(names):
    pages = {str(path.relative_to(ROOT)) for path in (ROOT / "mmc_gpu").rglob("README.md")}
    assert len(pages) > 5
    assert pages | {"mmc_gpu/kernels/README.md"} <= names


def test_built_elsewhere_and_from_the_sdist_both_have_the_same_bits(built, unpacked, tmp_path):
    copy = shutil.copytree(unpacked, tmp_path / "copy", copy_function=shutil.copy)  # other times
    (tmp_path / "out").mkdir()
    again = build(copy, tmp_path / "out", "wheel", "sdist")
    for first, second in zip(built, again, strict=False):
        assert first.name == second.name
        assert first.read_bytes() == second.read_bytes()


def test_the_sdist_holds_what_its_tests_need(checkout, unpacked):
    parts = ("mmc_gpu", "kernels", "benchmarks", "tests", ".ci", ".github")
    names = {
        str(path.relative_to(checkout))
        for part in parts
        for path in (checkout / part).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    } | {"README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml"}
    assert names <= {str(p.relative_to(unpacked)) for p in unpacked.rglob("*")}


def test_editable_install(checkout, built, tmp_path):
    zipfile.ZipFile(built[2]).extractall(tmp_path / "site")
    (path_file,) = (tmp_path / "site").glob("*.pth")
    assert path_file.read_text().strip() == str(checkout)  # test_bare_checkout: what it gives


def test_no_module_can_be_imported_below_the_package_again(checkout):
    code = (
        "import importlib\n"
        "for name in ('mmc_gpu', 'benchmarks', 'kernels', 'tests'):\n"
        "    try:\n"
        "        importlib.import_module(f'mmc_gpu.{name}')\n"
        "    except ModuleNotFoundError as error:\n"
        "        print(error.name)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=checkout, capture_output=True, text=True, check=True
    )
    twice = ["mmc_gpu", "benchmarks", "kernels", "tests"]
    assert done.stdout.split() == [f"mmc_gpu.{name}" for name in twice]
