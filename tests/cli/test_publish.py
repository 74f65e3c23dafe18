"""`mmc-gpu publish`, and `verify` for one user: what is said, exit codes, and who gets what."""

import json
import os
import shutil
import subprocess

import pandas as pd
import pytest
from systems import posix


@pytest.fixture
def own(folder, sample, tmp_path):
    """A user's own submission."""
    table = pd.read_parquet(folder / "predictions.parquet", columns=["id", sample.users[0]])
    table.columns = ["id", "prediction"]
    table.to_csv(tmp_path / "ann.csv", index=False)
    return ["--user", sample.users[0], "--submission", tmp_path / "ann.csv"]


def test_it_stops_where_stakers_can_be_rebuilt_unless_it_is_accepted(run, folder, result, tmp_path):
    code, out, err = run("publish", result, folder, "-o", tmp_path / "public")
    assert code == 1
    assert "[publish-discloses]" in err
    assert "stakers that can be rebuilt: " in out
    assert " above 0.95 of 24\n" in out
    assert len(out.splitlines()) == 11
    assert not (tmp_path / "public").exists()
    code, out, _ = run("publish", result, folder, "-o", tmp_path / "public", "--disclose")
    assert code == 0
    root = json.loads((tmp_path / "public/receipt.json").read_text())["root"]
    assert out.splitlines()[-1] == f"published: {tmp_path / 'public'}, root {root}"


def test_below_six_stakers_it_must_always_be_accepted(run, folder, sample, tmp_path):
    stakes = pd.DataFrame({"user": sample.users[:5], "stake": [1.0, 1.1, 0.9, 1.2, 0.8]})
    rng_table = pd.read_parquet(folder / "predictions.parquet")
    for number, user in enumerate(sample.users[:5]):  # nobody is like anybody else
        rng_table[user] = rng_table[user].sample(frac=1, random_state=number).to_numpy()
    rng_table.to_parquet(folder / "predictions.parquet", index=False)
    stakes.to_csv(folder / "stakes.csv", index=False)
    run("score", folder, "-o", tmp_path / "out", "--engine", "numpy")
    code, out, err = run("publish", tmp_path / "out", folder, "-o", tmp_path / "public")
    assert " above 0.95 of 5\n" in out
    assert (code, "[publish-discloses]" in err) == (1, True)


def test_a_user_verifies_from_the_public_folder(run, folder, result, own, tmp_path):
    run("publish", result, folder, "-o", tmp_path / "public", "--disclose")
    code, out, err = run("verify", tmp_path / "public", *own, "--engine", "numpy")
    assert code == 0
    assert out.startswith("verified: 1 user, digest ")
    assert "note: checked, to the bit: corr on 'target': " in err
    assert "note: not checked: that these vectors come from the submitted predictions" in err
    assert run("verify", result, folder, *own[:2])[0] == 0


def test_what_differs_is_exit_code_5_with_expected_and_found(run, folder, result, own, tmp_path):
    run("publish", result, folder, "-o", tmp_path / "public", "--disclose")
    lines = (tmp_path / "ann.csv").read_text().splitlines()
    first, second = (line.split(",") for line in lines[1:3])
    lines[1:3] = [f"{first[0]},{second[1]}", f"{second[0]},{first[1]}"]
    (tmp_path / "ann.csv").write_text("\n".join(lines) + "\n")
    code, _, err = run("verify", tmp_path / "public", *own)
    assert code == 5
    assert " published, " in err
    assert f"not verified: {tmp_path / 'public'}" in err


def test_a_private_folder_and_a_commitment_need_proofs(run, folder, result, own, sample, tmp_path):
    assert run("publish", folder, "--commit", "-o", tmp_path / "commit")[0] == 0
    private = tmp_path / "private"
    code, _, err = run("publish", result, folder, "--private", "--disclose", "-o", private)
    assert code == 0
    assert "private.private/proofs has a file for each user, and for nobody else" in err
    kept = tmp_path / "private.private"
    assert kept.stat().st_mode & 0o77 == 0
    assert (kept / "key").stat().st_mode & 0o77 == 0
    name = f"proofs/{sample.users[0]}.json"
    proofs = ["--proof", kept / name, "--proof", tmp_path / "commit.private" / name]
    commit = ["--commit", tmp_path / "commit"]
    code, _, err = run("verify", private, *own, *proofs, *commit)
    assert code == 0
    assert "committed submission, sha256 " in err
    for lacking in ([], [*proofs[:2], *commit]):
        code, _, err = run("verify", private, *own, *lacking)
        assert code == 1
        assert f"needs the file that {sample.users[0]!r} got of it" in err
    code, _, err = run("verify", result, folder, *own[:2], *proofs[2:], *commit)
    assert code == 0
    assert "committed submission, sha256 " in err
    assert run("verify", result, folder, *own[:2], *commit)[0] == 1  # as above: without its proof
    code, _, err = run("verify", result, folder, *own[:2], *proofs)
    assert (code, err) == (2, "error: proof: the scores are public, and no commitment is named\n")
    before = json.loads((private / "receipt.json").read_text())["root"]
    run("publish", result, folder, "--private", "--disclose", "-o", private)
    assert json.loads((private / "receipt.json").read_text())["root"] == before
    other = ["--key", tmp_path / "commit.private/key"]
    run("publish", result, folder, "--private", "--disclose", "-o", private, *other)
    assert json.loads((private / "receipt.json").read_text())["root"] != before


def test_a_short_key_is_refused(run, folder, tmp_path):
    (tmp_path / "key").write_bytes(b"secret")
    arguments = ["publish", folder, "--commit", "-o", tmp_path / "commit"]
    code, _, err = run(*arguments, "--key", tmp_path / "key")
    assert code == 2
    assert "at least 32 bytes, not 6" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["publish", "out"],
        ["publish", "out", "round", "--commit"],
        ["publish", "round", "--commit", "--private"],
        ["verify", "public"],
        ["verify", "public", "--user", "ann"],
        # what the call would not use
        ["verify", "out", "round", "--submission", "ann.csv"],
        ["verify", "out", "round", "--commit", "sealed"],
        ["verify", "out", "round", "--proof", "ann.json"],
        ["publish", "out", "round", "--missing", "fill"],
        ["publish", "out", "round", "--blend", "ranked"],
        ["publish", "out", "round", "--tournament", "crypto"],
        ["publish", "out", "round", "--key", "key"],
        ["publish", "round", "--commit", "--engine", "cpu"],
    ],
)
def test_what_does_not_go_together_is_a_usage_error(run, arguments, tmp_path):
    where = ["-o", tmp_path / "public"] if arguments[0] == "publish" else []
    assert run(*arguments, *where)[0] == 2


def test_a_folder_that_is_none_of_ours_is_not_replaced(run, folder, result, tmp_path):
    code, _, err = run("publish", result, folder, "--disclose", "-o", result)
    assert code == 1
    assert "[output-foreign]" in err


def test_leave_one_out_is_in_the_table_the_page_and_the_receipt(run, folder, tmp_path):
    run("score", folder, "-o", tmp_path / "out", "--leave-one-out", "--report")
    table = pd.read_parquet(tmp_path / "out/scores.parquet")
    assert list(table)[-2:] == ["corr_without", "worth"]
    assert table["worth"].notna().sum() == 2 * 24
    receipt = json.loads((tmp_path / "out/receipt.json").read_text())
    assert receipt["further_scores"] == ["leave_one_out"]
    page = (tmp_path / "out/report.html").read_text()
    assert '"worth":' in page
    assert run("verify", tmp_path / "out", folder)[0] == 0
    table["worth"] *= 2
    table.to_parquet(tmp_path / "out/scores.parquet", index=False)
    assert run("verify", tmp_path / "out", folder)[0] == 5


def test_signals_submissions_are_cleaned_as_they_were_scored(run, tmp_path):
    round_ = tmp_path / "round"
    (round_ / "submissions").mkdir(parents=True)
    tickers = [f"T{number:03d} US" for number in range(200)]
    ids = [f"I{number:03d}" for number in range(200)][::-1]
    targets = pd.DataFrame({"numerai_ticker": ids, "bloomberg_ticker": tickers})
    targets["target"] = [number % 5 / 4 for number in range(200)]
    targets.to_csv(round_ / "targets.csv", index=False)
    users = [f"user{number}" for number in range(7)]
    for number, user in enumerate(users):
        signal = pd.Series(range(150)).sample(frac=1, random_state=number).to_numpy() / 150
        own = {"bloomberg_ticker": tickers[:150], "signal": signal}
        pd.DataFrame(own).to_csv(round_ / f"submissions/{user}.csv", index=False)
    pd.DataFrame({"user": users, "stake": 1.0}).to_csv(round_ / "stakes.csv", index=False)
    assert run("score", round_, "-o", tmp_path / "out")[0] == 0
    run("publish", tmp_path / "out", round_, "--disclose", "-o", tmp_path / "public")
    run("publish", round_, "--commit", "-o", tmp_path / "commit")
    own = ["--user", "user3", "--submission", round_ / "submissions/user3.csv"]
    proof = ["--proof", tmp_path / "commit.private/proofs/user3.json"]
    code, _, err = run("verify", tmp_path / "public", *own, *proof, "--commit", tmp_path / "commit")
    assert code == 0, err


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="no ssh-keygen")
def test_a_receipt_is_signed_and_checked_with_ssh(run, folder, result, tmp_path):
    run("publish", result, folder, "--disclose", "-o", tmp_path / "public")

    def call(*arguments, receipt=None):
        data = None if receipt is None else receipt.read_bytes()
        return subprocess.run(arguments, input=data, capture_output=True, cwd=tmp_path, check=False)

    receipt = tmp_path / "public/receipt.json"
    assert call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "id").returncode == 0
    signing = ["ssh-keygen", "-Y", "sign", "-f", "id", "-n", "mmc-gpu", receipt]
    assert call(*map(str, signing)).returncode == 0
    (tmp_path / "signers").write_text(f"operator {(tmp_path / 'id.pub').read_text()}")
    checking = ["ssh-keygen", "-Y", "verify", "-f", "signers", "-I", "operator", "-n", "mmc-gpu"]
    checking += ["-s", f"{receipt}.sig"]
    assert call(*checking, receipt=receipt).returncode == 0
    receipt.write_bytes(receipt.read_bytes().replace(b"1", b"2", 1))
    assert call(*checking, receipt=receipt).returncode != 0


def test_no_key_is_made_for_what_cannot_be_published(run, folder, result, tmp_path):
    for odd in (tmp_path / "nothing", folder):
        code, _, err = run("publish", odd, folder, "--private", "-o", tmp_path / "public")
        assert (code, "[receipt-invalid]" in err) == (1, True)
        assert not (tmp_path / "public.private").exists()


@posix
def test_a_pipe_is_no_key_and_a_link_to_one_is(run, folder, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    arguments = ["publish", folder, "--commit", "-o", tmp_path / "commit", "--key"]
    code, _, err = run(*arguments, tmp_path / "pipe")
    assert (code, "[file-regular]" in err) == (1, True)
    (tmp_path / "key").write_bytes(bytes(32))
    (tmp_path / "link").symlink_to(tmp_path / "key")
    assert run(*arguments, tmp_path / "link")[0] == 0
