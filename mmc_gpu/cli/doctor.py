"""What is installed and what runs here."""

from typing import TYPE_CHECKING

import numpy as np

from mmc_gpu.engines import ENGINES, load_engine
from mmc_gpu.engines.gpu.library import kernel_folder
from mmc_gpu.errors import EngineUnavailable
from mmc_gpu.files.results.receipt import versions

if TYPE_CHECKING:
    from mmc_gpu.engines.gpu.card import Card


def findings() -> list[tuple[str, str]]:
    """Return versions, the state of each engine and GPU, and the kernels: name and plain words."""
    found = list(versions().items())
    for name in ENGINES:
        try:
            engine = load_engine(name)
        except EngineUnavailable as error:
            found.append((f"engine {name}", f"cannot run: {error}"))
        else:
            tried = [(card, _tried(card)) for card in getattr(engine, "cards", ())]
            failed = [f"{card.title} {state}" for card, (works, state) in tried if not works]
            found.append((f"engine {name}", f"cannot run: {failed[0]}" if failed else "works"))
            found += [(card.title, f"{card.memory()}; it {said}") for card, (_, said) in tried]
    kernels = sorted(f.name for f in kernel_folder().iterdir() if f.name.endswith(".cu"))
    found.append(("kernels", ", ".join(kernels) or "none"))
    return found


def _tried(card: "Card") -> tuple[bool, str]:
    """Return whether a GPU ranks three values, and the outcome in words."""
    try:
        with card.device:
            ranks = card.rank(card.upload(np.array([[0.3, 0.1, 0.3]])), "first").get().tolist()
    except Exception as error:  # of a compiler, a driver or a library: whatever it is, it is shown
        reason = next(iter(str(error).splitlines()), "")
        return False, f"could not rank three values ({type(error).__name__}: {reason})"
    if ranks != [[0, -2, 2]]:
        return False, f"ranked three values wrongly, as {ranks}"
    return True, "ranked three values"
