"""`python -m benchmarks.publish.scale`: README's section on clusters, from measured rates.

The scale on paper is arithmetic on rates that other runs have measured; only the network is stated.
"""

import json
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

from benchmarks.publish.markdown import README, markdown, replaced
from benchmarks.publish.results import FOLDER, newest
from benchmarks.publish.tables import Table, duration
from mmc_gpu.engines import GROUP

NETWORK = 10e9 / 8
"""Bytes a second: stated, not measured; 10 Gbit/s between machines."""

STAKED = 0.6
MACHINES = (1, 8, 64)


@dataclass(frozen=True)
class Rates:
    """What was measured.

    Attributes:
        cores: of the machine.
        prediction: seconds a prediction on all cores, 20 draws, read from disk and checked.
        draw: seconds a prediction for each further draw.
        bus: bytes a second that all cores read from memory.
        block: seconds to hand out a block.
        shipped: bytes a second from a worker to the driver: the network's, or less.
        sums: bytes a second of groups' sums that the driver keeps, checks and adds.
    """

    cores: int
    prediction: float
    draw: float
    bus: float
    block: float
    shipped: float
    sums: float

    @classmethod
    def of(cls, full: dict[str, Any], cluster: dict[str, Any]) -> "Rates":
        """Return the rates in the results of a full run and of a run on a cluster."""
        rows = [row for row in full["rows"] if row["competitor"] in ("cpu", "any")]
        few, many = (
            next(r for r in rows if r["part"] == "draws" and r["case"]["draws"] == draws)
            for draws in (20, 2000)
        )
        cells = few["case"]["users"] * few["case"]["stocks"]
        read = next(r for r in full["rows"] if r["bench"] == "parts" and r["part"] == "yardstick")
        cores = cluster["machine"]["cores"]
        alone = next(run for run in cluster["runs"] if run["workers"] == cores)
        return cls(
            cores=cores,
            prediction=alone["alone_s"] / (cluster["users"] * cluster["stocks"]),
            draw=(many["median"] - few["median"]) / (cells * (2000 - 20)),
            bus=read["bytes"] / read["median"],
            block=cluster["block_s"],
            shipped=min(NETWORK, cluster["bytes_per_s"]),
            sums=cluster["sums_bytes_per_s"],
        )


@dataclass(frozen=True)
class Work:
    """Rounds to score; all of one size."""

    rounds: int
    users: int
    stocks: int
    draws: int

    def __str__(self) -> str:
        """Return its size."""
        size = f"{self.users:,} users x {self.stocks:,} stocks x {self.draws:,} draws"
        return f"{self.rounds:,} x {size}" if self.rounds > 1 else size

    @property
    def predictions(self) -> int:
        """Return how many predictions there are."""
        return self.rounds * self.users * self.stocks

    @property
    def groups(self) -> int:
        """Return how many groups of stakers."""
        return self.rounds * ceil(STAKED * self.users / GROUP)

    @property
    def sums(self) -> int:
        """Return the bytes of the groups' sums: (draws + 1, stocks) float64 each."""
        return self.groups * (self.draws + 1) * self.stocks * 8

    @property
    def blocks(self) -> int:
        """Return how many blocks there are, one group each: the most there can be."""
        return self.groups + self.rounds * ceil(self.users / GROUP)

    def compute(self, rates: Rates) -> float:
        """Return the seconds of one machine."""
        return self.predictions * (rates.prediction + (self.draws - 20) * rates.draw)

    def driver(self, rates: Rates) -> float:
        """Return the seconds that the driver takes, however many machines there are."""
        return self.blocks * rates.block + self.sums / rates.shipped + self.sums / rates.sums

    def seconds(self, rates: Rates, machines: int) -> float:
        """Return the time on so many machines; one needs no driver."""
        if machines == 1:
            return self.compute(rates)
        probes = machines * (self.draws + 3) * self.stocks * 4 * self.rounds
        return self.compute(rates) / machines + self.driver(rates) + probes / rates.shipped


WORKS = (
    Work(1, 5_000, 5_000, 20),
    Work(100, 5_000, 5_000, 20),
    Work(1, 1_000_000, 5_000, 20),
    Work(100, 1_000_000, 5_000, 20),
    Work(1, 1_000_000, 5_000, 10_000),
)


def overhead_table(cluster: dict[str, Any]) -> Table:
    """Return what the cluster costs over one process."""
    rows = [
        [
            str(run["workers"]),
            duration(run["alone_s"]),
            duration(run["cluster_s"]),
            f"{run['overhead']:+.0%}",
        ]
        for run in cluster["runs"]
    ]
    size = Work(1, cluster["users"], cluster["stocks"], cluster["draws"])
    notes = (
        f"{size}, read from a packed round, {cluster['machine']['cores']} cores, measured"
        f" {cluster['date'][:10]}. Starting Ray took {duration(cluster['start_s'])} and is not"
        f" counted; handing out a block took {duration(cluster['block_s'])}; a worker's results"
        f" reached the driver with {cluster['bytes_per_s'] / 1e9:.2g} GB/s, which kept, checked and"
        f" added sums with {cluster['sums_bytes_per_s'] / 1e9:.2g} GB/s.",
    )
    header = ["workers", "one process, so many threads", "Ray", "overhead"]
    return Table("", header, rows, notes)


def scale_table(rates: Rates) -> Table:
    """Return what large work costs, on paper."""
    rows = [
        [
            str(work),
            _gigabytes(work.predictions * 4),
            _gigabytes(work.sums),
            *(duration(work.seconds(rates, machines)) for machines in MACHINES),
        ]
        for work in WORKS
    ]
    machines = [f"{count} machine{'s' if count > 1 else ''}" for count in MACHINES]
    header = ["work", "predictions", "sums shipped", *machines]
    return Table("", header, rows, arithmetic(rates, WORKS[2], MACHINES[1]))


def arithmetic(rates: Rates, work: Work, machines: int) -> tuple[str, ...]:
    """Return how a time came about, step by step."""
    per = work.compute(rates) / work.predictions
    return (
        f"A machine has {rates.cores} cores, as the one that was measured; one of 16 cores does"
        f" the work of {16 // rates.cores}.",
        f"Compute: a prediction takes {rates.prediction * 1e9:.3g} ns on all cores with 20 draws,"
        f" read and checked, and {rates.draw * 1e9:.3g} ns more for each further draw. {work}:"
        f" {work.predictions:,} x {per * 1e9:.3g} ns = {duration(work.compute(rates))}. The bus"
        f" alone would need {duration(4 * work.predictions / rates.bus)}: it reads"
        f" {rates.bus / 1e9:.3g} GB/s.",
        f"Driver: {work.groups:,} groups of {GROUP:,} stakers x {work.draws + 1:,} sums x"
        f" {work.stocks:,} stocks x 8 bytes = {_gigabytes(work.sums)}. Shipped with"
        f" {rates.shipped / 1e9:.3g} GB/s (the network is taken to carry {NETWORK / 1e9:.3g}):"
        f" {duration(work.sums / rates.shipped)}; kept, checked and added with"
        f" {rates.sums / 1e9:.3g} GB/s: {duration(work.sums / rates.sums)}; {work.blocks:,} blocks"
        f" handed out, {duration(rates.block)} each: {duration(work.blocks * rates.block)}.",
        f"On {machines} machines: {duration(work.compute(rates))} / {machines} +"
        f" {duration(work.driver(rates))} for the driver + the probes ="
        f" {duration(work.seconds(rates, machines))}. Nothing overlaps on paper.",
    )


def _gigabytes(count: int) -> str:
    size = count / 1e9
    return f"{size:,.0f} GB" if size >= 100 else f"{size:.2g} GB"


def section(full: dict[str, Any], cluster: dict[str, Any]) -> str:
    """Return the section's tables."""
    rates = Rates.of(full, cluster)
    return f"{markdown(overhead_table(cluster))}\n{markdown(scale_table(rates))}"


def filled(text: str) -> str:
    """Return README's text with the section made from the newest results."""
    full = newest()
    clusters = sorted(FOLDER.glob("cluster-*.json"))
    if full is None or not clusters:
        raise SystemExit(
            "no results: run python -m benchmarks, and python -m benchmarks.large.cluster"
        )
    made = section(full, json.loads(Path(clusters[-1]).read_text("utf-8")))
    return replaced(text, "scale", made)


def write() -> None:
    """Write README's section anew."""
    README.write_text(filled(README.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    write()
