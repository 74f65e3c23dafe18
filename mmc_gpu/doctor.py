"""What is installed and what runs here."""

from importlib.resources import files

from mmc_gpu.engines import ENGINES, load_engine
from mmc_gpu.errors import EngineUnavailable
from mmc_gpu.files.results import versions


def findings() -> list[tuple[str, str]]:
    """Return what was found: versions, then each engine and the kernels, in plain words."""
    found = list(versions().items())
    for name in ENGINES:
        try:
            engine = load_engine(name)
        except EngineUnavailable as error:
            found.append((f"engine {name}", f"cannot run: {error}"))
        else:
            found.append((f"engine {name}", "works"))
            found += [(card.title, card.memory()) for card in getattr(engine, "cards", ())]
    kernels = sorted(f.name for f in files("mmc_gpu.kernels").iterdir() if f.name.endswith(".cu"))
    found.append(("kernels", ", ".join(kernels) or "none"))
    return found
