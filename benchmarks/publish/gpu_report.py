"""Fill the figures in mmc_gpu/engines/README.md: `python -m benchmarks.publish.gpu_report`.

From the newest JSON that `python -m benchmarks.gpu` has written into benchmarks/results, and
from nothing else: without one the README says that nothing has been measured.
"""

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"(<!-- begin gpu -->\n).*?(<!-- end gpu -->)", re.DOTALL)

NOTHING = "No figure of the GPU engine's speed stands here, because none has been measured yet.\n"


def newest(folder: Path = ROOT / "benchmarks" / "results") -> dict[str, Any] | None:
    """Return what the last run of `benchmarks.gpu` has found; None where there was none."""
    paths = sorted(folder.glob("gpu-*.json"))
    return json.loads(paths[-1].read_text("utf-8")) if paths else None


def text(found: dict[str, Any] | None) -> str:
    """Return the figures in Markdown: rounds and ranks, and what they were measured on."""
    if found is None:
        return NOTHING
    lines = [
        "| what | median | least to most | by the device's clock | of the measured bandwidth |",
        "|---|---:|---:|---:|---:|",
    ]
    for part in ("rounds", "ranks", "verbs"):
        for name, timed in _found(found, part).items():
            if "median_s" in timed:
                lines.append(_line(f"{part}: {name}", timed))
    lines += ["", *_machine(found), ""]
    return "\n".join(lines)


def _found(found: dict[str, Any], part: str) -> dict[str, Any]:
    return dict(found.get(part, {}).get("found", {}))


def _line(name: str, timed: dict[str, Any]) -> str:
    if "users" in timed:
        name += f", {timed['users']:,} x {timed['stocks']:,} x {timed['draws']:,} draws"
    fraction = next((timed[key] for key in timed if key.startswith("fraction_of_")), None)
    shown = [f"{timed[key] * 1e3:,.3g} ms" for key in ("median_s", "least_s", "most_s")]
    share = "" if fraction is None else f"{fraction:.0%}"
    device = timed["device_median_s"]
    own = "" if device is None else f"{device * 1e3:,.3g} ms"
    return f"| {name} | {shown[0]} | {shown[1]} to {shown[2]} | {own} | {share} |"


def _machine(found: dict[str, Any]) -> list[str]:
    machine = _found(found, "environment")
    words = {True: "held", False: "failed", None: "was not run"}
    proofs = [
        f"{part} {words[found.get(part, {}).get('ok')]}"
        for part in ("parity", "determinism", "sanitizers")
    ]
    refused = [
        tool
        for tool, ran in _found(found, "sanitizers").items()
        if isinstance(ran, dict) and (ran.get("refused") or "absent" in ran)
    ]
    if refused:
        proofs.append(f"the device refuses or lacks {', '.join(refused)}")
    return [
        f"{', '.join(machine.get('gpus', ['an unknown GPU']))}; driver {machine.get('driver')},"
        f" CUDA {machine.get('driver_cuda')}, CuPy {machine.get('cupy')}; {machine.get('date')},"
        f" commit {machine.get('commit')}; {'; '.join(proofs)}."
    ]


def filled(readme: str, found: dict[str, Any] | None) -> str:
    """Return the README with its block between the markers made anew."""
    return _BLOCK.sub(lambda block: f"{block[1]}{text(found)}{block[2]}", readme)


if __name__ == "__main__":
    path = ROOT / "mmc_gpu/engines/README.md"
    path.write_text(filled(path.read_text("utf-8"), newest()), "utf-8")
