"""How a round is scored: the options of the bootstrap MMC, and what is documented of each.

A new option is a field of `Method`, with its check and its sentence, and a parameter of
`score_round` and of `mmc-gpu score`; tests compare the three. No digest and no receipt changes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

from mmc_gpu.engines.protocol import Ties
from mmc_gpu.errors import real, shown, whole
from mmc_gpu.inputs.options import check_option

Blend = Literal["raw", "ranked"]

SCALE = 0.0841  # 0.29 squared: the documented divisor (docs.numer.ai, metamodel contribution, 2020)

_ALWAYS = ("draws", "sample", "seed", "ties", "blend", "scale")
"""The options of version 0.1, which every receipt holds. Never add one: any other option is left
out while it is at its default, so that older digests and receipts stay as they are."""

_RUN = ("missing", "on_error")  # other options of a run, which stand beside these in a receipt

_MOST_DRAWS = 1_000_000  # anybody may have written a receipt


@dataclass(frozen=True)
class Method:
    """The options of a score; equal options and equal inputs give equal bits.

    Numbers of any type become Python's: sample and scale floats, draws and seed whole numbers, so
    that equal options have one digest.

    Attributes:
        draws: how many draws of stakers are averaged.
        sample: share of the stakers picked a draw, with replacement; above 0, at most 1.
        seed: which sequence of draws, 0 to 2**64 - 1.
        ties: equal predictions rank in order of the ids ("first") or share their rank ("average").
        blend: what is blended by stake: predictions as submitted ("raw") or ranks ("ranked").
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

    _written: ClassVar[Mapping[str, Any] | None] = None
    """The options as they stand in a receipt, if they were read from one."""

    def __post_init__(self) -> None:
        """Check each option once; all other modules trust them."""
        object.__setattr__(self, "draws", whole("draws", self.draws, 1, _MOST_DRAWS))
        seed = int(self.seed) if isinstance(self.seed, bool) else self.seed  # as version 0.1 took
        object.__setattr__(self, "seed", whole("seed", seed, 0, 2**64 - 1))
        object.__setattr__(self, "sample", real("sample", self.sample, 0, 1))
        check_option("ties", self.ties, Ties)
        check_option("blend", self.blend, Blend)
        object.__setattr__(self, "scale", real("scale", self.scale, 0))

    def parameters(self) -> dict[str, Any]:
        """Return the options by name, as a receipt holds them.

        The options of version 0.1, and each later one that is not at its default.
        """
        if self._written is not None:
            return dict(self._written)
        return {
            field.name: value
            for field in fields(self)
            if (value := getattr(self, field.name)) != field.default or field.name in _ALWAYS
        }

    def canonical(self) -> str:
        """Return the options as canonical JSON, the bytes that the digest covers."""
        return json.dumps(self.parameters(), sort_keys=True, separators=(",", ":"))


def read_method(parameters: Mapping[str, Any]) -> Method:
    """Return the options that a receipt holds.

    Version 0.1 wrote numbers as they were given, such as `"sample": 1` or `"seed": false`, and its
    digests cover that text. The `Method` that is returned keeps it: its `canonical` gives the
    receipt's own text. It equals any other `Method` with the same options.

    `missing` and `on_error`, if they are among the parameters, are passed over.

    Raises:
        ValueError: an option is missing, unknown, or out of its range.
    """
    options = {name: parameters[name] for name in parameters if name not in _RUN}
    known = {field.name for field in fields(Method)}
    if wrong := sorted(options.keys() - known) + sorted(set(_ALWAYS) - options.keys()):
        raise ValueError(f"unknown or missing options: {shown(wrong)}")
    method = Method(**options)
    object.__setattr__(method, "_written", options)
    return method
