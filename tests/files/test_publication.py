"""Everybody checks their own score from what an operator publishes; and what that discloses.

Long, because README's table of threats has a test for each row.
"""

import hashlib
import json
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mmc_gpu
from mmc_gpu.cli.runs import Run
from mmc_gpu.engines import load_engine
from mmc_gpu.errors import RoundError
from mmc_gpu.files.formats.table import read_table
from mmc_gpu.files.results.merkle import tree
from mmc_gpu.files.results.own_score import verify_in_result
from mmc_gpu.files.results.publication import (
    Publication,
    commitment,
    leaf_of,
    proof_name,
    publication,
)
from mmc_gpu.files.rounds.packing import pack_round
from mmc_gpu.rounds.draws import draw_counts, draw_weights
from mmc_gpu.rounds.method import Method
from mmc_gpu.rounds.sample import make_sample_round, write_sample_round

KEY = b"k" * 32
HOW = {"missing": "error", "blend": "raw", "tournament": None}


def read_csv(path):
    """Return a CSV file as a frame, with the bits that the package reads."""
    return read_table(path, text=("id",)).to_pandas()


@dataclass
class Made:
    """A round, its result, and what was published of it."""

    path: Path
    sample: object
    draws: int = 6

    @property
    def method(self):
        return Method(self.draws)

    @property
    def users(self):
        return sorted(set(self.sample.users) - {self.left_out})

    @property
    def left_out(self):
        return sorted(self.sample.users)[3]

    @property
    def staker(self):
        return max(self.sample.stakes, key=self.sample.stakes.get)

    def score(self, name="result", round_="round", **options):
        run = Run(self.method, load_engine("numpy"), **options)
        run.score(self.path / round_, self.path / name)
        return self.path / name

    def publish(self, name, result="result", round_="round", engine="numpy", **options):
        made = publication(self.path / result, self.path / round_, engine, **options)
        made.write(self.path / name, self.path / f"{name}.proofs")
        return made

    def submission(self, user):
        return self.path / f"round/submissions/{user}.csv"

    def verify(self, user, folder="public", submission=None, **options):
        given = self.submission(user) if submission is None else submission
        options = {"engine": "numpy"} | options
        return mmc_gpu.verify(self.path / folder, user, given, **options)


def make(path, users=12, stocks=100, seed=5):
    made = Made(path, make_sample_round(users, stocks, seed))
    write_sample_round(path / "round", made.sample, submissions=True)
    made.submission(made.left_out).write_bytes(b"")
    made.score()
    return made


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    made = make(tmp_path_factory.mktemp("made"))
    made.publish("public")
    made.publish("draws", every_draw=True)
    made.publish("private", key=KEY)
    sealed = commitment(made.path / "round", KEY, **HOW)
    sealed.write(made.path / "commit", made.path / "commit.proofs")
    return made


@pytest.fixture
def copy(made, tmp_path):
    """Return a copy of all, to be changed."""
    shutil.copytree(made.path, tmp_path / "copy")
    return Made(tmp_path / "copy", made.sample)


def reseal(folder, change, hashes):
    """Change the table of scores, and make leaves, root and receipt anew, as an operator could."""
    table = change(pd.read_parquet(folder / "scores.parquet"))
    table.to_parquet(folder / "scores.parquet", index=False)
    rows = {}
    for row in table.to_dict("records"):
        rows.setdefault(row["user"], []).append(row)
    leaves = [leaf_of(user, rows[user], hashes[user], b"") for user in sorted(rows)]
    (folder / "leaves.bin").write_bytes(b"".join(leaves))
    remake_receipt(folder, root=tree(leaves)[-1][0].hex())


def remake_receipt(folder, **changes):
    receipt = json.loads((folder / "receipt.json").read_text()) | changes
    for name in receipt["files"]:
        receipt["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "receipt.json").write_text(json.dumps(receipt))


def hashes_of(made):
    """Return the sha256 of each submission, by a plain way of its own."""
    order = np.argsort(made.sample.ids)
    rows = dict(zip(made.sample.users, made.sample.predictions[:, order], strict=True))
    return {user: hashlib.sha256(rows[user].astype("<f8").tobytes()).digest() for user in rows}


def add(score, user, amount):
    def change(table):
        row = table.index[(table["user"] == user) & (table["target"] == table["target"][0])]
        table.loc[row, score] = amount(table.loc[row, score])
        return table

    return change


# honest folders


@pytest.mark.parametrize("folder", ["public", "draws"])
def test_every_user_verifies_on_every_engine(made, engine, folder):
    for user in made.users:
        verdict = made.verify(user, folder, engine=engine.name)
        assert not verdict.differences, (user, verdict.differences)
        assert verdict.engine == engine.name


def test_real_users_verify(shared, tmp_path, engines):
    round_ = shared / "data/real_round"
    run = Run(Method(), load_engine("numpy"))
    scores = run.score(round_, tmp_path / "result")
    for engine in engines:
        made = publication(tmp_path / "result", round_, engine.name)
        made.write(tmp_path / engine.name, tmp_path / f"{engine.name}.proofs")
    predictions = pd.read_parquet(round_ / "predictions.parquet").set_index("id")
    for number, user in enumerate(scores.users[::20]):  # test_every_user_...: all of a small round
        own = predictions[[user]].rename(columns={user: "prediction"})
        engine = engines[number % len(engines)]
        verdict = mmc_gpu.verify(tmp_path / engine.name, user, own, engine=engine.name)
        assert verdict.differences == [], (user, engine.name)


def test_what_is_the_same_for_all_targets_is_said_once_and_found_in_each(tmp_path):
    made = make(tmp_path)
    targets = read_csv(tmp_path / "round/targets.csv")
    targets.assign(other=targets["target"][::-1].to_numpy()).to_csv(
        tmp_path / "round/targets.csv", index=False
    )
    made.score("both")
    made.publish("public", "both")
    user = made.users[0]
    said = [note for note in made.verify(user).notes if "corr_with_meta_model" in note]
    assert len(said) == 1
    assert said[0].startswith("checked, to the bit: corr_with_meta_model: ")

    def forge(table):
        at = (table["user"] == user) & (table["target"] == "other")
        table.loc[at, "corr_with_meta_model"] = np.nextafter(table["corr_with_meta_model"][at], 1)
        return table

    reseal(tmp_path / "public", forge, hashes_of(made))
    (found,) = made.verify(user).differences
    assert found.startswith("corr_with_meta_model: ")


def test_it_is_said_what_was_checked_and_what_cannot_be(made):
    mean = "\n".join(made.verify(made.users[0]).notes)
    draws = "\n".join(made.verify(made.users[0], "draws").notes)
    assert "checked, to the bit: corr on 'target'" in mean
    assert "checked, to the bit: corr_with_meta_model: " in mean
    assert "checked, to 1e-12: mmc on 'target'" in mean or "-13: mmc on 'target'" in mean
    assert "not checked: mmc_se on 'target'" in mean
    for score in ("mmc", "mmc_se", "corr"):
        assert f"checked, to the bit: {score} on 'target'" in draws
    digest = hashlib.sha256((made.path / "public/receipt.json").read_bytes()).hexdigest()
    assert f"out of reach; everybody compares one hash, of receipt.json: {digest}" in mean


@pytest.mark.parametrize("kind", ["pandas", "index", "series", "polars", "parquet", "shuffled"])
def test_a_submission_has_any_form_that_rounds_take(made, tmp_path, kind):
    user = made.users[0]
    own = read_csv(made.submission(user))
    if kind == "polars":
        own = pytest.importorskip("polars").DataFrame(own.to_dict("list"))
    elif kind == "parquet":
        own.to_parquet(tmp_path / "own.parquet", index=False)
        own = tmp_path / "own.parquet"
    elif kind == "shuffled":
        own.sample(frac=1, random_state=1).to_csv(tmp_path / "own.csv", index=False)
        own = tmp_path / "own.csv"
    elif kind != "pandas":
        own = own.set_index("id")
        own = own["prediction"] if kind == "series" else own
    assert made.verify(user, submission=own).differences == []


def test_filled_predictions_are_hashed_as_they_are_scored(copy):
    user = copy.users[0]
    lines = copy.submission(user).read_text().splitlines()
    copy.submission(user).write_text("\n".join([*lines[:5], *lines[9:]]) + "\n")
    copy.score(missing="fill")
    copy.publish("public")
    assert copy.verify(user).differences == []


def test_a_users_score_is_checked_in_the_operators_own_folder(made):
    for user in made.users[:3]:
        verdict = verify_in_result(made.path / "result", made.path / "round", user, engine="numpy")
        assert verdict.differences == []
        assert any("to the bit: mmc_se on" in note for note in verdict.notes)
    own = made.submission(made.users[1])
    verdict = verify_in_result(made.path / "result", made.path / "round", made.users[0], own)
    assert verdict.differences
    verdict = verify_in_result(made.path / "result", made.path / "round", made.left_out)
    assert verdict.differences == [f"no score of {made.left_out!r}: left out, or called otherwise"]


def test_a_result_of_another_round_is_not_published(copy):
    with (copy.path / "round/stakes.csv").open("a") as file:
        file.write(f"{copy.users[0]}x,1\n")
    copy.publish("public")  # a stake without a submission changes no score
    table = pd.read_csv(copy.path / "round/stakes.csv")
    table["stake"] = table["stake"].iloc[::-1].to_numpy()
    table.to_csv(copy.path / "round/stakes.csv", index=False)
    with pytest.raises(RoundError, match="digest"):
        copy.publish("public")


# what is written


def test_the_public_receipt_has_allowed_fields_alone(made):
    receipt = json.loads((made.path / "public/receipt.json").read_text())
    assert set(receipt) == {
        *("schema", "created", "inputs", "engine", "title", "parameters", "users", "stakers"),
        *("stocks", "quarantined", "targets", "private", "every_draw", "root", "versions", "files"),
    }
    assert receipt["inputs"] == []
    assert receipt["quarantined"] == 1
    assert set(receipt["versions"]) == {"mmc_gpu"}
    for name in ("public", "draws", "private", "commit"):
        said = b"".join(path.read_bytes() for path in (made.path / name).iterdir())
        assert made.left_out.encode() not in said
        for sha256 in hashes_of(made).values():
            assert sha256 not in said
            assert sha256.hex().encode() not in said


def test_the_mean_over_the_draws_is_one_inner_product(made):
    series = pd.read_parquet(made.path / "public/meta_model.parquet")
    targets = pd.read_parquet(made.path / "public/targets.parquet")
    table = pd.read_parquet(made.path / "public/scores.parquet")
    assert (series["id"] == targets["id"]).all()
    for (user, target), rows in table.groupby(["user", "target"]):
        own = read_csv(made.submission(user)).sort_values("id")["prediction"]
        ranks = 2 * own.rank(method="first").to_numpy() - (len(own) + 1)
        rest = targets[target] - series[f"mean_{target}"]
        mmc = ranks @ rest / (2 * len(own) * (len(own) - 1)) / made.method.scale
        assert mmc == pytest.approx(rows["mmc"].item(), abs=1e-14)


def test_every_draw_is_published_as_ranks(made):
    series = pd.read_parquet(made.path / "draws/meta_model.parquet")
    assert list(series) == ["id", "full_stakes", *(f"draw_{draw}" for draw in range(6))]
    assert all(series[name].dtype == np.int32 for name in list(series)[1:])


def test_a_leaf_has_the_bytes_that_are_documented(made):
    user = made.users[2]
    rows = pd.read_parquet(made.path / "public/scores.parquet").set_index(["user", "target"])
    own = rows.loc[user].sort_index()
    numbers = own[["mmc", "mmc_se", "corr"]].to_numpy().ravel().tolist()
    numbers.append(own["corr_with_meta_model"].iloc[0])
    name = user.encode()
    data = len(name).to_bytes(4, "little") + name + np.array(numbers, "<f8").tobytes()
    data += hashes_of(made)[user]
    leaves = (made.path / "public/leaves.bin").read_bytes()
    assert leaves[64:96] == hashlib.sha256(b"\0" + data).digest()


def test_a_leaf_has_one_zero_and_one_nan():
    row = {"target": "t", "mmc": -0.0, "mmc_se": None, "corr": 0.0, "corr_with_meta_model": 1.0}
    other = row | {"mmc": 0.0, "mmc_se": -float("nan")}
    assert leaf_of("ann", [row], b"s" * 32, b"") == leaf_of("ann", [other], b"s" * 32, b"")


def test_folder_packed_round_and_shards_have_one_root(made, tmp_path):
    roots = {json.loads((made.path / "public/receipt.json").read_text())["root"]}
    pack_round(made.path / "round", tmp_path / "packed")
    moved = Made(tmp_path, made.sample)
    shutil.copytree(made.path / "result", tmp_path / "result")
    moved.publish("public", round_="packed")
    roots.add(json.loads((tmp_path / "public/receipt.json").read_text())["root"])
    from mmc_gpu.cli.runs import merge
    from mmc_gpu.cluster.shards import Shard

    run = Run(made.method, load_engine("numpy"))
    for _ in range(2):
        run.score_shard(tmp_path / "packed", Shard(1, 1), tmp_path / "work")
        merge(tmp_path / "packed", tmp_path / "work", tmp_path / "merged")
    moved.publish("merged_public", result="merged", round_="packed")
    roots.add(json.loads((tmp_path / "merged_public/receipt.json").read_text())["root"])
    assert len(roots) == 1
    user = made.users[0]
    verdict = mmc_gpu.verify(tmp_path / "public", user, made.submission(user), engine="numpy")
    assert verdict.differences == []


def test_sizes_of_a_real_round_stay_small(made, tmp_path):
    users, stocks, draws = 5562, 5000, 20
    rng = np.random.default_rng(0)
    names = [f"{name}_{number}" for number, name in enumerate(["model_of_somebody"] * users)]
    ids = sorted(f"n{number:015x}" for number in rng.choice(2**40, stocks, replace=False))
    ranks = np.array([rng.permutation(stocks) for _ in range(draws + 1)], np.int32) * 2
    scores = {
        "target": ["target"] * users, "user": names, "stake": rng.lognormal(1, 2, users),
        **{name: rng.normal(0, 1e-2, users) for name in ("mmc", "mmc_se", "corr")},
        "corr_with_meta_model": rng.random(users),
    }  # fmt: skip
    rows = {name: [{"stake": 1.0}] for name in names}
    targets = {"id": ids, "target": rng.choice([0, 0.25, 0.5, 0.75, 1.0], stocks)}
    full = {"id": ids, "full_stakes": ranks[-1]}
    mean = full | {"mean_target": rng.normal(size=stocks)}
    every = full | {f"draw_{draw}": ranks[draw] for draw in range(draws)}
    sizes = []

    class NoRound:
        users = names

        def blocks(self):
            return [(np.arange(len(names)), np.zeros((len(names), 1)))]

    for series in (mean, every):
        tables = {"meta_model.parquet": series, "targets.parquet": targets}
        tables["scores.parquet"] = scores
        out = Publication(tables, {}, rows, NoRound(), b"", {})
        out.write(tmp_path / "public", tmp_path / "proofs")
        sizes.append(sum(path.stat().st_size for path in (tmp_path / "public").iterdir()))
    assert sizes[0] < 1_500_000
    assert sizes[1] < 3_000_000


# threats, in the order of README's table


@pytest.mark.parametrize(
    ("folder", "forge"),
    [
        ("public", lambda mmc: mmc + 1e-9),
        ("public", lambda mmc: mmc * (1 + 1e-9)),
        ("draws", lambda mmc: np.nextafter(mmc, 1)),
    ],
)
def test_one_forged_score_is_found_by_its_user_and_by_nobody_else(copy, folder, forge):
    user, *others = copy.users
    reseal(copy.path / folder, add("mmc", user, forge), hashes_of(copy))
    (line,) = copy.verify(user, folder).differences
    assert line.startswith("mmc on 'target': ")
    assert " published, " in line
    assert line.endswith(" computed")
    for other in others:
        assert copy.verify(other, folder).differences == []


@pytest.mark.parametrize("score", ["corr", "corr_with_meta_model"])
def test_one_ulp_of_a_correlation_is_found(copy, score):
    change = add(score, copy.users[1], lambda corr: np.nextafter(corr, 1))
    reseal(copy.path / "public", change, hashes_of(copy))
    assert copy.verify(copy.users[1]).differences
    assert copy.verify(copy.users[0]).differences == []


def test_a_forged_standard_error_is_found_with_every_draw_alone(copy):
    change = add("mmc_se", copy.users[0], lambda error: error / 2)
    for folder in ("public", "draws"):
        reseal(copy.path / folder, change, hashes_of(copy))
    assert copy.verify(copy.users[0]).differences == []
    assert copy.verify(copy.users[0], "draws").differences


def test_two_swapped_users_are_found_by_both(copy):
    first, second, *others = copy.users

    def swap(table):
        names = {first: second, second: first}
        scores = ["mmc", "mmc_se", "corr", "corr_with_meta_model"]
        rows = {user: table.loc[table["user"] == user, scores].to_numpy() for user in names}
        for user, other in names.items():
            table.loc[table["user"] == user, scores] = rows[other]
        return table

    reseal(copy.path / "public", swap, hashes_of(copy))
    assert copy.verify(first).differences
    assert copy.verify(second).differences
    assert copy.verify(others[0]).differences == []


def proofs(made, user, *folders):
    return [made.path / f"{folder}.proofs" / proof_name(user) for folder in folders]


def committed(made, user, folder="public", **options):
    known = proofs(made, user, "commit") + (options.pop("more", []))
    return made.verify(user, folder, commit=made.path / "commit", proof=known, **options)


def test_a_changed_stake_is_shown_and_is_found_with_a_commitment(copy):
    assert committed(copy, copy.staker).differences == []
    table = pd.read_csv(copy.path / "round/stakes.csv")
    table.loc[table["user"] == copy.staker, "stake"] *= 2
    table.to_csv(copy.path / "round/stakes.csv", index=False)
    copy.score("result")
    copy.publish("public")
    verdict = copy.verify(copy.staker)
    stake = copy.sample.stakes[copy.staker]
    assert f"stake, to be compared with your own: {2 * stake}" in verdict.notes
    assert verdict.differences == []  # nobody else can know
    assert committed(copy, copy.staker).differences == [
        f"stake, as committed: {2 * stake} published, {stake} computed"
    ]


def test_a_dropped_submission_is_missed_by_its_user(copy):
    user, other = copy.users[:2]
    kept = copy.path / "own.csv"
    copy.submission(user).rename(kept)
    copy.score("result")
    copy.publish("public")
    verdict = committed(copy, user, submission=kept)
    assert verdict.differences == [f"no score of {user!r}: left out, or called otherwise"]
    assert any("committed submission" in note for note in verdict.notes)
    assert copy.verify(other).differences == []  # who cannot know


def test_an_exchanged_submission_is_found_by_its_user(copy):
    user, other = copy.users[:2]
    own = copy.path / "own.csv"
    shutil.copy(copy.submission(user), own)
    shutil.copy(copy.submission(other), copy.submission(user))
    copy.score("result")
    copy.publish("public")
    assert any("submission, sha256" in d for d in copy.verify(user, submission=own).differences)


def test_a_submission_that_both_exchange_is_found_with_a_commitment_alone(copy):
    user = copy.staker
    target = copy.sample.targets["target"]
    best = pd.DataFrame({"id": copy.sample.ids, "prediction": target * 0.9})
    best.to_csv(copy.submission(user), index=False)
    copy.score("result")
    copy.publish("public")
    assert copy.verify(user).differences == []  # not caught
    (line,) = committed(copy, user).differences
    assert line.startswith("committed submission, sha256 ")


def test_vectors_that_differ_have_another_hash(copy):
    user = copy.users[0]
    honest = copy.verify(user).digest
    series = pd.read_parquet(copy.path / "public/meta_model.parquet")
    series["mean_target"] += 1e-3  # a constant moves no score
    series.to_parquet(copy.path / "public/meta_model.parquet", index=False)
    remake_receipt(copy.path / "public")
    forged = copy.verify(user)
    assert forged.differences == []
    assert forged.digest != honest
    series["mean_target"] *= 1.5
    series.to_parquet(copy.path / "public/meta_model.parquet", index=False)
    remake_receipt(copy.path / "public")
    assert copy.verify(user).differences


def test_a_forged_count_of_the_quarantine_is_missed_by_those_who_are_scored(copy):
    remake_receipt(copy.path / "public", quarantined=7)
    assert copy.verify(copy.users[0]).differences == []  # not caught
    own = copy.submission(copy.users[1])
    assert copy.verify(copy.left_out, submission=own).differences


def test_another_submission_is_not_the_one_that_was_scored(made):
    user, other = made.users[:2]
    assert made.verify(user, submission=made.submission(other)).differences


def test_a_submission_that_ranks_alike_is_not_the_one_that_was_scored(made):
    own = read_csv(made.submission(made.users[0]))
    own["prediction"] /= 2
    (line,) = made.verify(made.users[0], submission=own).differences
    assert line.startswith("submission, sha256 ")


def test_a_user_of_another_name_has_no_score(made):
    verdict = made.verify("nobody", submission=made.submission(made.users[0]))
    assert verdict.differences == ["no score of 'nobody': left out, or called otherwise"]


@pytest.mark.parametrize("stakers", [2, 5, 120])
def test_whoever_rebuilds_a_staker_finds_what_was_said(tmp_path, stakers):
    """From the public folder alone: three scores are three equations for the weights of a fit."""
    users = -(-stakers * 5 // 3)
    made = Made(tmp_path, make_sample_round(users, 400, 2), 20)
    staked = list(made.sample.stakes)
    write_sample_round(tmp_path / "round", made.sample)
    made.score()
    said = made.publish("public").exposed
    assert len(said) == len(staked) == stakers
    series = pd.read_parquet(tmp_path / "public/meta_model.parquet")
    targets = pd.read_parquet(tmp_path / "public/targets.parquet").drop(columns="id")
    table = pd.read_parquet(tmp_path / "public/scores.parquet").set_index(["user", "target"])
    stocks = len(series)
    largest = max(staked, key=made.sample.stakes.get)
    full = series["full_stakes"].to_numpy(float)
    length = np.sqrt(stocks * (stocks**2 - 1) / 3)
    columns, products = [full], [table.loc[largest, "corr_with_meta_model"].iloc[0] * length**2]
    for name in targets:
        t = (targets[name] - targets[name].mean()).to_numpy()
        own = table.loc[(largest, name)]
        with_target = own["corr"] * length * np.sqrt(t @ t)
        rest = own["mmc"] * 0.0841 * 2 * stocks * (stocks - 1)
        columns += [t, series[f"mean_{name}"].to_numpy()]
        products += [with_target, with_target - rest]
    columns, lengths = np.array(columns), np.linalg.norm(columns, axis=1)
    columns, products = columns / lengths[:, None], products / lengths
    rebuilt = np.linalg.lstsq(columns @ columns.T, products, rcond=1e-12)[0] @ columns
    order = np.argsort(
        np.argsort(made.sample.predictions[made.sample.users.index(largest)], kind="stable")
    )
    assert np.corrcoef(rebuilt, order)[0, 1] == pytest.approx(said[largest], abs=1e-3)


@pytest.mark.parametrize("stakers", [2, 5, 120])
def test_whoever_knows_the_stakes_rebuilds_a_staker_from_the_draws(tmp_path, stakers):
    made = Made(tmp_path, make_sample_round(-(-stakers * 5 // 3), 400, 2), 20)
    write_sample_round(tmp_path / "round", made.sample)
    made.score()
    said = made.publish("draws", every_draw=True).exposed
    assert list(said.values()) == sorted(said.values(), reverse=True)
    table = pd.read_parquet(tmp_path / "draws/scores.parquet")
    stakes = table[table["target"] == "target"].set_index("user")["stake"]
    stakes = stakes[stakes > 0].sort_index()
    series = pd.read_parquet(tmp_path / "draws/meta_model.parquet")
    draws = np.array([series[f"draw_{draw}"] for draw in range(20)], float)
    weights = draw_weights(stakes.to_numpy(), draw_counts(len(stakes)))
    largest = stakes.index.get_loc(stakes.idxmax())
    rebuilt = np.linalg.pinv(weights)[largest] @ draws
    row = made.sample.predictions[made.sample.users.index(stakes.idxmax())]
    found = np.corrcoef(rebuilt, np.argsort(np.argsort(row, kind="stable")))[0, 1]
    assert said[stakes.idxmax()] - 0.15 < found <= said[stakes.idxmax()] + 1e-9


# private publications and commitments


def test_a_private_folder_has_neither_scores_nor_stakes(made):
    names = {path.name for path in (made.path / "private").iterdir()}
    assert names == {"meta_model.parquet", "targets.parquet", "leaves.bin", "receipt.json"}
    user = made.users[0]
    assert made.verify(user, "private", proof=proofs(made, user, "private")).differences == []
    other = proofs(made, made.users[1], "private")
    with pytest.raises(RoundError, match="--proof"):
        made.verify(user, "private", proof=other)
    with pytest.raises(RoundError, match="--proof"):
        made.verify(user, "private")


def test_a_proof_has_row_salt_and_path(made):
    import hmac

    for user in made.users:
        (path,) = proofs(made, user, "private")
        proof = json.loads(path.read_text())
        assert proof["salt"] == hmac.digest(KEY, user.encode(), "sha256").hex()
        assert [row["user"] for row in proof["rows"]] == [user, user]
        assert made.verify(user, "private", proof=[path]).differences == []


def test_a_forged_proof_is_found(copy):
    user = copy.users[0]
    (path,) = proofs(copy, user, "private")
    proof = json.loads(path.read_text())
    for changes in ({"leaf": 5}, {"path": proof["path"][1:]}, {"salt": "00" * 32}, {"leaves": 7}):
        path.write_text(json.dumps(proof | changes))
        (line,) = copy.verify(user, "private", proof=[path]).differences
        assert line.startswith("submission, sha256 ")
    proof["rows"][0]["mmc"] += 1e-9
    path.write_text(json.dumps(proof))
    assert len(copy.verify(user, "private", proof=[path]).differences) == 2


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"root": 1}', "[" * 100_000, "\0", "\ud800"])
def test_what_is_no_proof_is_refused(made, tmp_path, text):
    (tmp_path / "proof.json").write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(RoundError, match=r"proof\.json is no proof: .*\[proof-invalid\]"):
        made.verify(made.users[0], "private", proof=[tmp_path / "proof.json"])


def test_the_same_key_gives_the_same_root_and_another_one_another(made, tmp_path):
    def root(key):
        made_ = publication(made.path / "result", made.path / "round", "numpy", key=key)
        return made_.write(tmp_path / "private", tmp_path / "proofs")

    first = json.loads((made.path / "private/receipt.json").read_text())["root"]
    assert root(KEY) == first
    assert root(b"x" * 32) != first


def test_a_commitment_needs_no_targets_and_is_kept_to(copy):
    user = copy.staker
    assert committed(copy, user).differences == []
    private = {"folder": "private", "more": proofs(copy, user, "private")}
    assert committed(copy, user, **private).differences == []
    (copy.path / "round/targets.csv").rename(copy.path / "targets.csv")
    pd.read_csv(copy.path / "targets.csv")[["id"]].to_csv(copy.path / "round/ids.csv", index=False)
    before = commitment(copy.path / "round", KEY, **HOW)
    root = json.loads((copy.path / "commit/receipt.json").read_text())["root"]
    assert before.write(copy.path / "earlier", copy.path / "earlier.proofs") == root
    pack_round(copy.path / "round", copy.path / "packed")
    packed = commitment(copy.path / "packed", KEY, **HOW)
    assert packed.write(copy.path / "other", copy.path / "other.proofs") == root
    with pytest.raises(RoundError, match="--proof"):
        copy.verify(user, commit=copy.path / "commit")


def test_names_of_proofs_are_files_everywhere():
    assert proof_name("ann") == "ann.json"
    assert proof_name("../x/y") == "..%2Fx%2Fy.json"
    assert len(proof_name("ü" * 128)) == len(proof_name("Con.a")) == 64 + 5
    assert proof_name("Ann") == "Ann.json"
    assert len({proof_name(user, True).lower() for user in ("Ann", "ann")}) == 2


# folders that anybody may have written


@pytest.mark.parametrize("name", ["meta_model.parquet", "targets.parquet", "scores.parquet"])
@pytest.mark.parametrize("data", [b"", b"PAR1", None])
def test_a_file_that_is_no_table_is_one_line(copy, name, data):
    folder = copy.path / "public"
    if data is None:
        pd.DataFrame({"id": ["a", "b", "c"], "x": [1.0, 2.0, 3.0]}).to_parquet(folder / name)
    else:
        (folder / name).write_bytes(data)
    with pytest.raises(RoundError):
        copy.verify(copy.users[0])
    remake_receipt(folder)
    with suppress(RoundError):
        assert copy.verify(copy.users[0]).differences


@pytest.mark.parametrize("change", [{"root": 5}, {"parameters": {}}, {"every_draw": True}])
def test_a_receipt_that_does_not_fit_is_refused(copy, change):
    remake_receipt(copy.path / "public", **change)
    found = ["receipt-invalid"]
    with suppress(RoundError):
        found = copy.verify(copy.users[0]).differences
    assert found
