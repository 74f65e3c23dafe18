"""Take the READMEs' pictures of the reports: python tests/report/take_pictures.py.

A sample round of 3,000 users, and 30 models over 240 eras; 256 colours keep each picture small.
"""

import io
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from browser import Browser
from PIL import Image

import mmc_gpu
from mmc_gpu.rounds.sample import make_sample_round

FOLDER = Path(__file__).parent / "pictures"
PICTURES = {
    "desktop.png": ("round", 1280, 990, False, 15),
    "phone-dark.png": ("round", 390, 1680, True, 15),
    "evaluation.png": ("evaluation", 1280, 2300, False, 0),
}
"""Of which page, width, height, dark or not, and the row that is chosen."""


def round_page(path: Path) -> Path:
    sample = make_sample_round(users=3000, stocks=2000, seed=5)
    scores = mmc_gpu.score_round(
        sample.predictions.T,
        [sample.stakes.get(user, 0.0) for user in sample.users],
        sample.targets["target"],
        users=sample.users,
    )
    return scores.report(path)


def evaluation_page(path: Path) -> Path:
    """Write the page of candidates of various skill, whose skill comes and goes."""
    rng = np.random.default_rng(5)
    names = make_sample_round(users=30, stocks=100, seed=5).users
    eras, stocks = 240, 400
    era = np.repeat(np.arange(eras), stocks)
    known, new, noise = rng.standard_normal((3, eras * stocks))
    season = 1 + np.sin(np.arange(eras) / 17)[era]
    frame = pd.DataFrame({"era": [f"{number + 1:04d}" for number in era]})
    frame["target"] = pd.qcut(0.03 * season * (known + new) + noise, 5, labels=False) / 4
    for place, name in enumerate(["meta_model", "benchmark", *names]):
        share = 0.9 if place == 0 else rng.uniform(0, 1)
        mixed = share * known + (1 - share) * new
        frame[name] = mixed + rng.uniform(0.3, 2) * rng.standard_normal(len(frame))
    options = {"meta_model": "meta_model", "benchmarks": ["benchmark"], "metrics": ["mmc", "corr"]}
    return mmc_gpu.evaluate(frame, **options).report(path)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, Browser() as browser:
        made = {"round": round_page, "evaluation": evaluation_page}
        pages = {name: make(Path(folder) / f"{name}.html") for name, make in made.items()}
        for name, (page, width, height, dark, row) in PICTURES.items():
            browser.open(pages[page], width, height, dark)
            browser.run(f"document.querySelectorAll('tr[data-row]')[{row}].cells[0].click()")
            browser.run_async("setTimeout(arguments[0], 300)")
            picture = Image.open(io.BytesIO(browser.picture())).convert("RGB")
            FOLDER.mkdir(exist_ok=True)
            picture.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(
                FOLDER / name, optimize=True
            )
            print(name, (FOLDER / name).stat().st_size, file=sys.stderr)


if __name__ == "__main__":
    main()
