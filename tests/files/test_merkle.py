"""The tree is RFC 6962's, by an independent computation from its recursive definition."""

import hashlib
from functools import cache

import pytest

from mmc_gpu.files.results.merkle import hash_of, path_of, root_of, tree


def sha256(data):
    return hashlib.sha256(data).digest()


def split(leaves):
    """Return the largest power of two below the number of leaves."""
    power = 1
    while 2 * power < len(leaves):
        power *= 2
    return power


@cache
def head(leaves):
    """MTH of RFC 6962, section 2.1."""
    if len(leaves) < 2:
        return sha256(b"\0" + leaves[0]) if leaves else sha256(b"")
    at = split(leaves)
    return sha256(b"\1" + head(leaves[:at]) + head(leaves[at:]))


def path(place, leaves):
    """PATH of RFC 6962, section 2.1.1."""
    if len(leaves) == 1:
        return []
    at = split(leaves)
    if place < at:
        return [*path(place, leaves[:at]), head(leaves[at:])]
    return [*path(place - at, leaves[at:]), head(leaves[:at])]


@pytest.mark.parametrize("size", [*range(20), 33, 64, 65])
def test_root_and_paths_are_those_of_the_rfc(size):
    leaves = tuple(f"leaf {place}".encode() for place in range(size))
    levels = tree([hash_of(b"\0", leaf) for leaf in leaves])
    assert levels[-1] == [head(leaves)]
    for place in range(size):
        found = path_of(levels, place)
        assert found == path(place, leaves)
        leaf = levels[0][place]
        assert root_of(leaf, place, size, found) == head(leaves)
        for other in range(size):
            if other != place:
                assert root_of(leaf, other, size, found) != head(leaves)
        for wrong in (found[:-1], [*found, leaf], found[::-1] if len(found) > 1 else [leaf]):
            if wrong != found:
                assert root_of(leaf, place, size, wrong) != head(leaves)


def test_golden_roots_of_certificate_transparency():
    """Of the test vectors of Google's certificate-transparency, for 0 to 8 leaves."""
    leaves = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657",
              "606162636465666768696a6b6c6d6e6f"]  # fmt: skip
    roots = {
        1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    }
    hashes = [hash_of(b"\0", bytes.fromhex(leaf)) for leaf in leaves]
    for size, root in roots.items():
        assert tree(hashes[:size])[-1][0].hex() == root
