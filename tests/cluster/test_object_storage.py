"""Packed rounds read through pyarrow's file systems."""

import pytest
from packed_rounds import damage, expected, job
from typer.testing import CliRunner

import mmc_gpu
from mmc_gpu.cli.app import app
from mmc_gpu.cluster.pools import HerePool
from mmc_gpu.cluster.rounds import score_in_blocks
from mmc_gpu.errors import RoundError
from mmc_gpu.files.formats.places import RemotePath


class TestObjectStorage:
    def test_a_uri_gives_the_digest_of_the_folder(self, packed):
        round_ = mmc_gpu.open_round(packed.as_uri())
        assert mmc_gpu.score_round(round_, draws=3, engine="numpy").digest == expected(packed)
        assert score_in_blocks(job(round_), HerePool(), draws=False).digest == expected(packed)

    def test_on_the_command_line(self, packed, tmp_path):
        out, uri = tmp_path / "out", packed.as_uri()
        for command in (
            ["score", uri, "--draws", "3", "--engine", "numpy", "-o", str(out)],
            ["verify", str(out), uri, "--engine", "numpy"],
            ["check", uri],
        ):
            done = CliRunner().invoke(app, command)
            assert done.exit_code == 0, done.output
        assert expected(packed) in (out / "receipt.json").read_text()

    def test_a_damaged_row_names_its_user(self, packed):
        user = damage(packed, -1)
        with pytest.raises(RoundError, match=rf"file://.*{user}.*sha256"):
            mmc_gpu.score_round(mmc_gpu.open_round(packed.as_uri()), draws=1, engine="numpy")

    def test_a_damaged_table_is_refused(self, packed):
        stakes = next(packed.glob("stakes-*"))
        stakes.write_bytes(stakes.read_bytes()[:-1] + b"x")
        with pytest.raises(RoundError, match="its sha256 is not the manifest's"):
            mmc_gpu.open_round(packed.as_uri())

    def test_a_matrix_that_is_gone_is_named(self, packed):
        next(packed.glob("predictions-*.npy")).unlink()
        with pytest.raises(RoundError, match=r"file://.*predictions-000000.npy") as caught:
            mmc_gpu.open_round(packed.as_uri())
        assert caught.value.code == "file-missing"

    def test_only_packed_rounds_are_read(self, tmp_path):
        with pytest.raises(RoundError, match="no packed round"):
            mmc_gpu.open_round(tmp_path.as_uri())

    def test_an_unknown_file_system_is_a_usage_error(self):
        done = CliRunner().invoke(app, ["check", "gopher://host/round"])
        assert done.exit_code == 2
        assert "gopher" in done.output

    def test_a_password_in_a_uri_is_refused_and_not_shown(self):
        done = CliRunner().invoke(app, ["check", "s3://key:swordfish@bucket/round"])
        assert done.exit_code == 2
        assert "no password in a URI" in " ".join(done.output.split())
        assert "swordfish" not in done.output

    def test_options_of_a_uri_stay_behind_its_path(self):
        place = RemotePath("s3://bucket/round?region=eu", None, "bucket/round") / "manifest.json"
        assert str(place) == "s3://bucket/round/manifest.json?region=eu"
        assert place.name == "manifest.json"
