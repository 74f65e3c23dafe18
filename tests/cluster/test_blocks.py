"""A round in blocks: the same bits for any number of them, whatever fails."""

import os
from dataclasses import replace

import numpy as np
import pytest
from packed_rounds import METHOD, RecordingPool, TamperingPool, damage, expected, in_groups, job

import mmc_gpu
from mmc_gpu.cluster import rounds
from mmc_gpu.cluster.pools import HerePool
from mmc_gpu.cluster.round_blocks import BLEND, SCORE, RoundJob
from mmc_gpu.cluster.rounds import score_in_blocks
from mmc_gpu.cluster.sealed import Store, seal, unseal
from mmc_gpu.errors import EngineUnavailable, RoundError
from mmc_gpu.files.rounds.read import read_round
from mmc_gpu.rounds.method import Method
from mmc_gpu.rounds.scoring import score

SEVERAL = 7


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """A round of 7 groups of stakers, and its digest from one process."""
    return in_groups(tmp_path_factory.mktemp("several") / "packed", SEVERAL)


class TestTheSameBits:
    @pytest.mark.parametrize("partitions", [1, 2, 3, SEVERAL])
    def test_for_any_number_of_blocks(self, several, partitions):
        round_, digest = several
        made = job(round_, rows=-(-SEVERAL // partitions) * 1024)
        assert len(made.numbers(BLEND)) == partitions
        assert score_in_blocks(made, HerePool(), draws=False).digest == digest

    @pytest.mark.parametrize(
        "method", [Method(draws=2, blend="ranked"), Method(draws=1, ties="average")]
    )
    def test_for_other_methods(self, packed, method, engine):
        round_ = read_round(packed, blend=method.blend).round
        made = RoundJob.of(round_, method, engine.name, rows=2048, draws=True)
        one = score(round_, method, mmc_gpu.load_engine("numpy"))
        scores = score_in_blocks(made, HerePool())
        assert scores.digest == one.digest
        assert scores.engine == engine.name
        np.testing.assert_array_equal(scores.draws, one.draws)
        np.testing.assert_array_equal(scores.meta_model_corr, one.meta_model_corr)
        np.testing.assert_array_equal(scores.corr_with_meta_model, one.corr_with_meta_model)
        np.testing.assert_array_equal(scores.meta_models.ranks, one.meta_models.ranks)
        np.testing.assert_array_equal(scores.meta_models.blend, one.meta_models.blend)

    def test_blocks_come_back_in_any_order(self, packed):
        class Backwards(HerePool):
            def run(self, function, numbers, shared):
                yield from reversed(list(super().run(function, numbers, shared)))

        round_ = read_round(packed).round
        scores = score_in_blocks(job(round_), Backwards(), draws=False)
        assert scores.digest == expected(packed)


class TestWhatArrives:
    def test_a_changed_byte_breaks_the_seal(self):
        sealed = bytearray(seal("key", "a", {"x": np.arange(3)}))
        np.testing.assert_array_equal(unseal("key", "a", bytes(sealed))["x"], [0, 1, 2])
        for place in (0, 70, len(sealed) - 1):
            changed = sealed.copy()
            changed[place] ^= 1
            with pytest.raises(RoundError, match="sha256"):
                unseal("key", "a", bytes(changed))
        for label in (("key", "b"), ("other", "a")):
            with pytest.raises(RoundError, match="sha256"):
                unseal(*label, bytes(sealed))

    @pytest.mark.parametrize("stage", [BLEND, SCORE])
    def test_a_tampered_block_is_computed_again(self, packed, stage):
        round_ = read_round(packed).round
        pool = TamperingPool(stage, lambda sealed: sealed[:-1] + bytes([sealed[-1] ^ 1]))
        assert score_in_blocks(job(round_), pool, draws=False).digest == expected(packed)
        assert pool.ran.count((stage, 1)) == 2

    def test_a_block_of_another_job_is_not_taken(self, packed):
        round_ = read_round(packed).round
        other = replace(job(round_), method=Method(draws=3, seed=1))
        pool = TamperingPool(BLEND, lambda _: rounds.blend_block(other, 1), times=3)
        with pytest.raises(RoundError, match="block blend-000001: its sha256"):
            score_in_blocks(job(round_), pool)

    @pytest.mark.parametrize(
        ("stage", "name", "wrong"), [(SCORE, "zeros", 1), (BLEND, "sums", np.inf)]
    )
    def test_a_block_that_cannot_be_right_is_not_taken(self, packed, stage, name, wrong):
        round_ = read_round(packed).round
        key = job(round_).key

        def spoilt(sealed):
            arrays = dict(unseal(key, f"{stage}-000001", sealed))
            arrays[name] = arrays[name].copy()
            arrays[name].flat[7] += wrong
            return seal(key, f"{stage}-000001", arrays)

        with pytest.raises(RoundError, match=r"do not sum to 0|not finite"):
            score_in_blocks(job(round_), TamperingPool(stage, spoilt, times=3))

    def test_a_round_that_changes_meanwhile_is_refused(self, packed):
        made = replace(job(read_round(packed).round), manifest="0" * 64)
        with pytest.raises(RoundError, match="changed since"):
            rounds.blend_block(made, 0)

    def test_a_worker_of_another_version_is_refused(self, packed):
        made = replace(job(read_round(packed).round), version="0.0.1")
        with pytest.raises(EngineUnavailable, match=r"0\.0\.1 on the driver"):
            rounds.blend_block(made, 0)


class TestFaults:
    def test_only_unfinished_blocks_are_computed_again(self, packed, tmp_path):
        round_, keep = read_round(packed).round, tmp_path / "keep"
        first = RecordingPool({(SCORE, 2): 3})
        with pytest.raises(RoundError, match="score block 2"):
            score_in_blocks(job(round_), first, keep=keep, draws=False)
        damaged = next(keep.rglob("blend-000001"))
        damaged.write_bytes(damaged.read_bytes()[:-1])
        second = RecordingPool()
        scores = score_in_blocks(job(round_), second, keep=keep, draws=False)
        assert second.ran[0] == (BLEND, 1)
        assert set(second.ran) & set(first.ran) == {(BLEND, 1), (SCORE, 2)}
        assert scores.digest == expected(packed)
        assert not keep.exists()

    def test_a_block_may_fail_twice(self, packed):
        round_ = read_round(packed).round
        pool = RecordingPool({(BLEND, 0): 2, (SCORE, 1): 2})
        scores = score_in_blocks(job(round_), pool, draws=False)
        assert pool.ran.count((BLEND, 0)) == pool.ran.count((SCORE, 1)) == 3
        assert scores.digest == expected(packed)

    def test_the_third_failure_names_the_users(self, packed):
        round_ = read_round(packed).round
        with pytest.raises(
            RoundError, match=r"blend block 1, users 'user_.*worker-failed"
        ) as caught:
            score_in_blocks(job(round_), RecordingPool({(BLEND, 1): 3}))
        assert "MemoryError: no more of it" in str(caught.value)

    @pytest.mark.parametrize("staked", [True, False])
    def test_a_damaged_row_fails_the_round_or_its_user_alone(self, packed, staked):
        user = damage(packed, 0 if staked else -1)
        round_ = read_round(packed).round
        with pytest.raises(RoundError, match=user):
            score_in_blocks(job(round_), HerePool())
        scores = score_in_blocks(job(round_), HerePool(), on_error="quarantine", draws=False)
        assert [fault.user for fault in scores.quarantined] == [user]
        assert user not in scores.users
        without = read_round(packed, damaged=scores.quarantined).round
        one = score(without, METHOD, mmc_gpu.load_engine("numpy"))
        assert scores.digest == one.digest

    def test_a_file_that_shrinks_fails_the_round(self, packed):
        round_ = read_round(packed).round
        rounds.open_job(job(round_))
        os.truncate(next(packed.glob("predictions-*.npy")), 128 + 100)
        with pytest.raises(RoundError, match=r"predictions-\d+.npy: it ends"):
            score_in_blocks(job(round_), HerePool(), on_error="quarantine")


class TestStore:
    def test_blocks_are_removed_and_nothing_else(self, tmp_path):
        store = Store(tmp_path / "store", "key")
        store.write("blend-000000", seal("key", "blend-000000", {"x": np.zeros(1)}))
        assert store.find("blend-000000")["x"] == 0
        store.write(".score-000001.new-0123abcd", b"half of it")
        for name in ("job_notes.txt", "score-2.csv"):
            (tmp_path / "store" / name).write_text("irreplaceable")
        store.remove()
        left = sorted(path.name for path in (tmp_path / "store").iterdir())
        assert left == ["job_notes.txt", "score-2.csv"]

    def test_a_block_that_is_gone_is_an_error(self, tmp_path):
        with pytest.raises(RoundError, match=r"blend-000000'?: gone"):
            Store(tmp_path, "key").take("blend-000000")

    def test_a_folder_that_cannot_be_made_is_an_error(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(RoundError) as caught:
            Store(tmp_path / "file", "key")
        assert caught.value.code == "output-failed"

    def test_what_else_lies_beside_kept_blocks_stays(self, packed, tmp_path):
        (tmp_path / "keep").mkdir()
        (tmp_path / "keep/score-000001").write_text("not a store")
        round_ = read_round(packed).round
        score_in_blocks(job(round_), HerePool(), keep=tmp_path / "keep", draws=False)
        assert [path.name for path in (tmp_path / "keep").iterdir()] == ["score-000001"]
