"""Shards and their merge: the same bits without a framework."""

import json
import re

import pytest
from packed_rounds import expected, job, make_packed
from typer.testing import CliRunner

from mmc_gpu.cli.app import app
from mmc_gpu.cluster.shards import Shard, job_of_shards, merge_shards, run_shard
from mmc_gpu.errors import RoundError
from mmc_gpu.files.rounds.read import read_round
from mmc_gpu.rounds.sample import make_sample_round, write_sample_round


class TestShards:
    def call(self, *arguments):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    @pytest.mark.parametrize("shards", [(1, 1), (2, 7), (61, 3)])
    def test_from_shards(self, packed, tmp_path, shards):
        round_ = read_round(packed).round
        for of in shards:
            for number in reversed(range(1, of + 1)):
                run_shard(job(round_), Shard(number, of), tmp_path / "work")
            scores = merge_shards(job(round_), tmp_path / "work")
        assert scores.digest == expected(packed)

    def test_on_the_command_line(self, packed, tmp_path):
        work, result, plain = (tmp_path / name for name in ("work", "result", "plain"))
        shared = ("--draws", 3)
        for _ in range(2):
            for number in (1, 2):
                done = self.call(
                    "score", packed, "--shard", f"{number}/2", "-o", work, "--engine", "numpy",
                    "--memory", 0.001, *shared,
                )  # fmt: skip
                assert done.exit_code == 0, done.output
            done = self.call("merge", packed, work, "-o", result)
            assert done.exit_code == 0, done.output
        assert self.call("score", packed, "-o", plain, *shared).exit_code == 0
        digests = [
            re.search(r'"scores_digest": "(\w+)"', (folder / "receipt.json").read_text())
            for folder in (result, plain)
        ]
        assert digests[0][1] == digests[1][1]
        assert not work.exists()

    def test_a_merge_says_what_is_missing(self, packed, tmp_path):
        round_ = read_round(packed).round
        run_shard(job(round_), Shard(1, 3), tmp_path / "work")
        with pytest.raises(RoundError, match=r"2 of 3 blend blocks .*'blend-000001'"):
            merge_shards(job(round_), tmp_path / "work")

    def test_a_merge_for_another_round_is_refused(self, packed, tmp_path):
        run_shard(job(read_round(packed).round), Shard(1, 1), tmp_path / "work")
        make_packed(tmp_path / "other", 10, 5, 8)
        write_sample_round(tmp_path / "plain", make_sample_round(10, 100))
        for other in ("other", "plain"):
            done = self.call("merge", tmp_path / other, tmp_path / "work")
            assert done.exit_code == 1
            assert done.exception.code == "shards-differ"

    @pytest.mark.parametrize(
        "change",
        [{"rows": 0}, {"rows": "x"}, {"draws": []}, {"partial": None}, {"manifest": {}}, None],
    )
    def test_damaged_shards_are_refused(self, packed, tmp_path, change):
        work = tmp_path / "work"
        run_shard(job(round_ := read_round(packed).round), Shard(1, 1), work)
        (work / "blend-000000").unlink()
        (work / "blend-000000").mkdir()
        with pytest.raises(RoundError, match="1 of 3 blend blocks are not there"):
            merge_shards(job(round_), work)
        path = work / "job.json"
        text = (
            "[" * 100_000 if change is None else json.dumps(json.loads(path.read_text()) | change)
        )
        path.write_bytes(text.encode() + b"\xff" * (change is None))
        with pytest.raises(RoundError, match="no shards") as caught:
            job_of_shards(work, packed)
        assert caught.value.code == "shards-missing"
        with pytest.raises(RoundError, match="of another round"):
            run_shard(job(round_), Shard(1, 1), work)

    def test_a_folder_of_other_files_is_refused_and_stays_as_it_is(self, packed, tmp_path):
        (tmp_path / "receipt.json").write_text("{}")
        with pytest.raises(RoundError, match="output-foreign"):
            run_shard(job(read_round(packed).round), Shard(1, 1), tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {"receipt.json", "packed"}

    @pytest.mark.parametrize("text", ["", "3", "0/3", "4/3", "1/0", "a/b", "-1/3", "1/3/5"])
    def test_no_shard_is_refused(self, text):
        with pytest.raises(ValueError, match="a shard is i/n"):
            Shard.parse(text)

    @pytest.mark.parametrize("of", [1, 2, 3, 10])
    def test_shards_share_every_block(self, of):
        every = [n for number in range(1, of + 1) for n in Shard(number, of).part(7)]
        assert every == list(range(7))
