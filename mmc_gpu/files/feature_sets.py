"""Numerai's features.json: the names of the features in each set."""

import json
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from mmc_gpu.errors import RoundError, shown
from mmc_gpu.files.formats.source import read_source


class FeatureSet(NamedTuple):
    """The features of a set, and what a receipt says of the file that names them."""

    names: list[str]
    entry: dict[str, Any]


def read_feature_set(path: "str | PathLike[str]", name: str | None) -> FeatureSet:
    """Return the features of one of the sets in a features.json.

    Raises:
        RoundError: the file cannot be read, has no sets, or none of that name.
    """
    source = read_source(Path(path))
    try:
        sets = json.loads(source.data)["feature_sets"]
        known = {key: [*names] for key, names in sets.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        detail = f"{source.name} has no object feature_sets with lists of names"
        raise RoundError("file-damaged", detail) from error
    if name not in known:
        asked = "name one in feature_set=" if name is None else f"no set {shown([name])}"
        raise RoundError("column-unknown", f"{source.name}: {asked}; there are {shown(known, 9)}")
    return FeatureSet(known[name], source.entry(source.path.name) | {"role": "features"})
