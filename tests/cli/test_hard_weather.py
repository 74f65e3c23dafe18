"""Full disks, closed streams, Ctrl-C, too little room: one line and an exit code, nothing half.

Long, because each kind of weather meets every command.
"""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.csv
import pytest
from systems import copied

from mmc_gpu.__main__ import main
from mmc_gpu.cli.runs import Run
from mmc_gpu.engines import load_engine, threads
from mmc_gpu.errors import EngineUnavailable, RoundError
from mmc_gpu.files.rounds.read import read_round
from mmc_gpu.rounds.method import Method
from mmc_gpu.rounds.sample import make_sample_round, write_sample_round

resource = pytest.importorskip("resource", reason="no limits on this system")

COMMAND = [sys.executable, "-m", "mmc_gpu"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A round, its result, its packed form, and a file of eras."""
    folder = tmp_path_factory.mktemp("weather")
    write_sample_round(folder / "round", make_sample_round(30, 150, 1), True)
    Run(Method(), load_engine("numpy")).score(folder / "round", folder / "result")
    random = np.random.default_rng(0)
    eras = {"era": np.repeat([f"{era:04d}" for era in range(20)], 50)}
    eras |= {name: random.random(1000) for name in ("target", "ann", "bob")}
    pd.DataFrame(eras).to_csv(folder / "eras.csv", index=False)
    return folder


def started(*arguments, stdout=subprocess.PIPE, closed=(), limit=None, command=COMMAND):
    """Run a process with some of the standard streams closed; return exit code, output, errors."""

    def prepare():
        for number in closed:
            os.close(number)
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    ran = subprocess.run(
        [*command, *map(str, arguments)],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=100,
        preexec_fn=prepare,
    )
    return ran.returncode, ran.stdout, ran.stderr


def at_work(prepare, *arguments):
    """Run a command in a copy of this process, which has imported all, and that is prepared.

    Returns exit code, output, errors.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:

        def work():
            signal.signal(signal.SIGINT, signal.default_int_handler)
            sys.stdout, sys.stderr = out, err
            sys.argv = ["mmc-gpu", *map(str, arguments)]
            prepare()
            try:
                main()
            finally:
                out.flush()
                err.flush()

        child = copied(work)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return code, *(file.seek(0) or file.read() for file in (out, err))


def closed_at_work(names, *arguments):
    """Run a command in a copy of this process as if it had begun with these streams closed."""

    def close():
        for name in names:
            os.close(("stdin", "stdout", "stderr").index(name))
            setattr(sys, name, None)

    return at_work(close, *arguments)


def commands(folder, out):
    """Return what each command is called with, writing into `out`."""
    return {
        "score": ["score", folder / "round", "-o", out],
        "pack": ["pack", folder / "round", "-o", out],
        "evaluate": ["evaluate", folder / "eras.csv", "-o", out],
        "verify": ["verify", folder / "result", folder / "round"],
        "check": ["check", folder / "round"],
    }


EVERY = ["score", "pack", "evaluate", "verify", "check"]


def left(folder):
    """Return what lies in a folder, hidden files too."""
    return {path.name for path in folder.iterdir()}


class TestStreams:
    def test_closed_standard_error_changes_nothing(self, folder, tmp_path):
        code, out, _ = started(*commands(folder, tmp_path / "out")["score"], closed=[2])
        assert code == 0
        assert out
        assert left(tmp_path / "out") == left(folder / "result")

    def test_closed_streams_keep_the_output_and_the_exit_code(self, folder, tmp_path):
        """In copies of this process: all processes begin alike."""
        code, out, _ = closed_at_work(["stderr"], "check", folder / "round")
        assert code == 0
        assert out
        every = ["stdin", "stdout", "stderr"]
        assert closed_at_work(every, "check", tmp_path / "nothing")[0] == 1
        assert closed_at_work(["stderr"], "score", tmp_path, "--engine", "abacus")[0] == 2

    def test_closed_standard_output_is_one_line_and_the_result_is_whole(
        self, run, folder, tmp_path
    ):
        arguments = commands(folder, tmp_path / "out")["score"]
        code, _, err = closed_at_work(["stdout"], *arguments)
        assert code == 1
        assert err.splitlines()[-1] == "error: the output cannot be written: Bad file descriptor"
        assert run("verify", tmp_path / "out", folder / "round")[0] == 0

    @pytest.mark.parametrize(("full", "name"), [(True, "score"), (False, "help")])
    def test_output_that_cannot_be_written_is_one_line(self, run, folder, tmp_path, name, full):
        arguments = commands(folder, tmp_path / "out")["score"] if name == "score" else ["--help"]
        with Path("/dev/full").open("w") as device:
            code, _, err = started(*arguments, stdout=device, closed=[] if full else [1])
        assert code == 1
        reason = "No space left on device" if full else "Bad file descriptor"
        assert err.splitlines()[-1] == f"error: the output cannot be written: {reason}"
        assert "Traceback" not in err
        assert "Exception ignored" not in err
        if name == "score":  # whole all the same
            assert run("verify", tmp_path / "out", folder / "round")[0] == 0
        assert left(tmp_path) <= {"out"}

    @pytest.mark.parametrize("name", [*EVERY[1:], "stdout", "doctor", "explain", "help", "json"])
    def test_every_command_says_so_and_leaves_nothing_to_be_written(
        self, run, folder, tmp_path, monkeypatch, name
    ):
        others = {
            "stdout": ["score", folder / "round", "-o", "-"],
            "doctor": ["doctor"],
            "explain": ["explain"],
            "help": ["--help"],
            "json": ["check", folder / "round", "--json"],
        }
        device = Path("/dev/full").open("w")  # noqa: SIM115  closed by the command
        monkeypatch.setattr(sys, "stdout", device)
        code, _, err = run(*(commands(folder, tmp_path / "out") | others)[name])
        assert code == 1
        end = "error: the output cannot be written: No space left on device"
        assert err.splitlines()[-1] == end
        assert device.closed  # else Python would try to write the rest
        assert left(tmp_path) <= {"out"}

    def test_files_do_not_get_the_numbers_of_closed_streams(self, folder, tmp_path):
        script = (
            "import os, sys\n"
            "from mmc_gpu.__main__ import _prepare_streams\n"
            "_prepare_streams()\n"
            f"file = open({str(tmp_path / 'file')!r}, 'w')\n"
            "assert file.fileno() > 2, file.fileno()\n"
            "os.write(2, b'words of a library')\n"
            "print('words of ours', file=sys.stderr)\n"
            "file.write('contents')\n"
        )
        assert started("-c", script, closed=[0, 1, 2], command=[sys.executable])[0] == 0
        assert (tmp_path / "file").read_text() == "contents"

    def test_a_reader_that_leaves_is_no_error(self):
        reading, writing = os.pipe()
        os.close(reading)
        code, _, err = started("explain", stdout=writing)
        os.close(writing)
        assert code == 1
        assert "Traceback" not in err


STOPPED_AT = """
import os, signal, sys
folder, *places = sys.argv.pop(1).split(os.pathsep)

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name not in places:
            return
        places.remove(name)
        if child := os.fork():
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            os.write(1, f"{name} {code}\\n".encode())
            if not places:
                os._exit(0)
            return
        places.clear()
        for number in (1, 2):
            handle = os.open(f"{folder}/{name}.{number}", os.O_WRONLY | os.O_CREAT)
            os.dup2(handle, number)
        signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Finder())
from mmc_gpu.__main__ import main
main()
"""
"""A process that goes on with its imports while a copy of it is stopped where each place begins."""


def stopped_at_work(call, *arguments):
    """Press Ctrl-C where a copy of this process comes to a call; return code, output, errors."""

    def prepare():
        setattr(*call, lambda *_, **__: signal.raise_signal(signal.SIGINT))

    return at_work(prepare, *arguments)


READ, WRITE = (pyarrow.csv, "open_csv"), (os, "fsync")


class TestCtrlC:
    def test_while_it_imports_it_stops_with_one_line_and_leaves_nothing(self, folder, tmp_path):
        pytest.importorskip("numba")
        places = {"mmc_gpu.cli.app", "typer", "numpy", "pyarrow", "pyarrow.csv", "rich", "llvmlite"}
        (tmp_path / "said").mkdir()
        code, told, err = started(
            os.pathsep.join([str(tmp_path / "said"), *places]),
            *commands(folder, tmp_path / "out")["score"], "--engine", "cpu",
            command=[sys.executable, "-c", STOPPED_AT],
        )  # fmt: skip
        assert code == 0, err
        assert set(told.splitlines()) == {f"{place} 130" for place in places}
        for place in places:
            said = [(tmp_path / f"said/{place}.{number}").read_text() for number in (1, 2)]
            assert said == ["", "stopped\n"], place
        assert not (tmp_path / "out").exists() or left(tmp_path / "out") == set()
        assert left(tmp_path) <= {"said", "out"}

    @pytest.mark.parametrize(
        ("call", "name"),
        [
            *((READ, name) for name in EVERY),
            *((WRITE, name) for name in ("score", "pack", "evaluate")),
        ],
    )
    def test_every_command_does(self, folder, tmp_path, call, name):
        found = stopped_at_work(call, *commands(folder, tmp_path / "out")[name])
        assert found == (130, "", "stopped\n")
        assert not (tmp_path / "out").exists() or left(tmp_path / "out") == set()
        assert left(tmp_path) <= {"out"}

    @pytest.mark.parametrize("name", ["score", "pack"])
    def test_a_previous_result_is_still_whole(self, run, folder, tmp_path, name):
        arguments = commands(folder, tmp_path / "out")[name]
        assert run(*arguments)[0] == 0
        before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
        assert stopped_at_work(WRITE, *arguments) == (130, "", "stopped\n")
        assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
        assert left(tmp_path) == {"out"}

    @pytest.mark.parametrize("seconds", [0.1, 0.5])
    def test_at_any_moment(self, run, folder, tmp_path, seconds):
        script = "import mmc_gpu.__main__ as m; print('ready', flush=True); m.main()"
        arguments = commands(folder, tmp_path / "out")["score"]
        process = subprocess.Popen(
            [sys.executable, "-c", script, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout.readline() == "ready\n"
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode in (0, 130, -signal.SIGINT)  # the last: at the very end
        assert "Traceback" not in err
        if process.returncode == 130:
            assert err.splitlines()[-1] == "stopped"
        assert left(tmp_path) <= {"out"}
        if (tmp_path / "out").exists():
            assert run("verify", tmp_path / "out", folder / "round")[0] == 0

    def test_it_does_not_wait_for_files_that_are_still_to_be_read(self, tmp_path, monkeypatch):
        write_sample_round(tmp_path / "round", make_sample_round(60, 100, 1), True)
        read = []

        def slow(self, file):
            read.append(file)
            time.sleep(0.05)

        def stop(stage, done, total):
            raise KeyboardInterrupt

        monkeypatch.setattr("mmc_gpu.files.rounds.submissions.SubmissionReader.read", slow)
        with pytest.raises(KeyboardInterrupt):
            read_round(tmp_path / "round", progress=stop)
        assert len(read) < 60


class TestRoom:
    @pytest.mark.parametrize("megabytes", [900, 1300])
    def test_little_address_space_is_one_line(self, folder, tmp_path, megabytes):
        limit = megabytes * 1024000
        code, _, err = started("score", folder / "round", "-o", tmp_path / "out", limit=limit)
        assert code in (0, 3)
        assert "Traceback" not in err
        if code:
            assert err.startswith("error: this process may not start ")
            assert "ulimit -v" in err
            assert err.count("\n") == 1
            assert left(tmp_path) == set()

    @pytest.mark.parametrize("name", ["evaluate", "verify"])
    def test_other_commands_do_not_wait_for_ever_either(self, folder, tmp_path, name):
        code, _, err = started(*commands(folder, tmp_path / "out")[name], limit=1024000 * 1100)
        assert code in (0, 3)
        assert err.count("\n") == 1 or not code

    @pytest.mark.parametrize("fault", ["does not start", "never runs"])
    def test_threads_that_cannot_start_are_an_error(self, monkeypatch, fault):
        begin, before, started = threads.start_new_thread, threading.active_count(), []

        def start(work, given):
            started.append(work)
            if len(started) < 6:
                return begin(work, given)
            if fault == "does not start":
                raise RuntimeError("can't start new thread")
            return 0

        monkeypatch.setattr(threads, "start_new_thread", start)
        monkeypatch.setattr(threads, "_PATIENCE", 0.2)
        words = "can't start new thread" if fault == "does not start" else "a thread has no memory"
        with pytest.raises(EngineUnavailable, match=f"may not start 77 threads .*{words}.*ulimit"):
            threads.check_room(77)
        assert len(started) == 6
        assert threading.active_count() == before

    @pytest.mark.parametrize(
        ("error", "words"),
        [
            (MemoryError(), "error: out of memory: raise"),
            (MemoryError("Unable to allocate 9 GiB"), "error: Unable to allocate 9 GiB: raise"),
            (RuntimeError("can't start new thread"), "error: can't start new thread: raise"),
        ],
    )
    def test_what_does_not_fit_later_is_one_line_too(self, run, folder, monkeypatch, error, words):
        def score(*_, **__):
            raise error

        monkeypatch.setattr("mmc_gpu.cli.runs.score", score)
        code, _, err = run("score", folder / "round")
        assert code == 3
        assert err.startswith(words)
        assert err.count("\n") == 1


class TestNames:
    @pytest.fixture
    def faulty(self, tmp_path):
        """A round in which 12 of 30 users have no column `prediction`."""
        write_sample_round(tmp_path / "round", make_sample_round(30, 100, 1), True)
        for path in sorted((tmp_path / "round/submissions").iterdir())[:12]:
            self.spoil(path)
        return tmp_path / "round"

    def spoil(self, path):
        path.write_text(path.read_text().replace("prediction", "guess", 1))

    @pytest.mark.parametrize("name", ["score", "check", "pack"])
    def test_no_file_is_named_that_was_not_written(self, run, faulty, tmp_path, name):
        output = ["-o", tmp_path / "packed"] if name == "pack" else []
        code, out, err = run(name, faulty, *output)
        assert code == 4
        assert "quarantine.csv" not in out + err
        shown = sum(line.startswith("quarantined: ") for line in err.splitlines())
        assert shown == (12 if name == "check" else 10)
        assert ("... and 2 more: mmc-gpu check lists all" in err) == (name != "check")

    def test_the_file_that_was_written_is_named_by_its_path(self, run, faulty, tmp_path):
        _, _, err = run("score", faulty, "-o", tmp_path / "out")
        assert f"... and 2 more, all in {tmp_path}/out/quarantine.csv" in err
        assert (tmp_path / "out/quarantine.csv").read_text().count("column-missing") == 12

    def test_evaluate_names_its_list_where_it_is_written(self, run, tmp_path):
        random = np.random.default_rng(0)
        names = [f"model_{number}" for number in range(12)]
        table = pd.DataFrame({"era": np.repeat([1, 2, 3, 4, 5], 30), "target": random.random(150)})
        table = table.assign(**{name: 0.5 for name in names}, good=random.random(150))
        table.to_csv(tmp_path / "eras.csv", index=False)
        _, _, err = run("evaluate", tmp_path / "eras.csv")
        assert " more; -o FOLDER keeps them" in err
        assert "faults.csv" not in err
        _, _, err = run("evaluate", tmp_path / "eras.csv", "-o", tmp_path / "out")
        assert f" more, all in {tmp_path}/out/faults.csv" in err
        assert (tmp_path / "out/faults.csv").is_file()

    @pytest.mark.parametrize("name", ["score", "check", "packed", "pack"])
    def test_where_all_are_faulty_every_reason_is_shown(self, run, faulty, tmp_path, name):
        for path in sorted((faulty / "submissions").iterdir())[12:]:
            self.spoil(path)
        if name in ("pack", "packed"):
            code, _, err = run("pack", faulty, "-o", tmp_path / "packed")
            assert code == 4
        if name != "pack":
            round_ = tmp_path / "packed" if name == "packed" else faulty
            code, _, err = run("check" if name == "packed" else name, round_)
            assert code == 1
            assert sum(line.startswith("quarantined: ") for line in err.splitlines()) == 30
            assert err.splitlines()[-1].startswith("error: ")
        assert "needs one column 'prediction', has 'id', 'guess'" in err
        assert "[column-missing]" in err

    def test_python_says_the_first_reason_and_holds_all(self, faulty):
        for path in sorted((faulty / "submissions").iterdir())[12:]:
            self.spoil(path)
        with pytest.raises(RoundError, match=r"all 30 .* the first: .*guess") as caught:
            read_round(faulty)
        assert {fault.code for fault in caught.value.quarantined} == {"column-missing"}
        assert len(caught.value.quarantined) == 30
