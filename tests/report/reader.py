"""What a reader does with a report, and whether a page is drawn as it should be."""

CHOSEN = "return document.getElementById('name').textContent"


def column(browser, at, rows=5):
    """Return the texts of a column of the table, the first rows'."""
    shown = "[...document.querySelectorAll('tr[data-row]')]"
    return browser.run(f"return {shown}.map((row) => row.cells[{at}].innerText)")[:rows]


def click_heading(browser, title):
    browser.run(
        "[...document.querySelectorAll('.scroll th button')]"
        ".find((button) => button.textContent.startsWith(arguments[0])).click()",
        title,
    )


def search(browser, words):
    browser.run(
        "const box = document.getElementById('search'); box.value = arguments[0];"
        "box.dispatchEvent(new Event('input'))",
        words,
    )


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
    assert browser.run("return document.documentElement.scrollWidth") == width
    background = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") is not dark
