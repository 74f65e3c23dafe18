"""A made-up round with the shape of real ones: for the demo, the tests and the benchmarks."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmc_gpu.engines.arrays import Floats

_STAKED = 0.6  # share of the submissions with a stake (a real round: 3,257 of 5,562)

_NMR = {0: 1e-4, 0.09: 0.01, 0.2: 0.0165, 0.5: 2.2, 0.9: 177, 0.95: 511, 0.99: 3133, 1: 17143}
"""Quantiles of the stakes: a tenth are 0.01 NMR and its earnings; the 100 largest of 6,000 hold
56 %."""

_CLOSENESS = {0: -0.06, 0.1: 0.26, 0.25: 0.55, 0.5: 0.74, 0.75: 0.86, 0.9: 0.94, 1: 0.98}
"""Quantiles of the correlation between the ranks of a submission and of the meta model; mirrored
submissions are not counted."""

_COPIES, _ROUNDED, _MIRRORED = 0.15, 0.08, 0.005
"""Shares of the submissions: copies of another one, rounded to 2 to 4 decimals, upside down."""

_DECIMALS = 7
"""Decimals of every prediction. The last bits of products and of `exp` depend on the processor and
the BLAS; rounded to seven decimals, a round depends on them once in 1,000 rounds or so."""

_SHARES = {0.0: 0.05, 0.25: 0.2, 0.5: 0.5, 0.75: 0.2, 1.0: 0.05}  # target values and their shares

_CONSENSUS_SKILL = 0.023
"""Correlation of the consensus with the target: gives submissions a mean CORR of 0.015."""

_OWN_SKILL = 0.0125
"""Spread of the noise's correlation with the target: gives MMC its spread of 0.007."""

_FIRST = """able amber ample azure bold brave brisk bronze calm cedar clever cobalt coral cosmic
crisp daring dusty eager early ember fabled fair fleet fond frosty gentle gilded glad grand hazel
honest humble ivory jolly keen kind lively lucid lunar mellow merry mighty misty noble olive opal
patient placid proud quick quiet rapid rustic sage silent silver solar steady sunny swift tidal
tranquil urban velvet vivid witty""".split()  # noqa: SIM905 - 68 quotes would hide the words

_SECOND = """acorn anchor arrow aspen badger beacon birch bison canyon comet condor crane delta
dune eagle falcon fern finch fjord forest fox gale garnet glacier harbor heron hornet island
jaguar kestrel lagoon lantern lark lynx maple marten meadow meteor moth nebula oak orbit osprey
otter owl panda pebble pine puffin quartz rabbit raven reef river robin salmon sparrow summit
tiger tundra walnut willow wolf zephyr""".split()  # noqa: SIM905


@dataclass(frozen=True, eq=False)
class SampleRound:
    """A round: ids of N stocks, U users, and what was submitted, staked and resolved."""

    ids: list[str]  # the stocks, ascending
    users: list[str]  # the users, in no order
    predictions: Floats  # (U, N) float64 in [0, 1], C order: one submission a row
    stakes: dict[str, float]  # user to NMR, of the staked ones only
    targets: dict[str, Floats]  # name to (N,) float64


def make_sample_round(users: int = 300, stocks: int = 2000, seed: int = 0) -> SampleRound:
    """Return a round that looks like a real one, of at least 1 user and 20 stocks.

    A submission is a share of the consensus, a little of the target and noise of its own. The
    noise is made orthogonal to consensus and target, so that small rounds have the correlations
    and the spread of MMC of real rounds, which have about 5,000 stocks. With one version of NumPy
    the round is the same on every machine; another version may have other distributions.

    Raises:
        ValueError: too few users or stocks.
    """
    if users < 1 or stocks < 20:
        raise ValueError(f"{users} users and {stocks} stocks; a sample round has at least 1 and 20")
    rng = np.random.Generator(np.random.Philox(seed))
    names = _user_names(users, rng)
    ids = sorted(f"n{number:015x}" for number in rng.choice(16**15, stocks, replace=False))
    targets = _targets(stocks, rng)
    predictions = _predictions(users, targets["target"], rng)
    staked = rng.permutation(users)[: max(1, round(_STAKED * users))]
    stakes = _stakes(len(staked), rng)
    of_users = {names[user]: float(stake) for user, stake in zip(staked, stakes, strict=True)}
    return SampleRound(ids, names, predictions, of_users, targets)


def write_sample_round(folder: Path, sample: SampleRound, submissions: bool = False) -> None:
    """Write a round as users have it: predictions.parquet, stakes.csv and targets.csv.

    If `submissions`, there is submissions/ with one CSV file a user in place of predictions.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    if submissions:
        (folder / "submissions").mkdir(exist_ok=True)
        for user, own in zip(sample.users, sample.predictions.tolist(), strict=True):
            columns = {"id": sample.ids, "prediction": own}
            _write_csv(folder / "submissions" / f"{user}.csv", columns)
    else:
        columns = dict(zip(sample.users, sample.predictions, strict=True))
        pq.write_table(pa.table({"id": sample.ids, **columns}), folder / "predictions.parquet")
    _write_csv(folder / "stakes.csv", {"user": sample.stakes, "stake": sample.stakes.values()})
    _write_csv(folder / "targets.csv", {"id": sample.ids, **sample.targets})


def _stakes(count: int, rng: np.random.Generator) -> Floats:
    """Return stakes, evenly from the whole distribution: small rounds have large stakers too."""
    logarithms = np.log(list(_NMR.values()))
    return np.exp(np.interp(_levels(count, rng), list(_NMR), logarithms)).round(6)


def _predictions(users: int, target: Floats, rng: np.random.Generator) -> Floats:
    """Return (users, N) predictions in [0, 1], each more or less close to one consensus."""
    outcome = _standard(target)
    noise = _without(outcome, rng.standard_normal((users + 1, len(target))))
    consensus = _mix(outcome, noise[0], _CONSENSUS_SKILL)
    noise = _without(consensus, noise[1:])
    own = _mix(outcome, noise, _OWN_SKILL * rng.standard_normal((users, 1)))

    closeness = np.interp(_levels(users, rng), list(_CLOSENESS), list(_CLOSENESS.values()))
    closeness = 2 * np.sin(np.pi / 6 * closeness)  # from ranks to normal values
    latent = _mix(consensus, own, closeness[:, None])
    steepness = np.exp(rng.uniform(np.log(0.2), np.log(2), (users, 1)))
    predictions = (1 / (1 + np.exp(-steepness * latent))).round(_DECIMALS)
    _disturb(predictions, rng)
    return predictions


def _disturb(predictions: Floats, rng: np.random.Generator) -> None:
    """Round, mirror and duplicate some of the submissions, in place."""
    users = len(predictions)
    rounded, mirrored, copies = (
        rng.permutation(users)[: round(share * users)] for share in (_ROUNDED, _MIRRORED, _COPIES)
    )
    for user in rounded:
        predictions[user] = predictions[user].round(rng.integers(2, 5))
    predictions[mirrored] = 1 - predictions[mirrored]
    originals = np.setdiff1d(np.arange(users), copies)
    predictions[copies] = predictions[rng.choice(originals, len(copies))]


def _targets(stocks: int, rng: np.random.Generator) -> dict[str, Floats]:
    """Return the main target and an auxiliary one with equal shares, correlated about 0.7."""
    main, other = rng.standard_normal((2, stocks))
    return {"target": _binned(main), "target_ada": _binned(_mix(main, other, 0.8))}


def _binned(values: Floats) -> Floats:
    """Return the target values in the order of `values`, each as often as its share says."""
    edges = np.cumsum(list(_SHARES.values()))[:-1] * len(values)
    place = values.argsort().argsort() + 0.5
    return np.array(list(_SHARES))[np.searchsorted(edges, place)]


def _without(factor: Floats, series: Floats) -> Floats:
    """Return series of mean 0 and variance 1, uncorrelated with a factor of mean 0, variance 1."""
    return _standard(series - np.outer(series @ factor / len(factor), factor))


def _mix(common: Floats, own: Floats, share: float | Floats) -> Floats:
    """Return series of unit variance whose correlation with `common` is `share`."""
    return share * common + np.sqrt(1 - share**2) * own


def _standard(series: Floats) -> Floats:
    """Return series of mean 0 and variance 1."""
    centred = series - series.mean(-1, keepdims=True)
    return centred / centred.std(-1, keepdims=True)


def _levels(count: int, rng: np.random.Generator) -> Floats:
    """Return uniform numbers, one from each of `count` equal parts of [0, 1], in random order."""
    return (rng.permutation(count) + rng.random(count)) / count


def _user_names(users: int, rng: np.random.Generator) -> list[str]:
    """Return unique names such as amber_fox, with a number once the pairs are used up."""
    pairs = [f"{first}_{second}" for first in _FIRST for second in _SECOND]
    order = rng.permutation(len(pairs))
    names = [pairs[order[user % len(pairs)]] for user in range(users)]
    return [
        name if user < len(pairs) else f"{name}_{user // len(pairs) + 1}"
        for user, name in enumerate(names)
    ]


def _write_csv(path: Path, columns: Mapping[str, Iterable[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
