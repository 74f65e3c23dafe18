"""A participant's check: the own score, from the own submission and what the operator published."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unicodedata import normalize

import numpy as np

from mmc_gpu.engines import Engine, load_engine
from mmc_gpu.engines.selection import copied
from mmc_gpu.errors import RoundError, as_given
from mmc_gpu.files.formats.places import Place, as_path
from mmc_gpu.files.formats.source import read_source
from mmc_gpu.files.formats.table import split_suffix
from mmc_gpu.files.results import publication as made
from mmc_gpu.files.results.folder import columns_of, source_of
from mmc_gpu.files.results.merkle import path_of, root_of, tree
from mmc_gpu.files.results.receipt import RECEIPT, UNFIT, Receipt, as_floats, read_receipt, refusing
from mmc_gpu.files.results.verify import Verdict
from mmc_gpu.files.rounds.read import read_round
from mmc_gpu.files.rounds.submissions import SUBMISSION
from mmc_gpu.files.writing.tables import arrow_bytes, table_rows
from mmc_gpu.inputs.frames import take_frame
from mmc_gpu.rounds.method import read_method
from mmc_gpu.rounds.round import Round
from mmc_gpu.rounds.scoring import Probes, score_block

_OUTSIDE = ("partial", "tournament")
_CLOSE = 1e-12  # of the largest MMC that there can be: sums in another order differ by far less


def verify(
    public: str | Path,
    user: str,
    submission: Any,
    *,
    proof: Sequence[str | Path] = (),
    commit: str | Path | None = None,
    engine: str = "auto",
) -> Verdict:
    """Compute one user's score from what an operator has published, and compare them.

    Verified if the verdict has no `differences`; its `notes` say what was checked, and what cannot
    be without the submissions of all; its `digest` is the hash that everybody compares.

    Args:
        public: folder that `mmc-gpu publish` has written.
        user: whose score.
        submission: the user's own: a file as rounds have it, or a frame (id, prediction).
        proof: the user's files of a private publication, and of a commitment.
        commit: folder of the commitment, made before the targets were known.
        engine: what computes; need not be the operator's.

    Raises:
        RoundError: a folder, a proof or the submission cannot be read, or a proof is lacking.
        EngineUnavailable: the engine cannot run here.
        ValueError: a proof is given, and nothing that needs one.
    """
    if not isinstance(user, str):
        raise ValueError(f"user must be a name, not {as_given(user)}")
    public, user = as_path("public", public), normalize("NFC", user)
    receipt, loaded = read_receipt(public, (made.PUBLIC,)), load_engine(engine, work=1)
    if proof and commit is None and made.SCORES in receipt.files:
        raise ValueError("proof: the scores are public, and no commitment is named")
    verdict = Verdict(1, read_source(public / RECEIPT).sha256, loaded.name, [], [])
    with refusing(public):
        if own := _proof(receipt, user, proof):
            one = _round_of_one(receipt, made.TARGETS, submission)
            verdict.notes.append(f"stake, to be compared with your own: {own['rows'][0]['stake']}")
            _compare(verdict, own["rows"], one, receipt, loaded)
            _check_leaf(verdict, "submission", receipt, own, one)
        else:
            verdict.differences.append(f"no score of {user!a}: left out, or called otherwise")
    open_ = "not checked: that these vectors come from the submitted predictions: out of reach"
    verdict.notes.append(f"{open_}; everybody compares one hash, of {RECEIPT}: {verdict.digest}")
    if commit is None:
        verdict.notes.append("not checked: an exchange once targets are known; see commitments")
    else:
        earlier = read_receipt(commit := as_path("commit", commit), (made.COMMITMENT,))
        with refusing(commit):
            before = _proof(earlier, user, proof) or {}
            one = _round_of_one(earlier, made.IDS, submission)
            _check_leaf(verdict, "committed submission", earlier, before, one)
            stakes = [said["rows"][0]["stake"] for said in (own or before, before)]
            _tell(verdict, "stake, as committed", *stakes)
    return verdict


def verify_in_result(
    result: Path, round_: Place, user: str, submission: Any = None, engine: str = "auto", **how: Any
) -> Verdict:
    """Do what `verify` does where all submissions are, by its options: every draw, to the bit."""
    of_all = made.publication(result, round_, engine, every_draw=True)
    if submission is None and (user := normalize("NFC", user)) in of_all.rows:
        at = of_all.round.users.index(user)
        submission = replace(of_all.round, users=[user], rows=of_all.round.rows[at : at + 1])
    with TemporaryDirectory() as work:
        of_all.write(Path(work) / "public", Path(work))
        return verify(Path(work) / "public", user, submission, engine=engine, **how)


def _round_of_one(receipt: Receipt, ids: str, given: Any) -> Round:
    """Return a round of one submission, on the stocks of a published file; see `verify`."""
    if isinstance(given, Round):
        return given
    if isinstance(given, str | Path):
        source = read_source(Path(given), SUBMISSION.max_bytes)
        suffix, data = split_suffix(source.path)[1], source.data
    else:
        import pyarrow as pa

        suffix, data = ".parquet", arrow_bytes(pa.table(take_frame(given, "submission").table))
    how = {n: v for n, v in receipt.said["parameters"].items() if n in ("missing", *_OUTSIDE)}
    with TemporaryDirectory() as work:
        folder = Path(work)
        (folder / "submissions").mkdir()
        (folder / f"submissions/submission{suffix}").write_bytes(data)
        (folder / ids).write_bytes(source_of(receipt, ids).data)
        (folder / "stakes.csv").write_text("user,stake\nsubmission,1\n")
        resolved = ids == made.TARGETS  # ranked: whether it keeps to [0, 1] is the operator's care
        return read_round(folder, on_error="fail", blend="ranked", targets=resolved, **how).round


def _proof(receipt: Receipt, user: str, files: Sequence[str | Path]) -> dict[str, Any] | None:
    """Return a user's rows and the way from their leaf to the root: public, or the user's own."""
    if made.SCORES in receipt.files:
        table = columns_of(source_of(receipt, made.SCORES))
        data = source_of(receipt, made.LEAVES).data
        users, own_rows = sorted(set(table["user"])), np.asarray(table["user"], object) == user
        if user not in users:
            return None
        levels, at = tree([data[n : n + 32] for n in range(0, len(data), 32)]), users.index(user)
        rows = table_rows({name: np.asarray(cells)[own_rows] for name, cells in table.items()})
        own: Any = {"user": user, "rows": rows, "salt": "", "leaf": at, "leaves": len(levels[0])}
        return own | {"path": [node.hex() for node in path_of(levels, at)]}
    for file in map(Path, files):
        data = read_source(file).data
        try:
            found: dict[str, Any] = json.loads(data)
            if (found["root"], found["user"]) == (receipt.said["root"], user):
                return found
        except UNFIT as error:
            raise RoundError("proof-invalid", f"{file} is no proof: {error!r}") from error
    raise RoundError("proof-invalid", f"{receipt.folder}: needs the file that {user!a} got of it")


def _check_leaf(verdict: Verdict, what: str, receipt: Receipt, proof: Any, one: Round) -> None:
    """Note whether a submission and the rows of a proof make a leaf under the published root."""
    (sha256,) = made.submission_hashes(one).values()
    leaf = made.leaf_of(proof["user"], proof["rows"], sha256, bytes.fromhex(proof["salt"]))
    path = [bytes.fromhex(node) for node in proof["path"]]
    root = root_of(leaf, int(proof["leaf"]), int(proof["leaves"]), path).hex()
    what = f"{what}, sha256 {sha256.hex()[:16]}, in leaf {proof['leaf'] + 1:,}: root"
    _tell(verdict, what, receipt.said["root"], root)


def _tell(verdict: Verdict, what: str, there: Any, now: Any, close: float = 0.0) -> None:
    """Note what was checked and how closely, or what differs; NaN is the same as NaN."""
    if there == now or (there != there and now != now) or (close and abs(there - now) <= close):
        how = f"to {close:.0e}" if close else "to the bit"
        verdict.notes.append(f"checked, {how}: {what}: {now}")
    else:
        verdict.differences.append(f"{what}: {there} published, {now} computed")


def _compare(verdict: Verdict, rows: Any, one: Round, receipt: Receipt, engine: Engine) -> None:
    """Note which of a user's published scores are those that are computed now.

    Without the draws a constant one is scored, with which the MMC is c.t but for its factor: so the
    one on t - v, with v of `explained`, is the mean MMC on t.
    """
    said, series = receipt.said, columns_of(source_of(receipt, made.META_MODEL))
    method = read_method({n: v for n, v in said["parameters"].items() if n not in _OUTSIDE})
    targets, full, scores = list(one.targets), series["full_stakes"], ["corr", "mmc", "mmc_se"]
    if said["every_draw"]:
        ranks = np.array([*(series[f"draw_{n}"] for n in range(method.draws)), full])
    else:
        ranks, method, scores = np.array([0 * full, full]), replace(method, draws=1), ["corr"]
        rest = {f"{n} rest": t - as_floats(series[f"mean_{n}"]) for n, t in one.targets.items()}
        one = replace(one, targets=one.targets | rest)
    stocks = len(one.ids)
    if list(series["id"]) != one.ids or ranks.dtype != np.int32 or abs(ranks).max() > stocks:
        raise ValueError(f"{made.META_MODEL}: no ranks of the stocks, by id")
    probes, block = Probes.of(ranks, one, engine), engine.put(copied(one.take(slice(0, 1))))
    moments = engine.moments(block, probes.rows, method.ties)
    found, by_target = score_block(moments, probes, method), {row["target"]: row for row in rows}
    for number, (name, target) in enumerate(zip(targets, probes.targets, strict=False)):
        row, on = by_target[name], f"on {name!a}"
        values = {f"{score} {on}": getattr(found, score)[number, 0] for score in scores}
        there = as_floats([row[score] for score in scores])
        for what, value, was in zip(values, values.values(), there, strict=True):
            _tell(verdict, what, float(was), float(value))
        if not said["every_draw"]:
            unit = math.ldexp(_CLOSE / (2 * stocks * (stocks - 1)) / method.scale, target.exponent)
            close = unit * math.sqrt(moments[0, -1] * target.variance)
            mmc = float(found.mmc[number + len(targets), 0])
            _tell(verdict, f"mmc {on}", float(as_floats(row["mmc"])), mmc, close)
            verdict.notes.append(f"not checked: mmc_se {on} needs the meta model of every draw")
    # one number, which stands beside each target
    for was in np.unique(as_floats([row["corr_with_meta_model"] for row in rows])):
        _tell(verdict, "corr_with_meta_model", float(was), float(found.corr_with_meta_model[0]))
