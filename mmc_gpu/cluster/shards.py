"""The two passes for sites with a scheduler of their own: `--shard i/n` and `merge`.

All shards of a round write into one folder, which the machines share or whose copies are put
together; what a shard does next follows from what lies there:

    mmc-gpu score PACKED --shard 1/3 -o WORK     (2/3, 3/3)  sums of groups of stakers
    mmc-gpu merge PACKED WORK                    the meta models
    mmc-gpu score PACKED --shard 1/3 -o WORK     (2/3, 3/3)  scores of users
    mmc-gpu merge PACKED WORK -o RESULT          the result; the blocks are removed

A shard that was killed goes on where it was; blocks that are there are not computed again. The
second pass may have another number of shards than the first.
"""

from dataclasses import dataclass
from pathlib import Path

from mmc_gpu.cluster.blocks import BLEND, SCORE, Job, block_name
from mmc_gpu.cluster.driver import HerePool, join_blends, join_scores, run_blocks
from mmc_gpu.cluster.sealed import Store
from mmc_gpu.errors import RoundError, shown
from mmc_gpu.round import Round
from mmc_gpu.scores import Draws, RoundScores
from mmc_gpu.scoring import Probes, Progress, check_blend

_META_MODELS = "meta_models"


@dataclass(frozen=True)
class Shard:
    """One of several equal parts of a pass; the first is number 1."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Return the shard that "2/3" names.

        Raises:
            ValueError: it names none.
        """
        number, slash, of = text.partition("/")
        if not (slash and number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
            raise ValueError(f"a shard is i/n with i from 1 to n, such as 2/3, not {text!r}")
        return cls(int(number), int(of))

    def blocks(self, count: int) -> range:
        """Return which of a pass's blocks are this shard's: neighbours on disk."""
        return range(count * (self.number - 1) // self.of, count * self.number // self.of)


def run_shard(
    round_: Round, job: Job, shard: Shard, folder: Path, progress: Progress | None = None
) -> str:
    """Compute a shard of the pass that is due; return which one: "blend" or "score".

    Raises:
        RoundError: a block has failed three times.
        ValueError: the round was checked for another blend.
    """
    check_blend(round_, job.method)
    store = Store(folder, job.key)
    meta_models = store.get(_META_MODELS)
    stage = BLEND if meta_models is None else SCORE
    shared = () if meta_models is None else (Probes.of(meta_models["ranks"], round_),)
    numbers = shard.blocks(job.blocks(stage, round_))
    report = progress or (lambda stage, done, total: None)
    run_blocks(job, round_, HerePool(), store, stage, numbers, *shared, report=report)
    return stage


def merge_shards(
    round_: Round, job: Job, folder: Path, draws: Draws | bool = False
) -> RoundScores | None:
    """Return the scores, if the second pass is complete; after the first, None.

    Raises:
        RoundError: shards-missing: the pass is not complete.
    """
    store = Store(folder, job.key)
    meta_models = store.get(_META_MODELS)
    if meta_models is None:
        _complete(job, round_, store, BLEND)
        store.put(_META_MODELS, {"ranks": join_blends(job, round_, store)})
        return None
    _complete(job, round_, store, SCORE)
    probes = Probes.of(meta_models["ranks"], round_)
    return join_scores(job, round_, store, probes, draws)


def _complete(job: Job, round_: Round, store: Store, stage: str) -> None:
    count = job.blocks(stage, round_)
    names = (block_name(stage, number) for number in range(count))
    missing = [name for name in names if store.get(name) is None]
    if missing:
        detail = f"{len(missing):,} of {count:,} {stage} blocks are not there, or not of this run"
        raise RoundError("shards-missing", f"{store.folder}: {detail}: {shown(missing)}")
