"""How a round is scored: the options of the bootstrap MMC, and what is documented of each."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from mmc_gpu.engines.protocol import Ties

Blend = Literal["raw", "ranked"]

SCALE = 0.0841
"""0.29 squared: the documented divisor (docs.numer.ai, metamodel contribution, 2020)."""


@dataclass(frozen=True)
class Method:
    """The options of a score; equal options and equal inputs give equal bits.

    Attributes:
        draws: how many draws of stakers are averaged.
        sample: share of the stakers picked a draw, with replacement; 0 < sample <= 1.
        seed: which sequence of draws, 0 to 2**64 - 1.
        ties: equal predictions rank in order of the ids ("first") or share their rank ("average").
        blend: what is blended: predictions as submitted ("raw") or their ranks ("ranked").
        scale: what the covariance is divided by; the published scores fit 1/12.

    Raises:
        ValueError: an option is out of its range.
    """

    draws: int = 20
    sample: float = 0.67
    seed: int = 0
    ties: Ties = "first"
    blend: Blend = "raw"
    scale: float = SCALE

    def __post_init__(self) -> None:
        """Check each option once; everything behind trusts them."""
        if isinstance(self.draws, bool) or not isinstance(self.draws, int) or self.draws < 1:
            raise ValueError(f"draws must be a whole number of at least 1, not {self.draws!r}")
        if not 0.0 < self.sample <= 1.0:
            raise ValueError(f"sample must be above 0 and at most 1, not {self.sample!r}")
        if not isinstance(self.seed, int) or not 0 <= self.seed < 2**64:
            raise ValueError(f"seed must be a whole number from 0 to 2**64 - 1, not {self.seed!r}")
        if self.ties not in get_args(Ties):
            raise ValueError(f"ties must be 'first' or 'average', not {self.ties!r}")
        if self.blend not in get_args(Blend):
            raise ValueError(f"blend must be 'raw' or 'ranked', not {self.blend!r}")
        if not 0.0 < self.scale < math.inf:
            raise ValueError(f"scale must be a positive number, not {self.scale!r}")

    def canonical(self) -> str:
        """Return the options as canonical JSON, the bytes that the digest covers."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))


def read_method(parameters: Mapping[str, Any]) -> Method:
    """Return the method whose options stand in a receipt.

    Raises:
        TypeError: an option is unknown.
        ValueError: an option is missing, or out of its range.
    """
    if absent := sorted(set(Method.__dataclass_fields__) - set(parameters)):
        raise ValueError(f"no options {absent}")
    return Method(**parameters)
