"""What an operator publishes of a round, so that everybody can check their own score.

    meta_model.parquet   id; full_stakes: ranks; mean_TARGET: see `explained`, or draw_N: ranks
    targets.parquet      the ids, in every form that submissions may use, and the targets
    scores.parquet       by user and target; in a private publication each user gets a proof instead
    leaves.bin           32 bytes a user, by name
    receipt.json         root, sha256 of every file, and what is allowed of the result's own receipt

A commitment, made before there are targets, has ids.parquet and leaves of stakes, not of scores.
"""

import hmac
import re
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np

from mmc_gpu.engines import GROUP, Engine, Ties, load_engine
from mmc_gpu.engines.ahead import fetched
from mmc_gpu.engines.arrays import Floats, on_host, value_count
from mmc_gpu.engines.selection import copied
from mmc_gpu.errors import RoundError
from mmc_gpu.files.formats.places import Place
from mmc_gpu.files.results.folder import write_result
from mmc_gpu.files.results.merkle import hash_of, path_of, tree
from mmc_gpu.files.results.receipt import RECEIPT, read_round_receipt
from mmc_gpu.files.results.rounds import read_result
from mmc_gpu.files.rounds.folder import RoundFolder
from mmc_gpu.files.rounds.packed import is_packed
from mmc_gpu.files.rounds.read import read_round
from mmc_gpu.files.writing.replace import replace_folder
from mmc_gpu.files.writing.tables import json_bytes, parquet_bytes, table_rows
from mmc_gpu.rounds.algebra import explained
from mmc_gpu.rounds.further import canonical, name_bytes
from mmc_gpu.rounds.round import Round
from mmc_gpu.rounds.scoring import Probes, score
from mmc_gpu.rounds.title import said
from mmc_gpu.version import __version__

PUBLIC, COMMITMENT = "mmc_gpu public 1", "mmc_gpu commitment 1"
META_MODEL, TARGETS, IDS = "meta_model.parquet", "targets.parquet", "ids.parquet"
SCORES, LEAVES = "scores.parquet", "leaves.bin"
_COLUMNS = ("target", "user", "stake", "mmc", "mmc_se", "corr", "corr_with_meta_model")

_ALLOWED = ("title", "parameters", "users", "stakers", "stocks", "quarantined")
"""Of a result's receipt: options and counts, nothing of a single user."""

_OF_WINDOWS = re.compile(r"(con|prn|aux|nul|(com|lpt)\d)(\..*)?", re.IGNORECASE)


def leaf_of(user: str, rows: list[Any], submission: bytes, salt: bytes) -> bytes:
    """Return the hash of a user's leaf: name, numbers, sha256 of the submission, salt.

    Numbers are those of each target by name, then that of none; or the stake, of a commitment.
    """
    by_name = sorted(rows, key=lambda row: str(row.get("target")))
    numbers = [row[name] for row in by_name for name in ("mmc", "mmc_se", "corr") if name in row]
    numbers.append(rows[0]["corr_with_meta_model"] if numbers else rows[0]["stake"])
    data = canonical(np.array(numbers, np.float64)).tobytes()
    return hash_of(b"\0", name_bytes(user), data, submission, salt)


def submission_hashes(round_: Round) -> dict[str, bytes]:
    """Return the sha256 of each user's predictions as scored: float64, little-endian, by id."""
    found: dict[str, bytes] = {}
    for places, block in round_.blocks():
        rows = np.ascontiguousarray(on_host(copied(block)), "<f8")
        users = [round_.users[place] for place in places.tolist()]
        found |= {u: sha256(row.data).digest() for u, row in zip(users, rows, strict=True)}
    return found


class Publication(NamedTuple):
    """What is ready to be written; with a key of salts, rows go to their users alone, as proofs."""

    tables: Mapping[str, Mapping[str, Any]]
    said: dict[str, Any]
    rows: dict[str, list[Any]]
    round: Round
    key: bytes
    exposed: dict[str, float]

    def write(self, output: Path, proofs: Path) -> str:
        """Write the proofs, then the folder, each whole or not at all; return the root."""
        users, key = sorted(self.rows), self.key
        salts = {user: hmac.digest(key, user.encode(), "sha256") if key else b"" for user in users}
        hashes = submission_hashes(self.round)
        leaves = [leaf_of(user, self.rows[user], hashes[user], salts[user]) for user in users]
        levels = tree(leaves)
        made = self.said | {"root": levels[-1][0].hex()}
        proof = {"root": made["root"], "leaves": len(users)}
        files: dict[str, Any] = {}
        alike = Counter(user.casefold() for user in users)
        for at, user in enumerate(users if key else ()):
            own: Any = {"user": user, "rows": self.rows[user], "salt": salts[user].hex()}
            own |= {"leaf": at, "path": [node.hex() for node in path_of(levels, at)]}
            files[proof_name(user, alike[user.casefold()] > 1)] = lambda file, own=own: file.write(
                json_bytes(proof | own)
            )
        if key:
            replace_folder(proofs, files, [path.name for path in proofs.glob("*.json")])
        known = (META_MODEL, TARGETS, IDS, SCORES, LEAVES, RECEIPT, f"{RECEIPT}.sig")
        tables: dict[str, Any] = {LEAVES: lambda file: file.write(b"".join(leaves))}
        for name, columns in self.tables.items():
            tables[name] = lambda file, columns=columns: file.write(parquet_bytes(columns))
        write_result(output, tables, made, None, known)
        return str(made["root"])


def proof_name(user: str, alike: bool = False) -> str:
    """Return the name of the file of a user's proof, which every file system takes.

    Windows has names of its own, and knows no case: two users may be `alike` but for that.
    """
    name = quote(user, safe=" ")
    taken = alike or len(name) > 200 or _OF_WINDOWS.fullmatch(name)
    return f"{sha256(user.encode()).hexdigest() if taken else name}.json"


def publication(
    result: Path, round_: Place, engine: str = "auto", every_draw: bool = False, key: bytes = b""
) -> Publication:
    """Return what is published of a result, whose round is scored again, to have the same digest.

    Each draw's meta model, or what an MMC needs of all; with a key, neither scores nor stakes.
    """
    receipt, found = read_round_receipt(result), read_result(result)[0].columns()
    read = read_round(round_, **receipt.reading).round
    loaded = load_engine(engine, work=value_count(read.predictions))
    scores = score(read, receipt.method, loaded, draws=False)
    if scores.digest != (was := receipt.digests["scores"]):
        now = f"the round gives {scores.digest[:16]}"
        raise RoundError("receipt-invalid", f"{result}: digest {was[:16]}, {now}")
    assert scores.meta_models is not None
    *draws, full = ranks = scores.meta_models.ranks
    series = {f"draw_{n}": draw for n, draw in enumerate(draws)}
    if not every_draw:
        probes = Probes.of(ranks, read, loaded)
        of_targets = zip(probes.targets, probes.with_targets, strict=True)
        series = {f"mean_{t.name}": explained(ranks, probes.squares, p, t) for t, p in of_targets}
    shown = np.array([full, *series.values(), *read.targets.values()], np.float64)
    rows = _by_user({"target": scores.targets * len(scores.users)} | found, _COLUMNS)
    table = [row for user in sorted(rows) for row in rows[user]]
    tables = {META_MODEL: {"id": read.ids, "full_stakes": full} | series}
    tables[TARGETS] = _ids(round_, read, receipt.options.get("tournament")) | read.targets
    tables |= {} if key else {SCORES: {name: [row[name] for row in table] for name in _COLUMNS}}
    allowed = {name: receipt.said[name] for name in _ALLOWED if name in receipt.said}
    allowed |= {"targets": scores.targets, "private": bool(key), "every_draw": every_draw}
    fit = exposed(read, shown, receipt.method.ties, loaded)
    return Publication(tables, _receipt(PUBLIC, allowed), rows, read, key, fit)


def exposed(round_: Round, series: Floats, ties: Ties, engine: Engine) -> dict[str, float]:
    """Return the correlation of each staker's ranks with their fit to (P, N) series; highest first.

    Anybody can make it without draws: a user's three scores are the equations of its weights.
    """
    series = series - series.mean(axis=1, keepdims=True)
    series /= np.maximum(np.linalg.norm(series, axis=1, keepdims=True), np.finfo(float).tiny)
    _, sizes, directions = np.linalg.svd(series, full_matrices=False)
    directions = directions[sizes > 1e-9 * sizes[0]]  # the others are sums of these
    found: dict[str, float] = {}
    for places, block in fetched(round_.predictions, round_.staker_blocks(GROUP), engine):
        ranks = engine.get(engine.rank(engine.put(block), ties)).astype(np.float64)
        fitted = np.linalg.norm(ranks @ directions.T, axis=1) / np.linalg.norm(ranks, axis=1)
        found |= zip(round_.users[places], np.minimum(fitted, 1.0).tolist(), strict=True)
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))


def commitment(round_: Place, key: bytes, **options: Any) -> Publication:
    """Return who has submitted and staked what, sealed; read as it will be, but without targets."""
    read = read_round(round_, targets=False, **options).round
    made = _receipt(COMMITMENT, {"title": said(read.title), "parameters": options})
    rows = _by_user({"user": read.users, "stake": read.stakes}, ("user", "stake"))
    return Publication({IDS: _ids(round_, read, options["tournament"])}, made, rows, read, key, {})


def _receipt(schema: str, allowed: dict[str, Any]) -> dict[str, Any]:
    made = {"schema": schema, "created": datetime.now(UTC).isoformat(timespec="seconds")}
    return {**made, "inputs": [], "engine": "", "versions": {"mmc_gpu": __version__}, **allowed}


def _by_user(table: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, list[Any]]:
    """Return each user's rows of a table, of the columns of these names; NaN is None."""
    rows: dict[str, list[Any]] = {}
    for row in table_rows({name: table[name] for name in names}):
        rows.setdefault(row["user"], []).append(row)
    return rows


def _ids(folder: Place, round_: Round, tournament: Any) -> dict[str, Any]:
    """Return the columns of ids by which submissions may name the stocks of a round."""
    universe = None if is_packed(folder) else RoundFolder(folder, tournament, "keep").universe
    columns = {"id": round_.ids} if universe is None else universe.ids
    first = {id_: place for place, id_ in enumerate(next(iter(columns.values())))}
    return {name: [ids[first[id_]] for id_ in round_.ids] for name, ids in columns.items()}
