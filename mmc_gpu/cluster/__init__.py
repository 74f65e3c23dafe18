"""More than one machine: many workers compute blocks, and the bits are those of one machine.

A round takes two passes. Workers read the packed round by its path or URI, which must be the same
on every machine: no prediction goes through the driver.

    pass 1   a worker returns one (draws + 1, stocks) sum for each group of 1,024 stakers; the
             driver adds them in the order of the groups
    pass 2   a worker gets the probes and returns the scores of its users, and the hashes from
             which the digest is made

    pools.py         blocks from any workers: handed out, checked when they arrive, tried again
    sealed.py        what a block is, on the wire and on disk: arrays with a sha256
    ray_pool.py      the workers of a Ray cluster
    round_blocks.py  a round's blocks: what a worker computes
    rounds.py        a round's scores from its blocks
    eras.py          the blocks of `evaluate`, and its scores from them
    shards.py        a round without a framework: `--shard i/n` and `merge`

Ray's token authentication is off by default for clusters that `ray start` makes: whoever reaches
one of their ports runs code on every node (CVE-2023-48022). README.md, beside this file,
says how to switch it on.
"""

from mmc_gpu.cluster.ray_pool import Cluster

__all__ = ["Cluster"]
