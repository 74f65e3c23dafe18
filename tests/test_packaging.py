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


def build(checkout, kind, out):
    """Build with the backend that pyproject.toml names, without a network."""
    code = f"import hatchling.build as b; print(b.build_{kind}({str(out)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=checkout, capture_output=True, text=True, check=True
    )
    return out / done.stdout.split()[-1]


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


def test_the_version_is_the_first_of_the_changelog_and_the_wheels(checkout, tmp_path):
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert re.search(r"^## (\S+) \(20\d\d-\d\d-\d\d\)$", changelog, re.MULTILINE)[1] == __version__
    assert build(checkout, "wheel", tmp_path).name.startswith(f"mmc_gpu-{__version__}-")


def test_bare_checkout(checkout, kernels):
    names, place = installed(checkout)
    assert names == kernels
    assert place == checkout / "kernels"


def test_wheel(checkout, kernels, tmp_path):
    wheel = build(checkout, "wheel", tmp_path)
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    names, place = installed(tmp_path / "site")
    assert names == kernels
    assert place == tmp_path / "site/mmc_gpu/kernels"


def test_wheel_holds_what_reports_are_made_of(checkout, tmp_path):
    names = set(zipfile.ZipFile(build(checkout, "wheel", tmp_path)).namelist())
    parts = list((ROOT / "mmc_gpu/report/web").iterdir())
    assert {path.suffix for path in parts} == {".html", ".css", ".js"}
    assert {f"mmc_gpu/report/web/{path.name}" for path in parts} < names


def test_the_readmes_travel_with_the_code_that_they_describe(checkout, tmp_path):
    names = set(zipfile.ZipFile(build(checkout, "wheel", tmp_path)).namelist())
    pages = {str(path.relative_to(ROOT)) for path in (ROOT / "mmc_gpu").rglob("README.md")}
    assert len(pages) > 5
    assert pages | {"mmc_gpu/kernels/README.md"} <= names


def test_wheel_from_sdist(checkout, kernels, tmp_path):
    sdist = build(checkout, "sdist", tmp_path)
    shutil.unpack_archive(sdist, tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    wheel = build(unpacked, "wheel", tmp_path)
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    assert installed(tmp_path / "site")[0] == kernels


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_built_twice_it_has_the_same_bits(checkout, tmp_path, monkeypatch, kind):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    made = []
    for turn in ("first", "second"):
        copy = Path(
            shutil.copytree(checkout, tmp_path / turn / "checkout", copy_function=shutil.copy)
        )
        made.append(build(copy, kind, tmp_path / turn).read_bytes())
    assert made[0] == made[1]


def test_the_sdist_holds_what_its_tests_need(checkout, tmp_path):
    shutil.unpack_archive(build(checkout, "sdist", tmp_path), tmp_path / "sdist", filter="data")
    (unpacked,) = (tmp_path / "sdist").iterdir()
    parts = ("mmc_gpu", "kernels", "benchmarks", "tests", ".ci", ".github")
    names = {
        str(path.relative_to(checkout))
        for part in parts
        for path in (checkout / part).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    } | {"README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml"}
    assert names <= {str(p.relative_to(unpacked)) for p in unpacked.rglob("*")}


def test_editable_install(checkout, kernels, tmp_path):
    wheel = build(checkout, "editable", tmp_path)
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    (path_file,) = (tmp_path / "site").glob("*.pth")
    assert path_file.read_text().strip() == str(checkout)
    names, place = installed(path_file.read_text().strip())
    assert names == kernels
    assert place == checkout / "kernels"


@pytest.mark.parametrize("twice", ["mmc_gpu", "benchmarks", "kernels", "tests"])
def test_no_module_can_be_imported_below_the_package_again(checkout, twice):
    done = subprocess.run(
        [sys.executable, "-c", f"import mmc_gpu.{twice}"],
        cwd=checkout,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "ModuleNotFoundError" in done.stderr
