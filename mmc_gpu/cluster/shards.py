"""The two passes for sites with a scheduler of their own: `--shard i/n` and `merge`.

All shards of a round write into one folder. The machines share it, or somebody puts its copies
together. What lies in the folder decides what a shard computes next:

    mmc-gpu score PACKED --shard 1/3 -o WORK     (2/3, 3/3)  sums of groups of stakers
    mmc-gpu merge PACKED WORK                    the meta models
    mmc-gpu score PACKED --shard 1/3 -o WORK     (2/3, 3/3)  scores of users
    mmc-gpu merge PACKED WORK -o RESULT          the result; the blocks are removed

A shard that was killed goes on where it stopped: blocks that lie in the folder are not computed
again. The second pass may have another number of shards than the first. A damaged row fails its
shard; the error names the user, whose submission must be packed again. job.json holds the options:
all shards must have the same, and `merge` takes them from there.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from mmc_gpu.cluster.pools import HerePool, block_name
from mmc_gpu.cluster.round_blocks import BLEND, SCORE, RoundJob
from mmc_gpu.cluster.rounds import join_blends, join_scores, probes_of, run_pass
from mmc_gpu.cluster.sealed import Store, seal
from mmc_gpu.errors import RoundError, shown
from mmc_gpu.files.results.receipt import UNFIT
from mmc_gpu.inputs.options import Progress, silent
from mmc_gpu.rounds.block_scores import Draws
from mmc_gpu.rounds.method import Method
from mmc_gpu.rounds.scores import Scores

_META_MODELS = "meta_models"
_JOB = "job.json"
_KINDS = {"rows": int, "draws": bool, "partial": bool, "manifest": str, "version": str}


@dataclass(frozen=True)
class Shard:
    """One of several equal parts of a pass; the first is number 1."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Return the shard that "2/3" names.

        Raises:
            ValueError: the text names no shard.
        """
        number, slash, of = text.partition("/")
        if not (slash and number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
            raise ValueError(f"a shard is i/n with i from 1 to n, such as 2/3, not {text!r}")
        return cls(int(number), int(of))

    def part(self, count: int) -> range:
        """Return which of `count` blocks are this shard's; they lie together on disk."""
        return range(count * (self.number - 1) // self.of, count * self.number // self.of)


def run_shard(job: RoundJob, shard: Shard, folder: Path, progress: Progress = silent) -> str:
    """Compute a shard of the pass that is due; return the name of the pass, "blend" or "score".

    Raises:
        RoundError: a block has failed three times, or the folder holds shards of another job, or
            output-foreign: other files and no shards.
    """
    store = Store(folder, job.key)
    if not (folder / _JOB).exists():
        store.refuse_foreign()
        store.write(_JOB, job.text.encode())
    elif (folder / _JOB).read_bytes() != job.text.encode():
        detail = "holds shards of another round, of other options or another version"
        raise RoundError("shards-differ", f"{folder}: {detail}")
    found = store.find(_META_MODELS)
    stage = BLEND if found is None else SCORE
    others = () if found is None else (probes_of(job, found["blends"]),)
    numbers = shard.part(len(job.numbers(stage)))
    run_pass(job, HerePool(), store, stage, others, numbers, progress)
    return stage


def job_of_shards(folder: Path, packed: Path) -> RoundJob:
    """Return the job whose shards lie in a folder.

    Raises:
        RoundError: shards-missing: there are none.
    """
    try:
        of = json.loads((folder / _JOB).read_text())
        if {name: type(of[name]) for name in _KINDS} != _KINDS or of["rows"] < 1:
            raise ValueError(f"{_JOB} is damaged")
        of |= {"method": Method(**of["method"]), "damaged": ()}
        return RoundJob(folder=str(packed.absolute()), engine="shards", **of)
    except UNFIT as error:
        raise RoundError("shards-missing", f"{folder}: no shards: {error}") from error


def merge_shards(job: RoundJob, folder: Path, draws: Draws | bool = False) -> Scores | None:
    """Join the blocks of the pass that is due: None after the first, the scores after the second.

    Raises:
        RoundError: shards-missing: the pass is not complete.
    """
    store = Store(folder, job.key)
    found = store.find(_META_MODELS)
    stage = BLEND if found is None else SCORE
    names = [block_name(stage, number) for number in job.numbers(stage)]
    if missing := [name for name in names if store.find(name) is None]:
        detail = f"{len(missing):,} of {len(names):,} {stage} blocks are not there"
        raise RoundError("shards-missing", f"{folder}: {detail}: {shown(missing)}")
    if found is None:
        store.write(_META_MODELS, seal(job.key, _META_MODELS, {"blends": join_blends(job, store)}))
        return None
    return join_scores(job, store, probes_of(job, found["blends"]), draws)
