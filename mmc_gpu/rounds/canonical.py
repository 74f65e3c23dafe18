"""Names and numbers as the bytes that digests are made of: the same on every machine."""

import struct
import unicodedata

import numpy as np

from mmc_gpu.engines.arrays import Floats

_NAN = 0x7FF8000000000000


def name_bytes(name: str) -> bytes:
    """Return a name as its length (u32le) and NFC UTF-8."""
    text = unicodedata.normalize("NFC", name).encode()
    return struct.pack("<I", len(text)) + text


def canonical(values: Floats) -> Floats:
    """Return little-endian float64 with one zero and one NaN."""
    numbers = (values + 0.0).astype("<f8")
    numbers.view("<u8")[np.isnan(numbers)] = _NAN
    return numbers
