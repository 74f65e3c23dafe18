"""What Windows lacks is not needed: some tests of this project in a process without it."""

import os
import subprocess
import sys
from pathlib import Path

from systems import posix

HERE = Path(__file__).parent


PACKED, MANY = "files/test_packed_again.py::", "cli/test_many_rounds.py::"
SOME = [
    "files/test_writing.py",
    f"{PACKED}TestTwoAtOnce",
    f"{PACKED}TestAFaultyResubmission::test_is_in_again_when_it_is_mended_or_taken_back",
    f"{PACKED}TestASubmissionThatIsGone::test_is_withdrawn_and_can_come_back",
    f"{PACKED}TestASubmissionThatIsGone::test_a_column_of_a_wide_file",
    f"{MANY}TestWhatIsFinished::test_a_page_of_another_target_is_written_again",
    f"{MANY}TestWhereResultsGo",
]
"""Each way in which files are made, replaced, added to and removed."""


@posix
def test_without_the_calls_of_posix_and_by_the_rules_for_paths_of_windows(tmp_path):
    asked = ["-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'windows'}", "--windows"]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *asked, *(str(HERE / name) for name in SOME)],
        capture_output=True,
        text=True,
        check=False,
        cwd=HERE.parent,
        env={name: text for name, text in os.environ.items() if not name.startswith("PYTEST")},
    )
    assert ran.returncode == 0, ran.stdout


RULES = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from windows import hide
root = Path(sys.argv[1])
hide(root)
def refused(call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        return type(error).__name__
    return "done"
(root / "a").mkdir()
opened = (root / "a/file").open("w")
print(
    refused(os.open, root / "a", os.O_RDONLY), refused((root / "a").rename, root / "b"),
    refused((root / "a/file").unlink), refused((root / "con.csv").touch),
    refused((root / "x:y").touch), refused((root / "A").mkdir), refused((root / "c").mkdir),
    hasattr(os, "O_NOFOLLOW"), sys.modules["fcntl"],
)
"""


@posix
def test_what_is_hidden_and_refused(tmp_path):
    ran = subprocess.run(
        [sys.executable, "-c", RULES, str(tmp_path), str(HERE)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.split() == [
        *["PermissionError"] * 3, "OSError", "OSError", "FileExistsError", "done", "False", "None"
    ]  # fmt: skip
