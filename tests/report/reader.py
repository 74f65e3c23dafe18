"""What a reader does with a report, and whether a page is drawn as it should be."""

import csv
import io
import time

CHOSEN = "return document.getElementById('name').textContent"
CLICKED = "(row.cells[0].click(), document.getElementById('name').textContent)"
"""Who is chosen by a click on a row; for `searched`."""


def column(browser, at, rows=5, table=".scroll"):
    """Return the texts of a column of a table, by default the first, the first rows'."""
    found = browser.run(
        "return [...document.querySelector(arguments[0]).querySelectorAll('tr[data-row]')]"
        ".map((row) => row.cells[arguments[1]].innerText)",
        table,
        at,
    )
    return found[:rows]


def click_heading(browser, title, table=".scroll"):
    browser.run(
        "[...document.querySelector(arguments[0]).querySelectorAll('th button')]"
        ".find((button) => button.textContent.startsWith(arguments[1])).click()",
        table,
        title,
    )


def search(browser, words):
    browser.run(
        "const box = document.getElementById('search'); box.value = arguments[0];"
        "box.dispatchEvent(new Event('input'))",
        words,
    )


def searched(browser, names, expression):
    """Search for each of these users or models; return what an expression is then, by name.

    All in one script: nothing is drawn between two names.
    """
    found = browser.run(
        "const box = document.getElementById('search');"
        "return arguments[0].map((name) => {"
        " box.value = name; box.dispatchEvent(new Event('input'));"
        " const row = [...document.querySelectorAll('tr[data-row]')]"
        ".find((row) => [...row.cells].some((cell) => cell.innerText.startsWith(name)));"
        f" return {expression} }})",
        names,
    )
    return dict(zip(names, found, strict=True))


def links_of(browser, names):
    """Return the link to each of these users or models, as the page that is open has it."""
    at = "document.getElementById('name').textContent"
    links = "document.querySelector('#name a').getAttribute('href')"
    found = searched(browser, names, f"[{at}, {links}]")
    assert {name: shown for name, (shown, _) in found.items()} == {name: name for name in names}
    return {name: link for name, (_, link) in found.items()}


def follow(browser, link):
    """Follow a link to a part of the page, and wait until it is shown."""
    browser.run_async(
        "const [link, done] = arguments;"
        "const find = (one) => document.querySelector(one);"
        "const shown = () =>"
        " find('#unknown').textContent || find('#name a').hash === location.hash;"
        "const look = () => shown()"
        " ? requestAnimationFrame(() => requestAnimationFrame(done)) : setTimeout(look, 10);"
        "addEventListener('hashchange', look, { once: true });"
        "location.hash = link",
        link,
    )


def loaded_again(browser):
    """Wait until a page that loads itself anew shows what its address asks for."""
    browser.run_async(
        "const [done, find] = [arguments[0], (one) => document.querySelector(one)];"
        "const shown = () => find('main')?.hidden === false"
        " && find('#name a')?.hash === location.hash;"
        "const look = () => shown() ? setTimeout(done, 100) : setTimeout(look, 50);"
        "setTimeout(look, 100)"
    )


def chosen_in_view(browser):
    """Return whether the chosen row is in view, in its table and on the screen."""
    return browser.run(
        "const row = document.querySelector('tr[aria-selected]').getBoundingClientRect();"
        "const box = document.querySelector('.scroll').getBoundingClientRect();"
        "return row.top >= Math.max(0, box.top)"
        " && row.bottom <= Math.min(innerHeight, box.bottom)"
    )


def saved_table(browser, folder, button="csv"):
    """Press the button that saves the table; return the file's rows, read as CSV."""
    browser.command("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    browser.run("document.getElementById(arguments[0]).click()", button)
    for _ in range(100):
        if (found := list(folder.glob("*.csv"))) and found[0].stat().st_size:
            return list(csv.reader(io.StringIO(found[0].read_text(encoding="utf-8"), newline="")))
        time.sleep(0.05)
    raise AssertionError("nothing was saved")


def check_drawn(browser, page, width, dark):
    """Open a page; assert that all of it is drawn, fits, and asked for nothing else."""
    browser.open(page, width, dark=dark)
    assert browser.log("browser") == []
    assert browser.requests() == [page.resolve().as_uri()]
    empty = browser.run(
        "return [...document.querySelectorAll('.figure')]"
        ".filter((figure) => figure.querySelectorAll('svg *').length < 5).map((f) => f.id)"
    )
    assert empty == []
    nameless = browser.run(
        "return [...document.querySelectorAll('svg, canvas')].filter((picture) => !("
        "picture.role === 'img' && picture.ariaLabel) && picture.ariaHidden !== 'true').length"
    )
    assert nameless == 0
    assert browser.run("return document.documentElement.scrollWidth") == width
    background = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") is not dark
    if (width, dark) == (1280, False):
        browser.shown = page, "looking"
