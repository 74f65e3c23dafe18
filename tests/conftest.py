"""Fixtures of all tests: the engines, the command line, and the real data where it lies."""

import gc
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from mmc_gpu.engines import ENGINES, Engine, EngineUnavailable, load_engine
from mmc_gpu.engines.threads import thread_count

# The tests start hundreds of processes: without bytecode, each compiles the whole package anew
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

settings.register_profile(
    "ci",
    deadline=None,  # the first call of an engine may compile
    max_examples=10,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("few", settings.get_profile("ci"), max_examples=3)
settings.register_profile(
    "thorough", settings.get_profile("ci"), max_examples=1000, derandomize=False
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


LONG = {
    "gpu", "cluster", "benchmarks", "test_readme.py", "test_packaging.py", "test_windows.py",
    "test_bare_machine.py", "test_hard_weather.py", "test_report_in_browser.py",
    "test_evaluation_in_browser.py", "test_season_page.py", "test_killed.py",
    "test_publication.py", "test_start.py", "test_auto.py",
    "test_packed.py", "test_packed_again.py", "test_season_history.py", "test_verify.py",
    "test_cache.py", "test_memory_holds_an_era_and_not_the_file",
    "test_memory_holds_an_era_and_what_is_joined",
}  # fmt: skip
"""Folders, files and names of tests that take long: processes, browsers, clusters, a fake CUDA."""

SECONDS = {
    "test_chosen.py", "test_comparison.py", "test_evaluation_page.py", "test_fair_page.py",
    "test_history.py", "test_import.py", "test_imports.py", "test_joined.py", "test_many_rounds.py",
    "test_nights.py", "test_packed_bits.py", "test_parity.py", "test_pay.py", "test_plots.py",
    "test_publish.py", "test_quarantine_list.py", "test_report_command.py", "test_report_page.py",
    "test_round_scores.py", "test_sample_round.py", "test_score_names.py", "test_seasons.py",
    "test_side_by_side.py", "test_strays.py", "test_targets.py", "test_terminal.py",
    "test_threads.py", "test_tournaments.py", "test_training.py", "test_uncertainty.py",
    "test_waiting.py", "test_written_by.py",
    "test_a_bomb_of_text_is_refused_without_unpacking_it",
    "test_a_flipped_bit_under_a_checksum_is_never_another_value",
    "test_a_pool_beyond_a_group_agrees", "test_a_type_checker_learns_what_comes_back",
    "test_another_blas_gives_the_same_bits",
    "test_another_process_takes_a_kernel_from_the_cache_without_numba",
    "test_any_bytes_are_a_refusal_or_what_pythons_reader_finds",
    "test_codes_never_fall_where_values_rise", "test_every_code_that_is_raised_is_explained",
    "test_flipped_bits_without_checksums_end_in_a_table_or_a_refusal",
    "test_no_flip_in_the_footer_ends_the_process", "test_no_product_is_fused_with_a_sum",
    "test_nothing_heavy_is_imported_before_it_is_needed", "test_published_payouts_are_reproduced",
    "test_real_predictions_stakes_and_targets_agree",
    "test_small_rounds_of_one_size_share_counts_that_nobody_may_change",
}  # fmt: skip
"""Files and names of tests that take seconds together: not for every save."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--engines",
        help="run these engines only, comma-separated; one that cannot load is then a failure",
    )
    parser.addoption(
        "--first", action="store_true", help="one case of each test, without those that take long"
    )
    parser.addoption(
        "--quick", action="store_true", help="for every save: --first of those that take no seconds"
    )
    parser.addoption(
        "--windows", action="store_true", help="hide what Windows lacks, and refuse what it refuses"
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Start one more than there are cores: tests wait for processes, browsers and disks.

    Those that are left with --first or --quick do not.
    """
    return thread_count() + (not left_out(config))


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Let one process run all tests of a file: what they share is made once."""
    if config.getoption("numprocesses", None) and config.option.dist == "no":
        config.option.dist, config.option.loadscopereorder = "loadfile", False


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("numprocesses", None):  # a process a core: no threads of BLAS beside it
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if left_out(config):
        settings.load_profile("few")
    if config.getoption("windows"):
        from windows import hide

        hide(Path(config.option.basetemp or tempfile.gettempdir()).absolute())


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Import nothing that is left out; None: whoever else is asked decides."""
    return collection_path.name in left_out(config) or None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Let no search for garbage walk through all tests: they stay until the process ends."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def left_out(config: pytest.Config) -> set[str]:
    """Return the files and names of tests that are not asked for."""
    quick = config.getoption("quick")
    return LONG | SECONDS if quick else LONG if config.getoption("first") else set()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # what takes long is begun first: at the end the other processes would wait for it
    items.sort(key=lambda item: LONG.isdisjoint(item.path.parts))
    if not (unasked := left_out(config)):
        return
    first: dict[str, pytest.Item] = {}
    for item in items:
        name = item.nodeid.partition("[")[0]
        if name.rpartition("::")[2] not in unasked:
            first.setdefault(name, item)
    kept = set(first.values())
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = [item for item in items if item in kept]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell each reason to skip once."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", ())
        if isinstance(report.longrepr, tuple)
    )
    for reason, times in reasons.most_common():
        terminalreporter.write_line(f"skipped {times:,}: {reason}")


def engine_names(config: pytest.Config) -> list[str]:
    named = config.getoption("engines")
    names = named.split(",") if named else list(ENGINES)
    if unknown := set(names) - set(ENGINES):
        raise pytest.UsageError(f"--engines: no engine {sorted(unknown)}; there are {[*ENGINES]}")
    return names


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "engine" in metafunc.fixturenames:
        names = engine_names(metafunc.config)
        metafunc.parametrize("engine", names, indirect=True, scope="session")
    if "engines" in metafunc.fixturenames:
        names = engine_names(metafunc.config)
        told = ["-".join(names)]
        metafunc.parametrize("engines", [names], ids=told, indirect=True, scope="session")


def load_named(name: str, config: pytest.Config) -> Engine | str:
    """Return an engine, or why it cannot run here; fail where --engines names it."""
    try:
        return load_engine(name)
    except EngineUnavailable as error:
        if config.getoption("engines"):
            pytest.fail(f"--engines names {name}: {error}")
        return str(error)


@pytest.fixture
def plain_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes give memory back to the system as they let it go: pools keep some, by chance."""
    monkeypatch.setenv("ARROW_DEFAULT_MEMORY_POOL", "system")
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "65536")
    monkeypatch.setenv("MMC_GPU_THREADS", "2")


@pytest.fixture(scope="session")
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine in turn; skips, with the reason, those that cannot run here."""
    found = load_named(request.param, request.config)
    if isinstance(found, str):
        pytest.skip(found)
    return found


@pytest.fixture(scope="session")
def engines(request: pytest.FixtureRequest) -> list[Engine]:
    """All engines that run here, for tests that compute once what each is compared with."""
    found = [load_named(name, request.config) for name in request.param]
    return [engine for engine in found if not isinstance(engine, str)]


@pytest.fixture(scope="session", autouse=True)
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let temporary files, and the locks of `--windows`, lie where pytest clears up."""
    folder = str(tmp_path_factory.mktemp("temporary"))
    with pytest.MonkeyPatch.context() as patch:
        # Ray's sockets need a short path
        patch.setenv("RAY_TMPDIR", os.environ.get("RAY_TMPDIR", tempfile.gettempdir()))
        patch.setattr(tempfile, "tempdir", folder)
        for name in ("TMPDIR", "TEMP", "TMP"):
            patch.setenv(name, folder)
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data, which no licence lets into the project."""
    root = Path(__file__).parents[1]
    folder = Path(os.environ.get("MMC_GPU_SHARED", root.parent / "shared"))
    if (folder / "data").is_dir():
        return folder
    reason = f"no real data in {folder}; MMC_GPU_SHARED names its folder"
    if os.environ.get("MMC_GPU_REQUIRE_SHARED") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(autouse=True)
def nobody_listens() -> Iterator[None]:
    """Forget that a command was run with --json or --quiet, as the end of a process does."""
    yield
    if listener := sys.modules.get("mmc_gpu.cli.listener"):
        listener.begin(())


@pytest.fixture(scope="session")
def call():
    """Run the command line; returns the exit code."""
    from mmc_gpu.cli.app import main

    def call_(*arguments):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["mmc-gpu", *map(str, arguments)])
            with pytest.raises(SystemExit) as stop:
                main()
        return stop.value.code or 0

    return call_


@pytest.fixture
def run(call, capsys):
    """Run the command line; returns exit code, standard output and standard error."""

    def run_(*arguments):
        code = call(*arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_
