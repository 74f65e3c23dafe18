"""Take the README's pictures of the report: python tests/report/take_pictures.py.

A sample round of 3,000 users; 256 colours keep each picture below 150 kB.
"""

import io
import sys
import tempfile
from pathlib import Path

from browser import Browser
from PIL import Image

import mmc_gpu
from mmc_gpu.sample_round import make_sample_round

FOLDER = Path(__file__).parent / "pictures"
PICTURES = {"desktop.png": (1280, 1600, False), "phone-dark.png": (390, 1680, True)}


def main() -> None:
    sample = make_sample_round(users=3000, stocks=2000, seed=5)
    scores = mmc_gpu.score_round(
        sample.predictions.T,
        [sample.stakes.get(user, 0.0) for user in sample.users],
        sample.targets["target"],
        users=sample.users,
    )
    with tempfile.TemporaryDirectory() as folder, Browser() as browser:
        page = scores.report(Path(folder) / "report.html")
        for name, (width, height, dark) in PICTURES.items():
            browser.open(page, width, height, dark)
            browser.run("document.querySelectorAll('tr[data-row]')[15].cells[0].click()")
            browser.run_async("setTimeout(arguments[0], 300)")
            picture = Image.open(io.BytesIO(browser.picture())).convert("RGB")
            FOLDER.mkdir(exist_ok=True)
            picture.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
                FOLDER / name, optimize=True
            )
            print(name, (FOLDER / name).stat().st_size, file=sys.stderr)


if __name__ == "__main__":
    main()
