"""A Merkle tree, as RFC 6962, 2.1, has it: one hash for many leaves, and a short path for each."""

import hashlib
from collections.abc import Sequence


def hash_of(*parts: bytes) -> bytes:
    """Return the sha256 of parts, one after another; a zero byte comes before a leaf's."""
    return hashlib.sha256(b"".join(parts)).digest()


def tree(leaves: Sequence[bytes]) -> list[list[bytes]]:
    """Return the levels of the tree from the hashes of leaves up; an odd node goes up as it is."""
    levels = [list(leaves) or [hash_of()]]
    while len(level := levels[-1]) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        above = [hash_of(b"\1", *pair) for pair in pairs]
        levels.append(above + level[2 * len(above) :])
    return levels


def path_of(levels: Sequence[Sequence[bytes]], at: int) -> list[bytes]:
    """Return the hashes beside the way from the leaf at a place up to the root."""
    beside = [(level, (at >> height) ^ 1) for height, level in enumerate(levels)]
    return [level[place] for level, place in beside if place < len(level)]


def root_of(leaf: bytes, at: int, size: int, path: Sequence[bytes]) -> bytes:
    """Return the root above a leaf, of so many, by its path; b"" if the path does not fit."""
    left = list(path)
    while size > 1:
        if at ^ 1 < size:
            beside = left.pop(0) if left else b""
            leaf = hash_of(b"\1", *((beside, leaf) if at & 1 else (leaf, beside)))
        at, size = at >> 1, (size + 1) >> 1
    return b"" if left or at else leaf
