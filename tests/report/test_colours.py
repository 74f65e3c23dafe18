"""Lines and texts stand out from what is behind them: WCAG 2.1, 1.4.3 and 1.4.11."""

import re
from importlib.resources import files

import pytest

CSS = (files("mmc_gpu.report") / "web" / "report.css").read_text(encoding="utf-8")
BEHIND = ("page", "tint", "chosen")
TEXTS = ("ink", "soft")
ROOTS = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)
LIGHT = dict(re.findall(r"--([\w-]+): (#\w{6});", ROOTS[0]))
DARK = LIGHT | dict(re.findall(r"--([\w-]+): (#\w{6});", ROOTS[1]))
PAINTS = re.compile(r"(stroke|fill): var\(--([\w-]+)\)")


def channels(colour):
    return [int(colour[at : at + 2], 16) for at in (1, 3, 5)]


def luminance(colour):
    shares = [channel / 255 for channel in colour]
    red, green, blue = (
        share / 12.92 if share <= 0.03928 else ((share + 0.055) / 1.055) ** 2.4 for share in shares
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(colour, behind, opacity=1.0):
    mixed = [
        opacity * one + (1 - opacity) * other for one, other in zip(colour, behind, strict=True)
    ]
    low, high = sorted((luminance(mixed), luminance(behind)))
    return (high + 0.05) / (low + 0.05)


def test_the_ratio_is_wcags():
    assert contrast(channels("#000000"), channels("#ffffff")) == pytest.approx(21)
    assert contrast(channels("#777777"), channels("#ffffff")) == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_every_colour_of_a_line_or_a_text_stands_out(colours):
    assert len(colours) == 15
    for name in colours.keys() - set(BEHIND):
        for behind in BEHIND:
            wanted = 4.5 if name in TEXTS else 3
            found = contrast(channels(colours[name]), channels(colours[behind]))
            assert found >= wanted, f"{name} on {behind}: {found:.2f}"


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_lines_and_dots_that_are_seen_through_stand_out_too(colours):
    checked = 0
    for selector, rule in re.findall(r"([^{}]+)\{([^{}]*-opacity[^{}]*)\}", CSS):
        if selector.strip() == ".band":  # a shade behind lines, with an outline
            continue
        for kind, name in PAINTS.findall(rule):
            opacity = re.search(rf"{kind}-opacity: ([\d.]+)", rule)
            found = contrast(
                channels(colours[name]),
                channels(colours["page"]),
                float(opacity[1]) if opacity else 1,
            )
            assert found >= 3, f"{selector.strip()}: {found:.2f}"
            checked += 1
    assert checked >= 4


def test_all_lines_take_their_colours_from_the_list():
    literal = re.findall(r"^\s*(?:stroke|border[\w-]*|outline): [^;]*(?:#|rgb)", CSS, re.MULTILINE)
    assert literal == []
