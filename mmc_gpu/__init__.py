"""Numerai's Meta Model Contribution for all users of a round at once."""

from pathlib import Path

__version__ = "0.1.0"

_here = Path(__file__).parent
if not (_here / "kernels").is_dir():  # a checkout or an editable install: beside the package
    __path__.append(str(_here.parent))
