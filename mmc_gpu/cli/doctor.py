"""What is installed, what runs here, and what to do for more."""

import sys
from typing import TYPE_CHECKING

import numpy as np

from mmc_gpu.api import score_round
from mmc_gpu.engines import ENGINES, Engine, load_engine
from mmc_gpu.engines.failures import BROKEN, in_short
from mmc_gpu.engines.gpu.library import kernel_folder
from mmc_gpu.errors import EngineUnavailable
from mmc_gpu.files.results.receipt import versions
from mmc_gpu.version import version_of

if TYPE_CHECKING:
    from mmc_gpu.engines.gpu.card import Card

EXTRAS = {"cuda12x": "cupy-cuda12x", "cuda13x": "cupy-cuda13x", "ray": "ray", "plot": "matplotlib"}
"""What `pip install 'mmc-gpu[EXTRA]'` adds: an extra, and the package that shows it."""


def findings() -> list[tuple[str, str]]:
    """Return what was found: versions, engines, kernels, extras; the last says what it comes to."""
    found = list(versions().items())
    faults: dict[str, str] = {}  # of each engine; of those that work, nothing
    for name in ENGINES:
        cards = []
        try:
            engine = load_engine(name)
        except BROKEN as error:
            faults[name] = str(error) if isinstance(error, EngineUnavailable) else in_short(error)
        else:
            cards = [(card, *_tried(card)) for card in getattr(engine, "cards", ())]
            failed = [f"{card.title} {state}" for card, works, state in cards if not works]
            faults[name] = failed[0] if failed else _fault(engine)
        state = f"cannot run: {faults[name]}" if faults[name] else "works: it scored a small round"
        found.append((f"engine {name}", state))
        found += [(card.title, f"{card.memory.described()}; it {said}") for card, _, said in cards]
    kernels = sorted(f.name for f in kernel_folder().iterdir() if f.name.endswith(".cu"))
    found.append(("kernels", ", ".join(kernels) or "none"))
    for extra, package in EXTRAS.items():
        version, how = version_of(package), f"not installed: pip install 'mmc-gpu[{extra}]'"
        found.append((f"extra {extra}", f"{package} {version} is installed" if version else how))
    return [*found, ("in short", _in_short(faults))]


def _fault(engine: Engine) -> str:
    """Return why an engine does not score a small round as numpy does, or nothing."""
    random = np.random.default_rng(0)
    round_ = random.random((50, 6)), np.arange(6.0), random.random(50)
    try:
        digests = {score_round(*round_, engine=which).digest for which in ("numpy", engine)}
    except _raised() as error:
        return f"it could not score a small round ({in_short(error)})"
    return "" if len(digests) == 1 else "it scored a small round with other bits than numpy"


def _raised() -> tuple[type[Exception], ...]:
    """Return what compilers, drivers and libraries raise; some have classes of their own."""
    own = {"cupy.cuda.compiler": "CompileException", "numba.core.errors": "NumbaError"}
    found = [getattr(sys.modules[room], name) for room, name in own.items() if room in sys.modules]
    return (*BROKEN, *found)


def _in_short(faults: dict[str, str]) -> str:
    """Return one line: which engines can be used now, and what to do for the others."""
    working = [name for name in reversed(ENGINES) if not faults[name]]
    use = f"--engine {' or '.join(working)} can be used now" if working else "no engine can be used"
    more = [f"for {name}: {faults[name]}" for name in reversed(ENGINES) if faults[name]]
    return "; ".join([use, *more])


def _tried(card: "Card") -> tuple[bool, str]:
    """Return whether a GPU ranks three values, and the outcome in words."""
    try:
        with card.device:
            ranks = card.rank(card.upload(np.array([[0.3, 0.1, 0.3]])), "first").get().tolist()
    except _raised() as error:
        return False, f"could not rank three values ({in_short(error)})"
    if ranks != [[0, -2, 2]]:
        return False, f"ranked three values wrongly, as {ranks}"
    return True, "ranked three values"
