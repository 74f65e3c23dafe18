"""Each step of the engine's Python matters: without it, a round on the stand-in goes wrong.

A mutation is one small edit of the engine, of the kind that is easily made and hardly seen: a wrong
offset, a launch shape, a stream that no longer waits. The round has to notice every one of them.
"""

import faulthandler
import itertools
import os
import sys
import types
import warnings
from pathlib import Path

import numpy as np
import pytest
from gpu_parity import (
    REFERENCE,
    check_moments,
    check_others,
    check_rank,
    check_round,
    make_block,
    make_probes,
)
from test_gpu_engine import (
    check_begun_in_part,
    check_interrupted,
    check_let_go,
    check_near,
    check_once,
    check_overlap,
    check_pinned,
    check_spread_blend,
)

from mmc_gpu.engines.gpu import engine as gpu_engine

FOLDER = Path(gpu_engine.__file__).parent

STREAMS = [
    ("card", "stream.wait_event(self._forked)", "pass"),
    ("card", "self._used.append(stream)", "pass"),
    ("card", "self.mark(self.current()), []", "self.mark(self.current()), self._used"),
    ("card", "self.current().wait_event(self.mark(stream))", "pass"),
    ("card", "self._early.wait_event(self.mark(self.current()))", "pass"),
    ("card", "self.current().wait_event(self.mark(self._early))", "pass"),
    ("card", "with self._early:", "with self.serial:"),
    ("card", "with self._early:", "if True:"),
    ("engine", "card.await_begun()", "pass"),
    ("engine", "or parts[:1], begun=block)", "or parts[:1])"),
    ("card", "self.current().synchronize()", "pass"),
    ("card", "stage.left.synchronize()  # what it held before", "pass"),
    ("card", "stage.left.record()", "pass"),
    ("card", "return self._cupy.cuda.get_current_stream(self.device.id)", "return self.serial"),
    ("engine", "home.serial.wait_event(before)", "pass"),
    ("engine", "stream.wait_event(after)", "pass"),
    ("engine", "with self._at_home(card, stream):", "with card.turn():"),
    ("engine", "with self._at_home(card, card.serial):", "with home.serially():"),
    ("engine", "if stream is home.serial:", "if True:"),
    ("engine", "card.fork()", "pass"),
    ("engine", "card.stop()", "pass"),
    ("card", "self.device.synchronize()", "pass"),
    ("engine", "card.join()", "pass"),
    ("engine", "        self._wait()\n        return found", "        return found"),
    ("engine", "home.wait()  # the host array", "pass  #"),
    ("engine", "self._wait()  # the host array", "pass  #"),
    ("engine", "on_host = pieces_of(block)", "on_host = parts_of(block)"),
    ("engine", "self._arrived(self._known(block))", "self._known(block)"),
    ("card", "with self.device, self._early:", "with self.device:"),
    ("card", "self._begun.append((self.mark(self._early), rows))", "pass"),
    ("card", "while self._begun and self._begun[0][0].done:", "while self._begun:"),
]
OFFSETS = [
    ("engine", "slice(first + places.start, first + places.stop)", "places"),
    ("engine", "rows = part[start : start + each]", "rows = part[:each]"),
    ("engine", "first += len(piece)", "pass"),
    ("engine", "stacked[first : first + len(piece)]", "stacked[: len(piece)]"),
    ("engine", "places = slice(start, start + len(rows))", "places = slice(len(rows))"),
    ("blocks", "self.rows[places]", "self.rows[: len(rows)]"),
    ("blocks", "self.ranks[places]", "self.ranks[: len(rows)]"),
    ("blocks", "rows[: len(ranks)], self.ties", "rows[-len(ranks) :], self.ties"),
    ("blocks", "rows[: len(ranks)], self.ties", 'rows[: len(ranks)], "first"'),
    ("engine", "are_ranks or asked", "are_ranks"),
    ("engine", "del block.coming[at]", "pass"),
    ("engine", "part[len(ranks) :]]", "part[:0]]"),
    ("engine", "part[: len(ranks)], ties", "part[-len(ranks) :], ties"),
    ("engine", "card.has(others)", "isinstance(others, self._cupy.ndarray)"),
    ("engine", "weights[:, places]", "weights[:, : len(rows)]"),
    ("engine", "result[places]", "result[: len(rows)]"),
    ("engine", "out=found[places]", "out=found[: len(rows)]"),
    (
        "engine",
        "self._turns(block, self.cards, GROUP, row_bytes)",
        "self._turns(block, self.cards, 1, row_bytes)",
    ),
    ("engine", "each = GROUP * max(", "each = 3 * max("),
    ("engine", "left[card] = left[card][len(part) :]", "pass"),
    ("card", "rows = host[start : start + each]", "rows = host[:each]"),
    ("card", "there = array[start : start + each]", "there = array[:each]"),
    ("card", "return rows if rows.flags.c_contiguous else", "return rows if True else"),
    ("kernels", "if sums.device != self.device:", "if False:"),
]
LAUNCHES = [
    ("kernels", "LANE_THREADS = 256", "LANE_THREADS = 512"),
    ("kernels", "np.int64(ranks.size)", "ranks.size"),
    ("kernels", "empty((rows, 2 * count), np.int64)", "empty((rows, count), np.int64)"),
    ("kernels", "empty((rows, count + 2), np.float64)", "empty((rows, count + 1), np.float64)"),
    ("kernels", "32 * _parts(stocks, 32 * KEYS_A_THREAD)", "_parts(stocks, KEYS_A_THREAD)"),
    ("kernels", "RANK_THREADS = 512", "RANK_THREADS = 1024"),
    ("kernels", "MOMENT_THREADS = 128", "MOMENT_THREADS = 100"),
    ("kernels", "BLEND_THREADS = 64", "BLEND_THREADS = 128"),
    ("kernels", "(series.itemsize + 3)", "(series.itemsize + 2)"),
    ("kernels", "4 * (buckets + 1)", "4"),
    ("kernels", "4 * _DIGITS * (threads // 32 | 1)", "4 * _DIGITS * (threads // 32)"),
    ("kernels", "shared += 8 * stocks", "shared += 7 * stocks"),
    ("kernels", "zeros((rows + 1,), np.int32)", "zeros((rows,), np.int32)"),
    ("kernels", "zeros((rows + 1,), np.int32)", "empty((rows + 1,), np.int32)"),
    ("memory", "memset_async(0, array.nbytes)", "memset_async(0, array.nbytes // 2)"),
    ("kernels", "empty((blocks, 2, stocks), np.int32)", "empty((blocks, 1, stocks), np.int32)"),
    ("kernels", "if self._fits(name, shared + 8 * stocks):", "if True:"),
    ("kernels", "if self._fits(name, shared):", "if True:"),
    ("kernels", "self._shared - kernel.shared_size_bytes", "self._shared"),
    ("kernels", 'int(ties == "average")', 'int(ties == "first")'),
    ("kernels", "np.int64(blend.size)", "blend.size"),
    ("kernels", "groups = _parts(stakers, GROUP)", "groups = stakers // GROUP"),
    ("kernels", "moments = self.empty((rows, count + 1)", "moments = self.empty((rows, count)"),
]


@pytest.fixture
def mutated(monkeypatch):
    """Return a GpuEngine of mutated source."""

    def mutate(module, right, wrong):
        modules = {}
        for name in ("memory", "kernels", "card", "blocks", "engine"):  # each imports those before
            path = FOLDER / f"{name}.py"
            text = path.read_text()
            if name == module:
                assert text.count(right) == 1, f"{right!r} stands {text.count(right)} times"
                text = text.replace(right, wrong)
            modules[name] = types.ModuleType(f"mmc_gpu.engines.gpu.{name}")
            monkeypatch.setitem(sys.modules, modules[name].__name__, modules[name])
            exec(compile(text, str(path), "exec"), modules[name].__dict__)
        modules["engine"].HOST_TURN, modules["engine"].DEVICE_TURN = 20_000, 30_000
        modules["card"]._STAGE, modules["card"]._TILE = 9_000, 1_000
        return modules["engine"].GpuEngine

    return mutate


def attack(make_engine, engine):
    """Do all that a round can do, on little and much shared memory, in every order of the work."""
    crowded = np.full((5, 900), 0.5)
    for shared, stocks in ((48_000, 900), (9_000, 400), (9_000, 900)):
        made = make_engine(engine, shared=shared)
        check_moments(made, crowded[:, :stocks], make_probes(1, stocks), "average")
        check_moments(made, make_block(9, stocks, np.float64), make_probes(1, stocks), "first")
        made.machine.check()
    check_overlap(make_engine, engine)
    check_let_go(make_engine(engine))
    check_interrupted(lambda: make_engine(engine))
    check_once(make_engine(engine))
    check_near(make_engine(engine, devices=2))
    made = make_engine(engine, order="others first")
    check_others(made, make_block(40, 30, np.float32))
    check_rank(made, make_block(1, 5200, np.float32), "first")
    there = made.put(make_block(30, 20, np.float32))
    found = made.get(made.rank(there.T, "first"))
    np.testing.assert_array_equal(found, REFERENCE.rank(made.get(there).T, "first"))
    for order, devices in itertools.product(("late", "others first", "now", "random 1"), (2, 1)):
        made = make_engine(engine, order=order, devices=devices)
        check_pinned(made)
        check_round(made, put=devices == 2)
        check_begun_in_part(made)
        if devices == 2:
            check_spread_blend(made)
        made.machine.check()


def goes_wrong(run):
    """Say whether this fails or crashes, in a process of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the child starts no thread
        child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] != 0
    faulthandler.disable()
    try:
        run()
    except Exception:
        os._exit(1)
    finally:
        os._exit(0)


def test_the_engine_as_it_is_passes(make_engine, mutated):
    attack(make_engine, mutated("engine", "HOST_TURN = 32 << 20", "HOST_TURN = 32 << 20"))


@pytest.mark.parametrize(("module", "right", "wrong"), STREAMS + OFFSETS + LAUNCHES)
def test_a_mutation_is_noticed(make_engine, mutated, module, right, wrong):
    engine = mutated(module, right, wrong)
    assert goes_wrong(lambda: attack(make_engine, engine))
