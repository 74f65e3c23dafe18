"""One round on many workers: the two passes in blocks, the same bits as on one machine.

pass 1   a worker returns one (draws + 1, stocks) sum for each group of 1,024 stakers; the driver
         adds them in the order of the groups
pass 2   a worker gets the probes and returns the scores of its users, and the hashes the digest is
         made of

Workers read the packed round by its path, which must be the same on every machine: a shared file
system, or a bucket mounted as one. No prediction goes over the network but by that path.

    blocks.py    a block as a pure function: what shards and workers call
    sealed.py    what a block returns: arrays with a sha256, on the wire and on disk
    driver.py    the blocks of a round from any pool of workers, to its scores
    ray_pool.py  the pool of a Ray cluster
    shards.py    the same without a framework: `--shard i/n` and `merge`

Ray's token authentication is off by default for clusters that `ray start` makes: whoever reaches
one of their ports runs code on every node (CVE-2023-48022). Set RAY_AUTH_MODE=token where `ray
start` runs, on every node, and where this runs; `ray get-auth-token --generate` makes the token, in
~/.ray/auth_token, which every node needs (or RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH). Keep the ports
on a private network all the same.
"""

from mmc_gpu.cluster.driver import score_on_cluster
from mmc_gpu.cluster.ray_pool import Cluster

__all__ = ["Cluster", "score_on_cluster"]
