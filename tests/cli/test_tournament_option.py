"""`--tournament`: in the receipt only where it is asked for, and verified like that."""

import json

import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def crypto(tmp_path):
    """A round whose submissions lack stocks, with a column id: not known as Crypto by itself."""
    rng = np.random.default_rng(2)
    folder = tmp_path / "crypto"
    (folder / "submissions").mkdir(parents=True)
    ids = [f"COIN{number}" for number in range(150)]
    pd.DataFrame({"id": ids, "target": rng.random(150)}).to_csv(folder / "targets.csv", index=False)
    stakes = pd.DataFrame({"user": ["a", "b", "c"], "stake": [1, 2, 3]})
    stakes.to_csv(folder / "stakes.csv", index=False)
    for number, user in enumerate("abc"):
        chosen = rng.permutation(ids)[: 110 + number]
        frame = pd.DataFrame({"id": chosen, "signal": rng.random(len(chosen))})
        frame.to_csv(folder / "submissions" / f"{user}.csv", index=False)
    return folder


def test_an_asked_tournament_is_in_the_receipt_and_verified(run, crypto, tmp_path):
    out = tmp_path / "out"
    assert run("score", crypto, "-o", out)[0] == 1
    assert run("check", crypto, "--tournament", "crypto")[0] == 0
    code, _, err = run("score", crypto, "-o", out, "--tournament", "crypto")
    assert code == 0, err
    assert "tournament crypto, as asked" in " ".join(err.split())
    receipt = json.loads((out / "receipt.json").read_text())
    assert receipt["parameters"]["tournament"] == "crypto"
    assert run("verify", out, crypto)[0] == 0
    receipt["parameters"]["tournament"] = "chess"
    (out / "receipt.json").write_text(json.dumps(receipt))
    code, _, err = run("verify", out, crypto)
    assert code == 1
    assert "[receipt-invalid]" in err


def test_packing_cleans_too(run, crypto, tmp_path):
    assert run("pack", crypto, "-o", tmp_path / "packed", "--tournament", "crypto")[0] == 0
    digests = []
    for round_, options in ((crypto, ["--tournament", "crypto"]), (tmp_path / "packed", [])):
        out = tmp_path / f"out {len(digests)}"
        assert run("score", round_, "-o", out, *options)[0] == 0
        digests.append(json.loads((out / "receipt.json").read_text())["scores_digest"])
    assert digests[0] == digests[1]


def test_a_finished_round_is_scored_again_for_another_tournament(run, crypto, folder, tmp_path):
    rounds = ["score", crypto, folder, "-o", tmp_path / "all"]
    err = run(*rounds)[2]
    assert "failed" in err
    assert run(*rounds)[2].count("finished before") == 1  # Numerai's own
    crypto_alone = ["score", crypto, "-o", tmp_path / "all" / "crypto", "--tournament", "crypto"]
    assert run(*crypto_alone)[0] == 0
    assert run(*rounds)[2].count("finished before") == 1  # not with other options
