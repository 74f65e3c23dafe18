"""Write the README's table of the metrics of `evaluate` anew: python tests/eras/metric_table.py."""

import re
from pathlib import Path

from mmc_gpu.eras.metrics import METRICS

README = Path(__file__).parents[2] / "mmc_gpu/eras/README.md"


def row(metric):
    """Return a metric's line of the table."""
    name = metric.name + (f"`, each `{metric.each.format('NAME')}" if metric.each else "")
    cells = [
        f"`{name}`" + " *" * metric.asked,
        metric.sentence,
        ", ".join(metric.needs) or "nothing",
        metric.better,
        "yes" if metric.return_like else "no",
    ]
    return f"| {' | '.join(cells)} |\n"


def filled(text):
    """Return a text whose section between the markers is the table."""
    header = "| metric | what it is | needs | better | adds up like returns |\n"
    table = header + "|---|---|---|---|---|\n" + "".join(map(row, METRICS.values()))
    section = re.compile(r"(?<=<!-- begin metrics -->\n).*?(?=<!-- end metrics -->)", re.DOTALL)
    assert section.search(text)
    return section.sub(lambda _: table, text)


if __name__ == "__main__":
    README.write_text(filled(README.read_text("utf-8")), "utf-8")
